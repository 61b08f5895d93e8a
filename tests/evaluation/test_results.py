import json
import math
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.results import (
    parse_table,
    read_json,
    read_table,
    write_json,
    write_table,
)
from pipeline.runtime.errors import PipelineError


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_metric_that_is_not_finite_is_refused_and_nothing_written(
    tmp_path: Path, value: float
) -> None:
    path = tmp_path / "metrics.json"
    fact = rf"metrics\.json: rejection\.0\.005\.risk is not a finite number but {value}"
    with pytest.raises(PipelineError, match=fact):
        write_json(path, {"accuracy": 0.5, "rejection": {"0.005": {"risk": value}}})
    assert not path.exists()


def test_json_comes_back_as_it_was_in_a_folder_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "data/model/operating_points.json"
    values = {"temperature": math.pi, "images": 5000, "thresholds": {"0.005": 0.1, "0.001": None}}
    write_json(path, values)
    assert json.loads(path.read_text()) == values
    assert list(json.loads(path.read_text())) == list(values)
    content = path.read_bytes()
    assert content.endswith(b"}\n")
    assert b"\r" not in content


def test_metrics_that_are_all_whole_numbers_or_missing_are_no_error(tmp_path: Path) -> None:
    for values in ({"errors": 0}, {"threshold": None}, {"errors": 0, "risk": 0.0}):
        write_json(tmp_path / "metrics.json", values)
        assert read_json(tmp_path / "metrics.json") == values


def test_table_has_lines_of_unix_and_nine_digits(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["shift"], "strength": [1.0], "accuracy": [2 / 3]})
    write_table(tmp_path / "table.csv", table)
    assert (tmp_path / "table.csv").read_bytes() == (
        b"name,strength,accuracy\nshift,1,0.666666667\n"
    )


@given(st.lists(st.floats(0.1, 1).map(lambda value: round(value, 9)), min_size=1, max_size=20))
def test_thresholds_come_back_exactly_from_a_table(
    tmp_path_factory: pytest.TempPathFactory, thresholds: list[float]
) -> None:
    path = tmp_path_factory.mktemp("tables") / "risk_coverage.csv"
    write_table(path, pd.DataFrame({"threshold": thresholds}))
    assert read_table(path, ["threshold"])["threshold"].tolist() == thresholds


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"accuracy": 1}}', "\x00"])
def test_metrics_that_are_none_name_their_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(PipelineError, match=rf"^{path}: .*$"):
        read_json(path)


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
    with pytest.raises(ValueError, match=rf"^.*{reason}.*$"):
        parse_table(content)
