"""Accuracy, F1, and precision and recall of each class."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from pipeline.evaluation.statistics import wilson_interval


def classification_metrics(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return accuracy with its 95% interval (Wilson, 1927), number of errors, and mean F1.

    The mean is over the classes of ``class_table``, as scikit-learn's macro F1.
    """
    correct = int((predictions["actual"] == predictions["predicted"]).sum())
    low, high = wilson_interval(correct, len(predictions))
    return {
        "accuracy": correct / len(predictions),
        "accuracy_interval": {"low": low, "high": high},
        "errors": len(predictions) - correct,
        "macro_f1": float(class_table(predictions)["f1"].mean()),
    }


def class_table(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return precision, recall and F1 of each class, and its support, the number of its images.

    A class that neither occurs nor is predicted is left out, since nothing is known of it. One
    that is only predicted, or only occurs, counts as 0 where its figure would be 0/0.
    """
    classes = np.union1d(predictions["actual"], predictions["predicted"])
    columns = precision_recall_fscore_support(
        predictions["actual"], predictions["predicted"], labels=classes, zero_division=0
    )
    names = ("precision", "recall", "f1", "support")
    return pd.DataFrame({"class": classes} | dict(zip(names, columns, strict=True)))
