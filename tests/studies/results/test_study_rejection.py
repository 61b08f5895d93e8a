import math
from typing import Any

import pytest

from pipeline.studies.results.rejection import (
    COLUMNS,
    calibration_summary,
    rejection_summary,
    rejection_table,
)


def decided(coverage: float, errors: int, risk: float) -> dict[str, Any]:
    return {
        "coverage": coverage,
        "errors": errors,
        "risk": risk,
        "risk_interval": {"low": 0.0, "high": 1.0},
    }


NOTHING = {"coverage": 0.0, "errors": 0}


def run(
    recipe: str,
    seed: int,
    found: dict[str, tuple[float | None, dict[str, Any]]],
    temperature: float = 1.0,
    errors: tuple[float, float] = (0.5, 0.25),
) -> dict[str, Any]:
    """Return the facts of a run: of each target its threshold, and what it comes to."""
    before, after = ({"expected_calibration_error": error} for error in errors)
    return {
        "recipe": recipe,
        "seed": seed,
        "operating_points": {
            "temperature": temperature,
            "thresholds": {target: threshold for target, (threshold, _) in found.items()},
        },
        "calibration": {"before": before, "after": after},
        "rejection": {target: facts for target, (_, facts) in found.items()},
    }


NO_THRESHOLD = (None, NOTHING)
RUNS = [
    run("old", 0, {"0.005": (0.75, decided(0.5, 1, 0.002)), "0.001": NO_THRESHOLD}, 1.5),
    run("old", 1, {"0.005": (0.5, decided(1.0, 5, 0.005)), "0.001": NO_THRESHOLD}, 2.5, (0.25, 0)),
    # A threshold that no test image reaches.
    run("new", 0, {"0.005": (0.25, decided(0.75, 0, 0.0)), "0.001": (1.0, NOTHING)}),
    run("new", 1, {"0.005": NO_THRESHOLD, "0.001": (0.875, decided(0.25, 1, 0.004))}),
]
TABLE = rejection_table(RUNS)


def test_table_has_a_row_for_each_run_and_target() -> None:
    assert list(TABLE.columns) == COLUMNS
    missing = math.nan
    expected = [
        ("old", 0, 0.005, 0.75, 0.5, 1, 0.002),
        ("old", 0, 0.001, missing, 0.0, 0, missing),
        ("old", 1, 0.005, 0.5, 1.0, 5, 0.005),
        ("old", 1, 0.001, missing, 0.0, 0, missing),
        ("new", 0, 0.005, 0.25, 0.75, 0, 0.0),
        ("new", 0, 0.001, 1.0, 0.0, 0, missing),
        ("new", 1, 0.005, missing, 0.0, 0, missing),
        ("new", 1, 0.001, 0.875, 0.25, 1, 0.004),
    ]
    found = list(TABLE.itertuples(index=False, name=None))
    assert len(found) == len(expected)
    for row, wanted in zip(found, expected, strict=True):
        assert row[0] == wanted[0]
        assert row[1:] == pytest.approx(wanted[1:], nan_ok=True, rel=0)


def test_summary_is_what_one_computes_by_hand() -> None:
    found = rejection_summary(TABLE)
    assert list(found) == ["old", "new"]
    assert [list(targets) for targets in found.values()] == [["0.005", "0.001"]] * 2
    assert found["old"]["0.005"] == pytest.approx(
        {
            "runs_with_threshold": 2,
            "mean_coverage": 0.75,
            "minimum_coverage": 0.5,
            "maximum_coverage": 1.0,
            "risk": 0.004,  # (0.5 x 0.002 + 1.0 x 0.005) / 1.5
            "highest_risk": 0.005,
        }
    )
    # What has decided nothing counts for the coverage and not for the risk.
    assert found["new"]["0.005"] == pytest.approx(
        {
            "runs_with_threshold": 1,
            "mean_coverage": 0.375,
            "minimum_coverage": 0.0,
            "maximum_coverage": 0.75,
            "risk": 0.0,
            "highest_risk": 0.0,
        }
    )
    assert found["new"]["0.001"]["runs_with_threshold"] == 2
    assert found["new"]["0.001"]["risk"] == pytest.approx(0.004)


def test_recipe_without_any_threshold_has_a_coverage_of_nothing_and_no_risk() -> None:
    assert rejection_summary(TABLE)["old"]["0.001"] == {
        "runs_with_threshold": 0,
        "mean_coverage": 0.0,
        "minimum_coverage": 0.0,
        "maximum_coverage": 0.0,
    }
    # The table of such recipes alone has all columns still.
    alone = rejection_table([run("old", 0, {"0.001": (None, NOTHING)})])
    assert alone.to_csv(index=False).splitlines()[1] == "old,0,0.001,,0.0,0,"
    assert rejection_summary(alone)["old"]["0.001"]["runs_with_threshold"] == 0


def test_calibration_is_the_mean_over_the_runs_of_a_recipe() -> None:
    assert calibration_summary(RUNS) == {
        "old": {
            "temperature": 2.0,
            "calibration_error_before": 0.375,
            "calibration_error_after": 0.125,
        },
        "new": {
            "temperature": 1.0,
            "calibration_error_before": 0.5,
            "calibration_error_after": 0.25,
        },
    }
