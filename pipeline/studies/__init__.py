"""The recipes as such: the stages of ``studies/dvc.yaml``, a module each, and the search.

train → assess → summarise; cross_validate → find_label_doubts → plot_label_doubts
"""
