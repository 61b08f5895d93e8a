"""How good a recipe is, whatever the seed: the stages of ``studies/dvc.yaml``, and the search.

train → assess → summarise; cross_validate → find_label_doubts → plot_label_doubts
"""
