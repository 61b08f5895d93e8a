"""Experiments with many trainings: the stages of ``studies/dvc.yaml``, and the search.

train → assess → summarise; cross_validate → find_label_doubts → plot_label_doubts
"""
