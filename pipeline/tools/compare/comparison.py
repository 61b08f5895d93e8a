"""A comparison of two classifiers by their predictions for the same images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.statistics import ALPHA, wilson_interval
from pipeline.runtime.errors import PipelineError
from pipeline.tools.compare.statistics import (
    mcnemar_p_values,
    paired_bootstrap_interval,
    smallest_significant_difference,
)

IDENTICAL = "identical"
BETTER = "better"
WORSE = "worse"
NO_WORSE = "no worse than the margin"
WITHIN_NOISE = "within noise"


@dataclass(frozen=True)
class Accuracy:
    """How many images a classifier gets right.

    Attributes:
        correct: Images classified correctly.
        share: Of all images.
        low: Lower bound of the share's 95% interval (Wilson's).
        high: Its upper bound.
    """

    correct: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How the predictions of two classifiers, ``base`` and ``revision``, differ.

    Differences are revision - base, as shares; the margin is in percentage points.

    Attributes:
        images: Number of images, which both have classified.
        base: Accuracy of the base.
        revision: Accuracy of the revision.
        low: Lower bound of the difference's 95% interval (paired bootstrap).
        high: Its upper bound.
        exact_p: Of McNemar's test.
        mid_p: Of McNemar's test.
        margin: How much accuracy may be lost without harm.
        identical: Whether both give every image the same class.
        by_class: A row per actual class that occurs, columns class, images, newly_right and
            newly_wrong.
        confusion_change: Signed, int64 (classes, classes): actual (row), predicted (column).
        class_names: Of the classes, if they have names.
    """

    images: int
    base: Accuracy
    revision: Accuracy
    low: float
    high: float
    exact_p: float
    mid_p: float
    margin: float
    identical: bool
    by_class: pd.DataFrame
    confusion_change: NDArray[np.int64]
    class_names: Sequence[str] = ()

    def named(self, *made_with: Mapping[str, Any]) -> Self:
        """Return the comparison with the names that all these parameters give the classes."""
        names = [tuple((one.get("preprocess") or {}).get("class_names") or ()) for one in made_with]
        is_enough = len(names[0]) >= len(self.confusion_change)
        return replace(self, class_names=names[0] if len(set(names)) == 1 and is_enough else ())

    def name(self, label: int) -> str:
        """Return the name of a class."""
        return self.class_names[label] if self.class_names else str(label)

    @property
    def newly_right(self) -> int:
        """Images that only the revision classifies correctly."""
        return int(self.by_class["newly_right"].sum())

    @property
    def newly_wrong(self) -> int:
        """Images that only the base classifies correctly."""
        return int(self.by_class["newly_wrong"].sum())

    @property
    def difference(self) -> float:
        """The revision's accuracy minus the base's, a share."""
        return (self.revision.correct - self.base.correct) / self.images

    @property
    def discordant(self) -> int:
        """Images that only one of the two classifies correctly."""
        return self.newly_right + self.newly_wrong

    @property
    def smallest_significant(self) -> float | None:
        """The smallest significant difference, a share, with so many discordant images, if any."""
        return smallest_significant_difference(self.discordant, self.images)

    @property
    def is_no_worse(self) -> bool:
        """Whether the loss is less than the margin, with 97.5% confidence.

        Models that give every image the same class count as equal, however few images there are.
        """
        # Rounded, so that -29 of 10,000 images are -0.29 points exactly.
        return self.identical or round(100 * self.low, 9) > -self.margin

    @property
    def is_equivalent(self) -> bool:
        """Whether the two differ by less than the margin, in either direction."""
        return self.is_no_worse and (self.identical or round(100 * self.high, 9) < self.margin)

    @property
    def verdict(self) -> str:
        """Identical, better, worse, no worse than the margin, or within noise."""
        if self.identical:
            return IDENTICAL
        if self.exact_p < ALPHA:
            return BETTER if self.difference > 0 else WORSE
        return NO_WORSE if self.is_no_worse else WITHIN_NOISE

    @property
    def sentence(self) -> str:
        """The verdict with its figures, and the smallest significant difference."""
        images = f"{self.images:,} images"
        if self.identical:
            return (
                f"Identical: both give all {images} the same class, "
                f"{self.base.share:.2%} of them the right one."
            )
        words = verdict_in_words(self.verdict, self.margin, is_no_worse=self.is_no_worse)
        least = self.smallest_significant
        significant = (
            f"only {self.discordant} of these {images} tell the two apart, too few for a "
            "significant difference"
            if least is None
            else f"the smallest significant difference on these {images} is {points(least)} points"
        )
        return (
            f"{words}: {self.base.share:.2%} → {self.revision.share:.2%}, "
            f"{points(self.difference, signed=True)} points (95% interval "
            f"{points(self.low, signed=True)} to {points(self.high, signed=True)}); "
            f"{significant}."
        )


