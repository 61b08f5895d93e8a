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
from pipeline.runtime.params import Section


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("a value is listed twice")
    return values


Seeds = Annotated[
    list[Annotated[int, Field(ge=0, lt=2**32)]], Field(min_length=1), AfterValidator(_unique)
]
RecipeNames = Annotated[list[str], Field(min_length=1), AfterValidator(_unique)]
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
        PipelineError: They are no such tables, or are not of the same runs.
    """
    study = Study(
        _parse(runs_file, RUN_COLUMNS, f"{name}: {RUNS_FILE}"),
        _parse(errors_file, ERROR_COLUMNS, f"{name}: {ERRORS_FILE}"),
    )
    runs = study.runs.set_index(["recipe", "seed"])
    expected = ((1 - runs["test_accuracy"]) * runs["test_images"]).round().astype(int)
    errors = study.errors.drop_duplicates(["recipe", "seed", "image"])
    if (
        runs.index.has_duplicates
        or len(runs["test_images"].unique()) != 1
        or not errors["image"].between(0, runs["test_images"].iloc[0] - 1).all()
        or not errors.groupby(["recipe", "seed"])
        .size()
        .reindex(runs.index, fill_value=0)
        .equals(expected)
        or len(study.errors) != expected.sum()
        or len(study.errors[["image", "actual"]].drop_duplicates()) != len(study.known_labels)
    ):
        raise PipelineError(f"{name}: {ERRORS_FILE} is not of the runs in {RUNS_FILE}")
    return study


def _parse(content: bytes, columns: list[str], name: str) -> pd.DataFrame:
    try:
        table = parse_table(content, dtype={"recipe": str}, keep_default_na=False)
    except ValueError as error:
        raise PipelineError(f"{name}: {error}") from error
    shares = table.filter(like="accuracy")
    counts = table.drop(columns=["recipe", *shares], errors="ignore")
    if (
        list(table.columns) != columns
        or any(kind.kind != "i" for kind in counts.dtypes if len(table))
        or any(kind.kind not in "if" for kind in shares.dtypes if len(table))
        or not shares.map(lambda share: 0 <= share <= 1).all(axis=None)
    ):
        raise PipelineError(f"{name}: expected numbers in the columns {', '.join(columns)}")
    return table


def summary(study: Study) -> dict[str, Any]:
    """Return the accuracy of each recipe over its seeds, test and validation, as JSON types.

    The interval is Student's (1908) for the mean, of 95% confidence: for the recipe's runs with
    whatever seeds, on these images.
    """
    return {
        str(recipe): {"seeds": len(runs)}
        | {part: _scores(runs[f"{part}_accuracy"].to_numpy()) for part in ("test", "validation")}
        for recipe, runs in study.runs.groupby("recipe", sort=False)
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
