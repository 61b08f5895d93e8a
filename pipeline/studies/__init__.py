"""Verbs that look at the recipes as such: the stages of ``studies/dvc.yaml``, and the search."""
