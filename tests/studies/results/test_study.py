"""A study's two tables, and what they come to."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.weightstats import DescrStatsW

from pipeline.runtime.errors import PipelineError
from pipeline.studies.results.study import Study, mean_interval, parse_study, summary

RUNS = """\
recipe,seed,validation_accuracy,test_accuracy,test_images
plain,0,0.8,0.75,4
plain,1,0.9,1.0,4
null,0,0.7,0.5,4
"""
ERRORS = """\
recipe,seed,image,actual,predicted
plain,0,2,7,1
null,0,0,3,5
null,0,3,4,9
"""


def parse(runs: str = RUNS, errors: str = ERRORS) -> Study:
    return parse_study(runs.encode(), errors.encode(), "main")


def test_correct_images_are_all_but_the_errors() -> None:
    study = parse()
    np.testing.assert_array_equal(study.correct("plain"), [[1, 1, 0, 1], [1, 1, 1, 1]])
    np.testing.assert_array_equal(study.correct("null"), [[0, 1, 1, 0]])  # a name, not a number


def test_study_without_any_error_is_a_study() -> None:
    perfect = RUNS.replace("0.75", "1.0").replace("0.5", "1.0")
    study = parse(perfect, ERRORS.splitlines(keepends=True)[0])
    assert study.correct("plain").all()


def test_recipe_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(PipelineError, match=r"^the study has no recipe 'fancy', but plain, null$"):
        parse().correct("fancy")


def test_summary_has_mean_deviation_and_range_of_both_parts() -> None:
    runs = pd.DataFrame(
        {
            "recipe": "plain",
            "seed": range(4),
            "validation_accuracy": [0.5, 0.5, 0.5, 0.5],
            "test_accuracy": [0.91, 0.92, 0.93, 0.94],
            "test_images": 100,
        }
    )
    found = summary(runs)["plain"]
    assert found["seeds"] == 4
    assert found["test"]["mean"] == pytest.approx(0.925)
    assert found["test"]["standard_deviation"] == pytest.approx(0.0129099, rel=1e-5)
    # Student's t for 3 degrees of freedom is 3.182446 (Fisher and Yates, 1963, table III).
    reach = 3.182446 * 0.0129099 / 2
    assert found["test"]["mean_interval"]["low"] == pytest.approx(0.925 - reach, rel=1e-5)
    assert (found["test"]["minimum"], found["test"]["maximum"]) == (0.91, 0.94)
    assert found["validation"]["mean_interval"] == {"low": 0.5, "high": 0.5}


@pytest.mark.parametrize(
    ("runs", "message"),
    [("", "No columns"), (RUNS.replace("seed", "sead"), "expected the columns recipe, seed")],
)
def test_damaged_study_is_named(runs: str, message: str) -> None:
    with pytest.raises(PipelineError, match=f"^main: runs.csv: {message}"):
        parse(runs)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_interval_of_a_mean_is_that_of_statsmodels(values: list[float]) -> None:
    expected = DescrStatsW(values).tconfint_mean(alpha=0.05)
    assert mean_interval(np.array(values)) == pytest.approx(expected, abs=1e-9)
