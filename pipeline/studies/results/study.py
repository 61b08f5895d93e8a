"""A seed study: each recipe trained with several seeds, and the test images each run gets wrong."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from scipy.stats import t

from pipeline.evaluation.results import parse_table
from pipeline.evaluation.statistics import ALPHA
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import Section, unique

Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), AfterValidator(unique)
]
RecipeNames = Annotated[list[str], Field(min_length=1), AfterValidator(unique)]
RUNS_FILE = "runs.csv"
ERRORS_FILE = "errors.csv"
RUN_COLUMNS = ["recipe", "seed", "validation_accuracy", "test_accuracy", "test_images"]
ERROR_COLUMNS = ["recipe", "seed", "image", "actual", "predicted"]


class StudyParams(Section):
    """Section ``study`` of ``studies/params.yaml``."""

    recipes: RecipeNames
    seeds: Annotated[Seeds, Field(min_length=2)]


@dataclass(frozen=True)
class Study:
    """The runs of a seed study.

    Attributes:
        runs: A row a run: recipe, seed, validation_accuracy, test_accuracy, test_images.
        errors: A row for each test image that a run gets wrong: recipe, seed, image (from 0),
            actual, predicted.
    """

    runs: pd.DataFrame
    errors: pd.DataFrame

    @property
    def known_labels(self) -> "pd.Series[int]":
        """The actual class by image, of the images that some run gets wrong."""
        return self.errors.drop_duplicates("image").set_index("image")["actual"]

    def correct(self, recipe: str) -> NDArray[np.bool_]:
        """Return which test images each run of a recipe gets right, shape (seeds, images).

        Raises:
            PipelineError: The study has no run of it.
        """
        mine = self.runs[self.runs["recipe"] == recipe].reset_index(drop=True)
        if mine.empty:
            known = ", ".join(self.runs["recipe"].unique())
            raise PipelineError(f"the study has no recipe {recipe!r}, but {known}")
        correct = np.ones((len(mine), int(mine["test_images"].iloc[0])), bool)
        for row, seed in enumerate(mine["seed"]):
            wrong = (self.errors["recipe"] == recipe) & (self.errors["seed"] == seed)
            correct[row, self.errors.loc[wrong, "image"]] = False
        return correct


def parse_study(runs_file: bytes, errors_file: bytes, name: str) -> Study:
    """Return the study in the bytes of its two CSV files, which messages call ``name``.

    Raises:
        PipelineError: They are no such tables.
    """
    return Study(
        _parse(runs_file, RUN_COLUMNS, f"{name}: {RUNS_FILE}"),
        _parse(errors_file, ERROR_COLUMNS, f"{name}: {ERRORS_FILE}"),
    )


def _parse(content: bytes, columns: list[str], name: str) -> pd.DataFrame:
    try:
        table = parse_table(content, dtype={"recipe": str}, keep_default_na=False)
    except ValueError as error:
        raise PipelineError(f"{name}: {error}") from error
    if list(table.columns) != columns:
        raise PipelineError(f"{name}: expected the columns {', '.join(columns)}")
    return table


def summary(runs: pd.DataFrame) -> dict[str, Any]:
    """Return the accuracy of each recipe over its seeds, test and validation, as JSON types.

    The interval is Student's (1908) for the mean, of 95% confidence: for the recipe's runs with
    whatever seeds, on these images.
    """
    return {
        str(recipe): {"seeds": len(rows)}
        | {part: _scores(rows[f"{part}_accuracy"].to_numpy()) for part in ("test", "validation")}
        for recipe, rows in runs.groupby("recipe", sort=False)
    }


def _scores(accuracies: NDArray[np.float64]) -> dict[str, Any]:
    low, high = mean_interval(accuracies)
    return {
        "mean": float(accuracies.mean()),
        "standard_deviation": float(accuracies.std(ddof=1)),
        "mean_interval": {"low": low, "high": high},
        "minimum": float(accuracies.min()),
        "maximum": float(accuracies.max()),
    }


def mean_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95% interval of the mean of normal values (Student, 1908).

    Args:
        values: Shape (n,), at least two.
    """
    error = values.std(ddof=1) / np.sqrt(len(values))
    reach = error * t.ppf(1 - ALPHA / 2, len(values) - 1)
    return float(values.mean() - reach), float(values.mean() + reach)
