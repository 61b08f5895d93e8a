"""Rejection and calibration over the runs of a seed study."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = ["recipe", "seed", "target_error", "threshold", "coverage", "errors", "risk"]


def rejection_table(runs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row for each run and target error.

    Args:
        runs: Of each run, what ``assess`` writes.

    Returns:
        Columns recipe, seed, target_error, threshold, coverage, errors and risk; threshold is
        empty where none is sure to reach the target, and risk where no image is decided.
    """
    return pd.DataFrame(
        [
            {
                "recipe": run["recipe"],
                "seed": run["seed"],
                "target_error": float(target),
                "threshold": run["operating_points"]["thresholds"][target],
                **found,
            }
            for run in runs
            for target, found in run["rejection"].items()
        ]
    ).reindex(columns=COLUMNS)


def rejection_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Return coverage and risk over the runs of each recipe, by target error, as JSON types.

    The risk is that of all decisions of all runs together; the highest of a run stands beside it.
    Both are left out where no run decides anything.

    Args:
        table: As ``rejection_table`` returns it.
    """
    found: dict[str, Any] = {}
    for (recipe, target), rows in table.groupby(["recipe", "target_error"], sort=False):
        decided = rows[rows["coverage"] > 0]
        coverage = rows["coverage"]
        found.setdefault(str(recipe), {})[f"{target:g}"] = {
            "runs_with_threshold": int(rows["threshold"].notna().sum()),
            "mean_coverage": float(coverage.mean()),
            "minimum_coverage": float(coverage.min()),
            "maximum_coverage": float(coverage.max()),
        } | (
            {
                "risk": float((decided["risk"] * decided["coverage"]).sum() / coverage.sum()),
                "highest_risk": float(decided["risk"].max()),
            }
            if len(decided)
            else {}
        )
    return found


def calibration_summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean temperature and calibration error of each recipe, as JSON types."""
    table = pd.DataFrame(
        {
            "recipe": run["recipe"],
            "temperature": run["operating_points"]["temperature"],
            **{
                f"calibration_error_{when}": run["calibration"][when]["expected_calibration_error"]
                for when in ("before", "after")
            },
        }
        for run in runs
    )
    means = table.groupby("recipe", sort=False).mean()
    return {str(recipe): row for recipe, row in means.to_dict("index").items()}
