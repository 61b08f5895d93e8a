from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.report.curves import COLUMNS, parse_curves, read_curves
from pipeline.runtime.errors import PipelineError

HEADER = ",".join(COLUMNS)
GOOD = f"{HEADER}\n1,0.5,0.8,0.6,0.7\n2,0.25,0.9,0.5,0.75\n"
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=finite))
def test_every_value_comes_back(measured: NDArray[np.float32]) -> None:
    table = pd.DataFrame(measured.astype(float), columns=COLUMNS[1:])
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    found = parse_curves(table.to_csv(index=False).encode(), "curves")
    pd.testing.assert_frame_equal(found, table.astype(float), check_exact=False, rtol=1e-15)
    np.testing.assert_array_equal(found[COLUMNS[1:]].astype(np.float32), measured)


def test_file_is_read_with_columns_of_one_type(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    path.write_text(GOOD)
    found = read_curves(path)
    assert list(found.columns) == COLUMNS
    assert set(found.dtypes) == {np.dtype(float)}
    assert found["epoch"].tolist() == [1, 2]
    assert found["val_accuracy"].tolist() == [0.7, 0.75]


def test_file_that_is_missing_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_curves(tmp_path / "curves.csv")


@pytest.mark.parametrize(
    "content",
    [
        "",
        f"{HEADER}\n",
        "epoch,loss\n1,2\n",
        GOOD.replace("loss,accuracy", "accuracy,loss", 1),
        GOOD.replace("val_accuracy", "val_accuracy,more"),
        GOOD + "3,x,1,1,1\n",
        GOOD + "3,nan,1,1,1\n",
        GOOD + "3,1,1,1,inf\n",
        GOOD + "3,1,1,1\n",
        GOOD + "2,1,1,1,1\n",
        GOOD + "4,1,1,1,1\n",
        GOOD + "3.5,1,1,1,1\n",
        GOOD.replace("\n1,", "\n0,"),
        f"{HEADER}\n2,1,1,1,1\n1,1,1,1,1\n",
        GOOD + "3,1,1,1,1,7\n",
        # A field too many in every row.
        f"{HEADER}\n7,1,1,1,1,1\n8,2,1,1,1,1\n",
        f"{HEADER}\nTrue,1,1,1,1\n",
        f"{HEADER}\n1,{'9' * 400},1,1,1\n",
        "<<<<<<< HEAD\n" + GOOD,
        GOOD + '3,"1,1,1,1\n',
        "version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_damaged_table_is_refused_in_one_line_that_names_it(content: str) -> None:
    with pytest.raises(PipelineError) as caught:
        parse_curves(content.encode(), "main: curves.csv")
    message = str(caught.value)
    assert message.startswith("main: curves.csv: not a table of learning curves")
    assert len(message.split("\n")) == 1


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=30).map(GOOD.encode().__add__)))
def test_any_bytes_are_a_table_or_a_message(content: bytes) -> None:
    try:
        found = parse_curves(content, "curves")
    except PipelineError as error:
        assert str(error).startswith("curves: not a table")  # noqa: PT017 (either is right)
    else:
        assert found["epoch"].tolist() == list(range(1, len(found) + 1))
        assert np.isfinite(found).all(axis=None)
