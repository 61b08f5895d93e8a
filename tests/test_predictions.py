from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.predictions import predictions_table, read_predictions, write_predictions
from pipeline.stage import PipelineError

GOOD = "actual,predicted,confidence\n3,3,0.9\n4,9,0.5\n"


def test_table_takes_the_most_probable_class() -> None:
    probabilities = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    table = predictions_table(np.array([1, 2], np.int32), probabilities)
    assert table["actual"].tolist() == [1, 2]
    assert table["predicted"].tolist() == [1, 0]
    np.testing.assert_array_equal(table["confidence"], np.array([0.7, 0.5], np.float32))


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.integers(1, 5)),
        elements=st.floats(0, 1, width=32),
    )
)
def test_file_gives_every_bit_back(
    tmp_path_factory: pytest.TempPathFactory, probabilities: NDArray[np.float32]
) -> None:
    path = tmp_path_factory.mktemp("predictions") / "predictions.csv"
    table = predictions_table(np.zeros(len(probabilities), np.int32), probabilities)
    write_predictions(path, table)
    found = read_predictions(path)
    pd.testing.assert_frame_equal(found.astype(table.dtypes), table)


def test_file_has_lines_of_unix(tmp_path: Path) -> None:
    write_predictions(
        tmp_path / "p.csv", predictions_table(np.array([0]), np.array([[1.0]], np.float32))
    )
    assert (tmp_path / "p.csv").read_bytes() == b"actual,predicted,confidence\n0,0,1\n"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "not a table of predictions"),
        ("actual,predicted\n1,1\n", "expected columns"),
        (GOOD + "5,5\n", "expected probabilities"),
        (GOOD + "5,5,0.5,1\n", "not a table of predictions"),
        (GOOD + "five,5,0.5\n", "expected classes"),
        (GOOD + "-1,5,0.5\n", "expected classes"),
        (GOOD + "5,256,0.5\n", "expected classes"),
        ("actual,predicted,confidence\n3,3,3,0.9\n4,4,9,0.5\n", "expected columns"),
        (GOOD + "5,5.5,0.5\n", "expected classes"),
        (GOOD + "5,5,nan\n", "expected probabilities"),
        (GOOD + "5,5,1.5\n", "expected probabilities"),
        (GOOD + "5,5,sure\n", "expected probabilities"),
        ("actual,predicted,confidence\n", "expected"),
    ],
)
def test_what_is_no_prediction_is_refused(tmp_path: Path, content: str, fact: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    with pytest.raises(PipelineError, match=rf"predictions\.csv: .*{fact}"):
        read_predictions(path)
