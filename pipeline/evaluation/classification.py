"""Accuracy, F1, and precision and recall of each class."""

from typing import Any

import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from pipeline.evaluation.statistics import wilson_interval


def classification_metrics(predictions: pd.DataFrame, classes: int) -> dict[str, Any]:
    """Return accuracy with its 95% interval (Wilson, 1927), number of errors, and mean F1."""
    correct = int((predictions["actual"] == predictions["predicted"]).sum())
    low, high = wilson_interval(correct, len(predictions))
    return {
        "accuracy": correct / len(predictions),
        "accuracy_interval": {"low": low, "high": high},
        "errors": len(predictions) - correct,
        "macro_f1": float(class_table(predictions, classes)["f1"].mean()),
    }


def class_table(predictions: pd.DataFrame, classes: int) -> pd.DataFrame:
    """Return precision, recall and F1 of each class, and its support, the number of its images.

    A class that is never predicted or never occurs counts as 0 where its figure would be 0/0.
    """
    columns = precision_recall_fscore_support(
        predictions["actual"], predictions["predicted"], labels=range(classes), zero_division=0
    )
    names = ("precision", "recall", "f1", "support")
    return pd.DataFrame({"class": range(classes)} | dict(zip(names, columns, strict=True)))
