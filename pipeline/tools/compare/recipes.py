"""A comparison of two recipes, each by the networks that were trained with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError
from pipeline.tools.compare.comparison import (
    BETTER,
    NO_WORSE,
    WITHIN_NOISE,
    WORSE,
    interval_facts,
    points,
    verdict_in_words,
)
from pipeline.tools.compare.page import MOODS
from pipeline.tools.compare.statistics import two_way_bootstrap_interval
from pipeline.tools.page import Headline, Page, Table


@dataclass(frozen=True)
class RecipeComparison:
    """How the networks of two recipes, ``base`` and ``recipe``, classify the same images.

    The difference is recipe - base, a share; the margin is in percentage points.

    Attributes:
        images: Number of images, which all have classified.
        base: Accuracies of the base's runs, shape (seeds,).
        recipe: Accuracies of the recipe's runs.
        low: Lower bound of the 95% interval of the difference of the means (two-way bootstrap).
        high: Its upper bound.
        margin: How much accuracy may be lost without harm.
    """

    images: int
    base: NDArray[np.float64]
    recipe: NDArray[np.float64]
    low: float
    high: float
    margin: float

    @property
    def difference(self) -> float:
        """The recipe's mean accuracy minus the base's, a share."""
        return float(self.recipe.mean() - self.base.mean())

    @property
    def is_no_worse(self) -> bool:
        """Whether the loss is less than the margin, with 97.5% confidence."""
        return round(100 * self.low, 9) > -self.margin

    @property
    def verdict(self) -> str:
        """Better, worse, no worse than the margin, or within noise."""
        if self.low > 0:
            return BETTER
        if self.high < 0:
            return WORSE
        return NO_WORSE if self.is_no_worse else WITHIN_NOISE

    @property
    def sentence(self) -> str:
        """The verdict with its figures."""
        words = verdict_in_words(self.verdict, self.margin, is_no_worse=self.is_no_worse)
        return (
            f"{words}: {self.base.mean():.2%} → {self.recipe.mean():.2%} on average, "
            f"{points(self.difference, signed=True)} points (95% interval "
            f"{points(self.low, signed=True)} to {points(self.high, signed=True)}, for other "
            f"seeds and other images than these {len(self.base)} and {len(self.recipe)} runs on "
            f"{self.images:,} images)."
        )


@dataclass(frozen=True)
class RecipeSide:
    """One of the two recipes.

    Attributes:
        name: What the user calls it.
        correct: Which images its runs get right, shape (seeds, images).
        known_labels: The actual class by image, of the images that some run gets wrong.
        outdated: Files and folders that have changed since the runs were made.
    """

    name: str
    correct: NDArray[np.bool_]
    known_labels: "pd.Series[int]"
    outdated: Sequence[str]


def compare_recipes(base: RecipeSide, recipe: RecipeSide, margin: float) -> RecipeComparison:
    """Return how two recipes differ, ``margin`` in percentage points.

    Raises:
        PipelineError: They are of different images, or there is a single run of one.
    """
    images, others = base.correct.shape[1], recipe.correct.shape[1]
    if images != others:
        raise PipelineError(f"not the same test set: {images:,} images there, {others:,} here")
    labels = pd.concat([base.known_labels, recipe.known_labels], axis=1, join="inner")
    differing = int((labels.iloc[:, 0] != labels.iloc[:, 1]).sum())
    if differing:
        raise PipelineError(
            f"not the same test set: {differing:,} of {len(labels):,} images are of another class"
        )
    if min(len(base.correct), len(recipe.correct)) < 2:  # noqa: PLR2004 (one run tells nothing of the next)
        raise PipelineError("recipes are compared by two runs each or more, with different seeds")
    low, high = two_way_bootstrap_interval(base.correct, recipe.correct)
    return RecipeComparison(
        images, base.correct.mean(axis=1), recipe.correct.mean(axis=1), low, high, margin
    )


def recipe_page(sides: Sequence[RecipeSide], comparison: RecipeComparison) -> Page:
    """Return a comparison for people.

    Args:
        sides: The base, then the recipe.
        comparison: Of the two.
    """
    return [
        Headline(comparison.sentence, MOODS.get(comparison.verdict, "neutral")),
        *(
            f"Out of date: {', '.join(side.outdated)} changed after the runs of {side.name} were "
            "made. `make study` brings them up to date."
            for side in sides
            if side.outdated
        ),
        Table(
            "Test accuracy",
            ["recipe", "seeds", "mean", "standard deviation", "lowest", "highest"],
            [
                [
                    side.name,
                    str(len(accuracies)),
                    f"{accuracies.mean():.2%}",
                    f"{points(accuracies.std(ddof=1))} points",
                    f"{accuracies.min():.2%}",
                    f"{accuracies.max():.2%}",
                ]
                for side, accuracies in zip(
                    sides, (comparison.base, comparison.recipe), strict=True
                )
            ],
            numeric=range(1, 6),
        ),
    ]


def recipe_facts(sides: Sequence[RecipeSide], comparison: RecipeComparison) -> dict[str, Any]:
    """Return a comparison as JSON types, its arguments those of ``recipe_page``."""
    found = {"base": comparison.base, "recipe": comparison.recipe}
    return {
        "verdict": comparison.verdict,
        "no_worse_than_margin": comparison.is_no_worse,
        "sentence": comparison.sentence,
        "images": comparison.images,
        **{
            key: {
                "name": side.name,
                "outdated": list(side.outdated),
                "accuracies": accuracies.tolist(),
            }
            for side, (key, accuracies) in zip(sides, found.items(), strict=True)
        },
        **interval_facts(comparison.difference, comparison.low, comparison.high),
        "margin_points": comparison.margin,
    }
