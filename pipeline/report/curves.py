"""The table of learning curves, a row per epoch."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.evaluation.results import parse_table
from pipeline.runtime.errors import PipelineError

CURVES_FILE = "reports/learning_curves.csv"
COLUMNS = ["epoch", "loss", "accuracy", "val_loss", "val_accuracy"]


def read_curves(path: Path) -> pd.DataFrame:
    """Return the learning curves in a CSV file.

    Raises:
        PipelineError: The file is not such a table of finite numbers.
        OSError: The file cannot be opened.
    """
    return parse_curves(path.read_bytes(), str(path))


def parse_curves(content: bytes, name: str) -> pd.DataFrame:
    """Return the learning curves in the bytes of a CSV file, which messages call ``name``.

    Returns:
        Columns epoch (from 1 on), loss, accuracy, val_loss and val_accuracy, all float64.

    Raises:
        PipelineError: It is not such a table of finite numbers.
    """
    try:
        curves = parse_table(content)
    except ValueError as error:
        raise PipelineError(f"{name}: not a table of learning curves: {error}") from error
    are_numbers = len(curves) > 0 and all(kind.kind in "if" for kind in curves.dtypes)
    if not (
        list(curves.columns) == COLUMNS
        and are_numbers
        and np.isfinite(curves).all(axis=None)
        and (curves["epoch"] == curves.index + 1).all()
    ):
        raise PipelineError(
            f"{name}: not a table of learning curves: expected columns {COLUMNS}, a row for each "
            "epoch from 1 on, and finite numbers"
        )
    return curves.astype(float)
