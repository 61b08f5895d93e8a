"""The table of learning curves, a row per epoch."""

from pathlib import Path

import pandas as pd

from pipeline.evaluation.results import parse_table
from pipeline.runtime.errors import PipelineError

CURVES_FILE = "reports/learning_curves.csv"
COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def read_curves(path: Path) -> pd.DataFrame:
    """Return the learning curves in a CSV file.

    Raises:
        PipelineError: The file is not such a table.
        OSError: The file cannot be opened.
    """
    return parse_curves(path.read_bytes(), str(path))


def parse_curves(content: bytes, name: str) -> pd.DataFrame:
    """Return the learning curves in the bytes of a CSV file, which messages call ``name``.

    Returns:
        Columns epoch (from 1 on), loss, accuracy, val_loss and val_accuracy, all float64.

    Raises:
        PipelineError: It is not such a table.
    """
    try:
        curves = parse_table(content, dtype=float)
    except ValueError as error:
        raise PipelineError(f"{name}: not a table of learning curves: {error}") from error
    if list(curves.columns) != COLUMNS or curves.empty:
        raise PipelineError(f"{name}: expected rows of the columns {', '.join(COLUMNS)}")
    return curves
