"""The stages of ``dvc.yaml``, a module each: download, preprocess, train, evaluate, plot."""