def verdict_in_words(verdict: str, margin: float, *, is_no_worse: bool) -> str:
    """Return a verdict as the beginning of a sentence, ``margin`` in percentage points."""
    bound = f"the margin of {margin:g} points"
    return {
        BETTER: "Better",
        WORSE: f"Worse, though by less than {bound}" if is_no_worse else "Worse",
        NO_WORSE: f"Within noise, and no worse than {bound}",
        WITHIN_NOISE: "Within noise",
    }[verdict]


def compare_predictions(base: pd.DataFrame, revision: pd.DataFrame, margin: float) -> Comparison:
    """Return how two tables of predictions for the same images differ.

    Args:
        base: Columns actual and predicted, a row an image.
        revision: The same images in the same order.
        margin: In percentage points.

    Raises:
        PipelineError: The actual classes differ, so they are not the same images.
    """
    if len(base) != len(revision):
        raise PipelineError(
            f"not the same test set: {len(base):,} images there, {len(revision):,} here"
        )
    actual = base["actual"]
    differing = int((actual != revision["actual"]).sum())
    if differing:
        raise PipelineError(
            f"not the same test set: {differing:,} of {len(base):,} images are of another class"
        )
    was_right = base["predicted"] == actual
    is_right = revision["predicted"] == actual
    newly_right, newly_wrong = is_right & ~was_right, was_right & ~is_right
    gains, losses = int(newly_right.sum()), int(newly_wrong.sum())
    low, high = paired_bootstrap_interval(losses, gains, len(base))
    exact_p, mid_p = mcnemar_p_values(losses, gains)
    outcomes = pd.DataFrame(
        {"class": actual, "images": 1, "newly_right": newly_right, "newly_wrong": newly_wrong}
    )
    classes = (
        max(int(one[["actual", "predicted"]].to_numpy().max()) for one in (base, revision)) + 1
    )
    confusion_change = np.zeros((classes, classes), np.int64)
    np.add.at(confusion_change, (actual, revision["predicted"]), 1)
    np.subtract.at(confusion_change, (actual, base["predicted"]), 1)
    return Comparison(
        images=len(base),
        base=_accuracy(was_right),
        revision=_accuracy(is_right),
        low=low,
        high=high,
        exact_p=exact_p,
        mid_p=mid_p,
        margin=margin,
        identical=bool((base["predicted"] == revision["predicted"]).all()),
        by_class=outcomes.groupby("class", as_index=False).sum(),
        confusion_change=confusion_change,
    )


def _accuracy(right: "pd.Series[bool]") -> Accuracy:
    correct = int(right.sum())
    low, high = wilson_interval(correct, len(right))
    return Accuracy(correct, correct / len(right), low, high)


def points(share: float, *, signed: bool = False) -> str:
    """Return a difference between shares in percentage points, with a true minus sign."""
    text = f"{100 * share:{'+' if signed else ''}.2f}"
    return text.replace("-", "−")


def interval_facts(difference: float, low: float, high: float) -> dict[str, Any]:
    """Return shares as JSON types, in percentage points: -0.17, not -0.1699999999999999."""
    return {
        "difference_points": round(100 * difference, 9),
        "interval_points": {"low": round(100 * low, 9), "high": round(100 * high, 9)},
    }
