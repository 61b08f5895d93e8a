"""A comparison of two recipes, each by the networks that it has made with several seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison import BETTER, NO_WORSE, WITHIN_NOISE, WORSE, points
from pipeline.page import Headline, Page, Table
from pipeline.stage import PipelineError
from pipeline.statistics import two_way_bootstrap_interval

MOODS = {BETTER: "good", WORSE: "bad"}


@dataclass(frozen=True)
class RecipeComparison:
    """How the networks of two recipes, ``base`` and ``recipe``, do on the same images.

    The difference is recipe - base, a share; the margin is in percentage points.

    Attributes:
        images: Number of images that all have classified.
        base: Accuracies of the runs of the one compared with, shape (seeds,).
        recipe: Accuracies of the other's.
        low: Lower bound of the 95% interval of the difference of the means (two-way bootstrap).
        high: Its upper bound.
        margin: How much worse the recipe may be and still count as no worse.
    """

    images: int
    base: NDArray[np.float64]
    recipe: NDArray[np.float64]
    low: float
    high: float
    margin: float

    @property
    def difference(self) -> float:
        """Of the mean accuracies."""
        return float(self.recipe.mean() - self.base.mean())

    @property
    def is_no_worse(self) -> bool:
        """Whether it is shown, with 97.5% confidence, that it is not worse by the margin."""
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
        margin = f"the margin of {self.margin:g} points"
        words = {
            BETTER: "Better",
            WORSE: f"Worse, though by less than {margin}" if self.is_no_worse else "Worse",
            NO_WORSE: f"Within noise, and no worse than {margin}",
            WITHIN_NOISE: "Within noise",
        }[self.verdict]
        return (
            f"{words}: {self.base.mean():.2%} → {self.recipe.mean():.2%} on average, "
            f"{points(self.difference, signed=True)} points (95% interval "
            f"{points(self.low, signed=True)} to {points(self.high, signed=True)}, for other "
            f"seeds and other images than these {len(self.base)} and {len(self.recipe)} runs on "
            f"{self.images:,} images)."
        )


def compare_recipes(
    base: NDArray[np.bool_], recipe: NDArray[np.bool_], margin: float
) -> RecipeComparison:
    """Return the comparison of two recipes.

    Args:
        base: Which images the runs of the one compared with get right, shape (seeds, images).
        recipe: The same of the other, for the same images.
        margin: In percentage points.

    Raises:
        PipelineError: They are of different images, or there is a single run of one.
    """
    if base.shape[1] != recipe.shape[1]:
        raise PipelineError(
            f"not the same test set: {base.shape[1]:,} images there, {recipe.shape[1]:,} here"
        )
    if min(len(base), len(recipe)) < 2:  # noqa: PLR2004 (one run tells nothing of the next)
        raise PipelineError("recipes are compared by two runs each or more, with different seeds")
    low, high = two_way_bootstrap_interval(base, recipe)
    return RecipeComparison(
        base.shape[1], base.mean(axis=1), recipe.mean(axis=1), low, high, margin
    )


def recipe_page(names: Sequence[str], comparison: RecipeComparison) -> Page:
    """Return a comparison for people, ``names`` being those of the two recipes."""
    return [
        Headline(comparison.sentence, MOODS.get(comparison.verdict, "neutral")),
        Table(
            "Test accuracy",
            ["recipe", "seeds", "mean", "standard deviation", "lowest", "highest"],
            [
                [
                    name,
                    str(len(accuracies)),
                    f"{accuracies.mean():.2%}",
                    f"{points(accuracies.std(ddof=1))} points",
                    f"{accuracies.min():.2%}",
                    f"{accuracies.max():.2%}",
                ]
                for name, accuracies in zip(
                    names, (comparison.base, comparison.recipe), strict=True
                )
            ],
            numeric=range(1, 6),
        ),
    ]


def recipe_facts(names: Sequence[str], comparison: RecipeComparison) -> dict[str, Any]:
    """Return a comparison as JSON types, its arguments those of ``recipe_page``."""
    sides = {"base": comparison.base, "recipe": comparison.recipe}
    return {
        "verdict": comparison.verdict,
        "no_worse_than_margin": comparison.is_no_worse,
        "sentence": comparison.sentence,
        "images": comparison.images,
        **{
            side: {"name": name, "accuracies": accuracies.tolist()}
            for name, (side, accuracies) in zip(names, sides.items(), strict=True)
        },
        "difference_points": round(100 * comparison.difference, 9),
        "interval_points": {
            "low": round(100 * comparison.low, 9),
            "high": round(100 * comparison.high, 9),
        },
        "margin_points": comparison.margin,
    }
