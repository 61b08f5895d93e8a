"""Tables as CSV of the plain kind that this project writes."""

from io import BytesIO
from typing import Any

import pandas as pd

from pipeline.reason import reason

LARGEST_TABLE = 1 << 23  # bytes; what writes tables is bounded so that they are smaller
LONGEST_LINE = 1000  # bytes; for a million columns, pandas takes a minute and a gigabyte


def parse_table(content: bytes, **options: Any) -> pd.DataFrame:
    """Return the table in the bytes of a CSV file.

    Args:
        content: Of the file.
        options: Of ``pandas.read_csv``.

    Raises:
        ValueError: It is none, or not as this project writes tables; the reason is one line.
    """
    if len(content) > LARGEST_TABLE:
        raise ValueError(f"expected at most {LARGEST_TABLE} bytes, found {len(content)}")
    # Within quotes, a row could go on over any number of lines. One after the other, since a list
    # of millions of lines takes many times their bytes.
    if b'"' in content or any(len(line) > LONGEST_LINE + 1 for line in BytesIO(content)):
        raise ValueError(f"expected lines of at most {LONGEST_LINE} bytes, without quotes")
    try:
        table: pd.DataFrame = pd.read_csv(BytesIO(content), **options)
    except (ValueError, OverflowError) as error:
        raise ValueError(reason(error)) from error
    # With more fields in a row than columns, pandas takes the first fields for an index.
    if not table.index.equals(pd.RangeIndex(len(table))):
        raise ValueError("a row has more fields than there are columns")
    return table
