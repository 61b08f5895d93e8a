from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.evaluation.predictions import (
    confused_pairs,
    most_confident_errors,
    parse_predictions,
    predictions_table,
    read_predictions,
    write_predictions,
)
from pipeline.runtime.errors import PipelineError

GOOD = "actual,predicted,confidence,calibrated_confidence\n3,3,0.9,0.8\n4,9,0.5,0.5\n"
OLDER = "actual,predicted,confidence\n3,3,0.9\n4,9,0.5\n"

ANSWERS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.25, 0.5, 0.75])), max_size=30
)


def answered(answers: list[tuple[int, int, float]]) -> pd.DataFrame:
    """Return predictions of these classes, as a file has them."""
    columns = ["actual", "predicted", "calibrated_confidence"]
    table = pd.DataFrame(answers, columns=columns).astype({"actual": int, "predicted": int})
    return table.assign(confidence=0.5)


def test_table_takes_the_most_probable_class() -> None:
    probabilities = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
    table = predictions_table(np.array([1, 2], np.int32), probabilities, np.array([0.6, 0.4]))
    assert table["actual"].tolist() == [1, 2]
    assert table["predicted"].tolist() == [1, 0]
    np.testing.assert_array_equal(table["confidence"], np.array([0.7, 0.5], np.float32))
    assert table["calibrated_confidence"].tolist() == [0.6, 0.4]


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
    calibrated = probabilities.max(axis=1).astype(np.float64).round(9)
    table = predictions_table(np.zeros(len(probabilities), np.int32), probabilities, calibrated)
    write_predictions(path, table)
    found = read_predictions(path)
    pd.testing.assert_frame_equal(found.astype(table.dtypes), table)


def test_file_has_lines_of_unix(tmp_path: Path) -> None:
    table = predictions_table(np.array([0]), np.array([[1.0]], np.float32), np.array([0.25]))
    write_predictions(tmp_path / "p.csv", table)
    assert (tmp_path / "p.csv").read_bytes() == (
        b"actual,predicted,confidence,calibrated_confidence\n0,0,1,0.25\n"
    )


def test_predictions_from_before_calibration_can_be_compared_but_not_plotted(
    tmp_path: Path,
) -> None:
    older = parse_predictions(OLDER.encode(), "older.csv")
    assert older.to_dict("list") == {
        "actual": [3, 4],
        "predicted": [3, 9],
        "confidence": [0.9, 0.5],
    }
    (tmp_path / "older.csv").write_text(OLDER)
    with pytest.raises(
        PipelineError, match=r"older\.csv: expected columns .*calibrated_confidence"
    ):
        read_predictions(tmp_path / "older.csv")


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "not a table of predictions"),
        ("actual,predicted\n1,1\n", "expected columns"),
        (GOOD + "5,5,0.5,0.5,1\n", "not a table of predictions"),
        (GOOD + "five,5,0.5,0.5\n", "expected classes"),
        (GOOD + "-1,5,0.5,0.5\n", "expected classes"),
        (GOOD + "5,256,0.5,0.5\n", "expected classes"),
        (GOOD + "5,5.5,0.5,0.5\n", "expected classes"),
        (GOOD.splitlines()[0] + "\n3,3,3,0.9,0.9\n4,4,9,0.5,0.5\n", "more fields"),
        (OLDER.replace("confidence", "calibrated_confidence"), "expected columns"),
        (GOOD.splitlines()[0] + "\n", "expected"),
    ],
)
def test_what_is_no_prediction_is_refused(tmp_path: Path, content: str, fact: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    with pytest.raises(PipelineError, match=rf"predictions\.csv: .*{fact}"):
        read_predictions(path)


@given(ANSWERS)
def test_confused_pairs_are_counted_and_the_most_frequent_come_first(
    answers: list[tuple[int, int, float]],
) -> None:
    pairs = confused_pairs(answered(answers))
    assert list(pairs.columns) == ["actual", "predicted", "images"]
    rows = list(pairs.itertuples(index=False, name=None))
    counts = Counter((a, p) for a, p, _ in answers if a != p)
    # Those equally frequent are in the order of their classes.
    expected = sorted(counts, key=lambda pair: (-counts[pair], pair))
    assert rows == [(*pair, counts[pair]) for pair in expected]


@given(ANSWERS)
def test_errors_come_with_their_images_and_the_most_confident_first(
    answers: list[tuple[int, int, float]],
) -> None:
    predictions = answered(answers)
    errors = most_confident_errors(predictions)
    wrong = [image for image, (actual, predicted, _) in enumerate(answers) if actual != predicted]
    assert errors.index.tolist() == sorted(wrong, key=lambda image: -answers[image][2])
    pd.testing.assert_frame_equal(errors, predictions.loc[errors.index])
