import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from pipeline.evaluation.results import (
    parse_table,
    read_metrics,
    read_table,
    write_metrics,
    write_table,
)
from pipeline.runtime.errors import PipelineError

Read = TypeVar("Read")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_metric_that_is_not_finite_is_refused_and_nothing_written(
    tmp_path: Path, value: float
) -> None:
    path = tmp_path / "metrics.json"
    fact = rf"metrics\.json: rejection\.0\.005\.risk is not a finite number but {value}"
    with pytest.raises(PipelineError, match=fact):
        write_metrics(path, {"accuracy": 0.5, "rejection": {"0.005": {"risk": value}}})
    assert not path.exists()


def test_json_comes_back_as_it_was_in_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data/model/operating_points.json"
    values = {"temperature": math.pi, "images": 5000, "thresholds": {"0.005": 0.1, "0.001": None}}
    write_metrics(path, values)
    assert json.loads(path.read_text()) == values
    assert list(json.loads(path.read_text())) == list(values)
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert b"\r" not in content


def test_metrics_that_are_all_whole_numbers_or_missing_are_no_error(tmp_path: Path) -> None:
    for values in ({"errors": 0}, {"threshold": None}, {"errors": 0, "risk": 0.0}):
        write_metrics(tmp_path / "metrics.json", values)
        assert json.loads((tmp_path / "metrics.json").read_text()) == values


def test_table_has_lines_of_unix_and_nine_digits(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["shift"], "strength": [1.0], "accuracy": [2 / 3]})
    write_table(tmp_path / "table.csv", table)
    assert (tmp_path / "table.csv").read_bytes() == (
        b"name,strength,accuracy\nshift,1,0.666666667\n"
    )


@settings(deadline=None)
@given(st.lists(st.floats(0.1, 1).map(lambda value: round(value, 9)), min_size=1, max_size=20))
def test_thresholds_come_back_exactly_from_a_table(
    tmp_path_factory: pytest.TempPathFactory, thresholds: list[float]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "risk_coverage.csv"
    write_table(path, pd.DataFrame({"threshold": thresholds}))
    assert pd.read_csv(path)["threshold"].tolist() == thresholds


class Form(TypedDict):
    accuracy: FiniteFloat
    thresholds: dict[str, FiniteFloat | None]


def test_metrics_come_back_with_what_was_asked_for(tmp_path: Path) -> None:
    values = {"accuracy": 0.1 + 0.2, "thresholds": {"0.01": None, "0.02": 0.123456789}}
    write_metrics(tmp_path / "metrics.json", {"errors": 3, **values})
    assert read_metrics(tmp_path / "metrics.json", Form) == values


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{", "JSON: Invalid JSON"),
        ("", "JSON: Invalid JSON"),
        ("\xff", "JSON: Invalid JSON"),
        ("[1]", "JSON: Input should be"),
        ('{"accuracy": 1}', "thresholds: Field required"),
        ('{"accuracy": "high", "thresholds": {}}', "accuracy: Input should be a valid number"),
        ('{"accuracy": 1, "thresholds": {"0.1": []}}', r"thresholds\.0\.1: Input should be"),
    ],
)
def test_metrics_that_are_none_name_their_file(tmp_path: Path, content: str, fact: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(PipelineError, match=rf"metrics\.json: {fact}"):
        read_metrics(path, Form)


def test_table_cut_off_inside_a_row_is_none(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_table(path, pd.DataFrame({"name": ["a", "b"], "risk": [0.25, 0.125], "low": [0.0, 0.0]}))
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b",")])
    with pytest.raises(PipelineError, match=r"table\.csv: expected finite numbers in risk, low"):
        read_table(path, ["name", "risk", "low"])


# Pieces that are nearly a table or nearly JSON lead further than bytes at random.
DAMAGED = st.binary(max_size=200) | st.lists(
    st.sampled_from(
        [b"name", b"risk", b"1", b"-", b".5", b"e999", b"NaN", b"true", b"9" * 30, b"\xef\xbb\xbf"]
    )
    | st.sampled_from([bytes([value]) for value in b',\n\r"{}[]: \x00\xff']),
    max_size=30,
).map(b"".join)


def ending(read: Callable[[], Read]) -> Read | str:
    """Return what was read, or the message that there was instead."""
    try:
        return read()
    except PipelineError as error:
        return str(error)


@settings(deadline=None)
@given(DAMAGED)
@example(b"name,risk\na,1\x00\n")
@example(b"name,risk\na," + b"9" * 5000 + b"\n")
def test_any_bytes_are_a_table_or_a_message_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "table.csv"
    path.write_bytes(content)
    found = ending(lambda: read_table(path, ["name", "risk"]))
    if isinstance(found, pd.DataFrame):
        assert np.isfinite(found["risk"].to_numpy(np.float64)).all()
    else:
        assert re.fullmatch(rf"{path}: .+", found)


@settings(deadline=None)
@given(DAMAGED)
@example(b'{"accuracy": ' + b"9" * 5000 + b"}")
@example(b'{"accuracy": "\\ud800"}')
def test_any_bytes_are_metrics_or_a_message_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "metrics.json"
    path.write_bytes(content)
    found = ending(lambda: read_metrics(path, Form))
    if isinstance(found, str):
        assert re.fullmatch(rf"{path}: .+", found)
    else:
        assert "accuracy" in found


def test_brackets_without_end_are_no_metrics(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"accuracy": ' + "[" * 100_000)
    with pytest.raises(PipelineError, match=r"metrics\.json: JSON: "):
        read_metrics(path, Form)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_metric_that_is_not_finite_is_not_read_either(tmp_path: Path, value: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(f'{{"accuracy": {value}}}')
    with pytest.raises(PipelineError, match=r"metrics\.json: "):
        read_metrics(path, Form)


def test_table_comes_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["shift", "noise"], "strength": [1, -0.5], "images": [3, 4]})
    write_table(tmp_path / "table.csv", table)
    found = read_table(tmp_path / "table.csv", ["name", "strength", "images"])
    pd.testing.assert_frame_equal(found, table)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "not a table"),
        ("name,risk\na,1\nb,1,1\n", "not a table"),
        ("name,risk\n", "expected rows of the columns name, risk"),
        ("risk,name\n1,1\n", "expected rows of the columns name, risk"),
        ("name,risk\na,1,1\n", "not a table: a row has more fields than there are columns"),
        ("name,risk\na,high\n", "expected finite numbers in risk"),
        ("name,risk\na,\n", "expected finite numbers in risk"),
        ("name,risk\na,inf\n", "expected finite numbers in risk"),
    ],
)
def test_table_that_is_none_names_its_file(tmp_path: Path, content: str, fact: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(content)
    with pytest.raises(PipelineError, match=rf"table\.csv: {fact}"):
        read_table(path, ["name", "risk"])


def test_table_comes_back_with_the_options_of_pandas() -> None:
    table = parse_table(b"name,share\n007,0.5\nNA,1\n", dtype={"name": str}, keep_default_na=False)
    assert table.to_dict("list") == {"name": ["007", "NA"], "share": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'a,b\n"1,2\n', "EOF inside string"),
        (b"a,b\n1,2,3\n", "more fields than there are columns"),
        (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"\xff", "utf-8"),
        (b"", "No columns"),
    ],
)
def test_what_is_no_plain_table_is_refused_in_one_line(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_table(content)
    assert "\n" not in str(caught.value)
