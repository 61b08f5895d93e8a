"""Predictions: one row per test image, the seam between the network and all that judges it."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.stage import PipelineError

PREDICTIONS_FILE = "reports/predictions.csv"
MOST_CLASSES = 256  # as many as a label of one byte can tell apart
COLUMNS = ["actual", "predicted", "confidence"]


def predictions_table(
    actual: NDArray[np.int32], probabilities: NDArray[np.float32]
) -> pd.DataFrame:
    """Return the predictions, in the order of the images.

    Args:
        actual: The images' classes, shape (n,).
        probabilities: The network's output, shape (n, classes).

    Returns:
        Columns actual and predicted (class) and confidence (the predicted class's probability).
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    return pd.DataFrame(dict(zip(COLUMNS, (actual, predicted, confidence), strict=True)))


def write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    """Write predictions as CSV, with the nine digits that give every float32 back exactly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    predictions.to_csv(path, index=False, lineterminator="\n", float_format="%.9g")


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the predictions in a CSV file, as ``predictions_table`` returned them.

    Raises:
        PipelineError: The file is not such a table, or holds what is no prediction.
        OSError: The file cannot be opened.
    """
    return parse_predictions(path.read_bytes(), str(path))


def parse_predictions(content: bytes, name: str) -> pd.DataFrame:
    """Return the predictions in the bytes of a CSV file, which messages call ``name``.

    Raises:
        PipelineError: It is not such a table, or holds what is no prediction.
    """
    try:
        predictions = pd.read_csv(BytesIO(content))
    except (ValueError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise PipelineError(f"{name}: not a table of predictions: {reason}") from error
    # With more fields in a row than columns, pandas takes the first field for an index.
    rows = pd.RangeIndex(len(predictions))
    if list(predictions.columns) != COLUMNS or not predictions.index.equals(rows):
        raise PipelineError(f"{name}: expected columns {COLUMNS}, found others")
    classes, confidence = predictions[["actual", "predicted"]], predictions["confidence"]
    if not all(kind.kind == "i" for kind in classes.dtypes) or not (
        (classes >= 0) & (classes < MOST_CLASSES)
    ).all(axis=None):
        raise PipelineError(f"{name}: expected classes 0 to 255 in columns actual and predicted")
    if confidence.dtype.kind not in "if" or not confidence.between(0, 1).all():
        raise PipelineError(f"{name}: expected probabilities in column confidence")
    return predictions.astype({"confidence": np.float64})
