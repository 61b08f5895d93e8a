"""Metrics and tables on disk: JSON and CSV that people, DVC and the next stage read."""

import json
import math
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.atomic import write_text
from pipeline.runtime.errors import PipelineError, reason


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write metrics, or other names with values, as JSON.

    Raises:
        PipelineError: One of them is infinite or not a number, which JSON has no words for.
    """
    for name, value in pd.json_normalize(values).iloc[0].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise PipelineError(f"{path}: {name} is not a finite number but {value}")
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the names with values in a JSON file, as ``write_json`` got them.

    Raises:
        PipelineError: The file is no object of JSON.
        OSError: The file cannot be opened.
    """
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        raise PipelineError(f"{path}: {reason(error)}") from error
    if not isinstance(values, dict):
        raise PipelineError(f"{path}: expected names with values, found none")
    return values


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, with nine digits, as many as thresholds have."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))


def read_table(path: Path, columns: list[str]) -> pd.DataFrame:
    """Return the table in a CSV file.

    Args:
        path: The file.
        columns: That it must have.

    Raises:
        PipelineError: The file is no such table.
        OSError: The file cannot be opened.
    """
    content = path.read_bytes()
    try:
        table = parse_table(content)
    except ValueError as error:
        raise PipelineError(f"{path}: not a table: {error}") from error
    if list(table.columns) != columns or table.empty:
        raise PipelineError(f"{path}: expected rows of the columns {', '.join(columns)}")
    return table


def parse_table(content: bytes, **options: Any) -> pd.DataFrame:
    """Return the table in the bytes of a CSV file.

    Args:
        content: Of the file.
        options: Of ``pandas.read_csv``.

    Raises:
        ValueError: It is none; the reason is one line.
    """
    try:
        table: pd.DataFrame = pd.read_csv(BytesIO(content), **options)
    except (ValueError, OverflowError) as error:
        raise ValueError(reason(error)) from error
    # With more fields in a row than columns, pandas takes the first fields for an index.
    if not table.index.equals(pd.RangeIndex(len(table))):
        raise ValueError("a row has more fields than there are columns")
    return table
