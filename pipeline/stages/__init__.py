"""The stages of ``dvc.yaml``, one module each: download, preprocess, train, evaluate, plot."""
