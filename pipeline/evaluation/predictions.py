"""The table of predictions, a row per test image: nothing after ``evaluate`` needs the network."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.results import parse_table
from pipeline.runtime.atomic import write_text
from pipeline.runtime.errors import PipelineError

PREDICTIONS_FILE = "reports/predictions.csv"
MOST_CLASSES = 256  # as many as a label of one byte can tell apart
COLUMNS = ["actual", "predicted", "confidence", "calibrated_confidence"]
LEAST_COLUMNS = COLUMNS[:3]  # revisions from before calibration have no more, and are compared too


def predictions_table(
    actual: NDArray[np.int32],
    probabilities: NDArray[np.float32],
    calibrated: NDArray[np.float64],
) -> pd.DataFrame:
    """Return the predictions, in the order of the images.

    Args:
        actual: The images' classes, shape (n,).
        probabilities: The network's output, shape (n, classes).
        calibrated: The predicted class's probability after calibration, shape (n,).

    Returns:
        Columns actual and predicted (class), confidence (the predicted class's probability, as
        the network gives it) and calibrated_confidence.
    """
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    columns = (actual, predicted, confidence, calibrated)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def write_predictions(path: Path, predictions: pd.DataFrame) -> None:
    """Write predictions as CSV, with the nine digits that give every float32 back exactly."""
    write_text(path, predictions.to_csv(index=False, lineterminator="\n", float_format="%.9g"))


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the predictions in a CSV file, as ``predictions_table`` returned them.

    Raises:
        PipelineError: The file is not such a table, or holds what is no prediction.
        OSError: The file cannot be opened.
    """
    predictions = parse_predictions(path.read_bytes(), str(path))
    if list(predictions.columns) != COLUMNS:
        raise PipelineError(f"{path}: expected columns {COLUMNS}, found others")
    return predictions


def parse_predictions(content: bytes, name: str) -> pd.DataFrame:
    """Return the predictions in the bytes of a CSV file, which messages call ``name``.

    They may lack calibrated_confidence.

    Raises:
        PipelineError: It is not such a table, or holds what is no prediction.
    """
    try:
        predictions = parse_table(content)
    except ValueError as error:
        raise PipelineError(f"{name}: not a table of predictions: {error}") from error
    columns = list(predictions.columns)
    if columns not in (COLUMNS, LEAST_COLUMNS):
        raise PipelineError(f"{name}: expected columns {COLUMNS}, found others")
    classes = predictions[["actual", "predicted"]]
    if not all(kind.kind == "i" for kind in classes.dtypes) or not (
        (classes >= 0) & (classes < MOST_CLASSES)
    ).all(axis=None):
        raise PipelineError(f"{name}: expected classes 0 to 255 in columns actual and predicted")
    return predictions


def confused_pairs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of classes that are confused, the most frequent first.

    Returns:
        Columns actual, predicted and images; a row for each pair of different classes that occurs.
    """
    errors = predictions[predictions["actual"] != predictions["predicted"]]
    pairs = errors.groupby(["actual", "predicted"]).size().reset_index(name="images")
    return pairs.sort_values("images", ascending=False, kind="stable").reset_index(drop=True)


def most_confident_errors(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the wrongly classified images, the most confident first, each with its index.

    It is here that wrong labels come to light: the network disagrees, and is sure of it.
    """
    errors = predictions[predictions["actual"] != predictions["predicted"]]
    return errors.sort_values("calibrated_confidence", ascending=False, kind="stable")
