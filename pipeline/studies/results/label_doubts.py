"""Label doubts: images whose label is probably wrong, as networks not trained with them say."""

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray

LABEL_DOUBTS_FILE = "label_doubts.csv"
COLUMNS = ["image", "label", "suggestion", "label_probability", "suggestion_probability"]


def label_doubts(
    labels: NDArray[np.int32], probabilities: NDArray[np.float32], listed: int
) -> pd.DataFrame:
    """Return the labels that the network most confidently disagrees with, the worst first.

    They are ranked by the normalised margin: how much more probable than the label is what the
    network takes the image for (Northcutt, Jiang and Chuang, 2021; computed by cleanlab).

    Args:
        labels: Shape (n,).
        probabilities: Of networks that were not trained with these images, shape (n, classes).
        listed: How many to return at most.

    Returns:
        Columns image (its index, from 0), label, suggestion, label_probability and
        suggestion_probability; only images that the network takes for something else.
    """
    suggestion = probabilities.argmax(axis=1)
    quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    order = np.argsort(quality, kind="stable")
    order = order[suggestion[order] != labels[order]][:listed]
    columns = (
        order,
        labels[order],
        suggestion[order],
        probabilities[order, labels[order]],
        probabilities[order, suggestion[order]],
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def estimated_label_errors(labels: NDArray[np.int32], probabilities: NDArray[np.float32]) -> int:
    """Return how many labels are wrong by confident learning (Northcutt, Jiang and Chuang, 2021).

    Args:
        labels: Shape (n,).
        probabilities: Of networks that were not trained with these images, shape (n, classes).
    """
    return int(find_label_issues(labels, probabilities, n_jobs=1).sum())
