"""Selective classification: decide above a threshold of confidence, leave the rest to people.

The share decided is called coverage, the share of wrong answers among them risk; a threshold of
confidence trades one for the other (Chow, 1970; El-Yaniv and Wiener, 2010).
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import binom

from pipeline.evaluation.statistics import wilson_interval

CURVE_POINTS = 1000


class Decided(NamedTuple):
    """How many images a threshold decides, and how many of those wrongly.

    Attributes:
        images: How many there are.
        decided: How many of them have at least the threshold's confidence.
        errors: How many of those are classified wrongly.
    """

    images: int
    decided: int
    errors: int


def decide(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], threshold: float | None
) -> Decided:
    """Return how many images a threshold decides; without one, none.

    Args:
        confidence: Shape (n,).
        correct: Which images are classified correctly, shape (n,).
        threshold: The least confidence that is enough.
    """
    sure = confidence >= (np.inf if threshold is None else threshold)
    return Decided(len(sure), int(sure.sum()), int((sure & ~correct).sum()))


def decided_facts(found: Decided) -> dict[str, Any]:
    """Return coverage, and the risk with its 95% interval (Wilson, 1927), as JSON types."""
    if not found.decided:
        return {"coverage": 0.0, "errors": 0}
    low, high = wilson_interval(found.errors, found.decided)
    return {
        "coverage": found.decided / found.images,
        "errors": found.errors,
        "risk": found.errors / found.decided,
        "risk_interval": {"low": low, "high": high},
    }


def risk_coverage(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the risk-coverage curve.

    Args:
        confidence: Shape (n,).
        correct: Which images are classified correctly, shape (n,).

    Returns:
        Columns threshold, coverage, risk, and low and high, its 95% interval (Wilson, 1927). A row
        for every threshold that the images can tell apart, from the highest on, but about 1,000
        rows at most.
    """
    rows = _by_confidence(confidence, correct)
    chosen = np.unique(np.linspace(0, len(rows) - 1, CURVE_POINTS).round().astype(int))
    rows = rows.iloc[chosen]
    intervals = [
        wilson_interval(*counts) for counts in zip(rows["errors"], rows["decided"], strict=True)
    ]
    low, high = zip(*intervals, strict=True)
    return pd.DataFrame(
        {
            "threshold": rows["threshold"],
            "coverage": rows["decided"] / len(confidence),
            "risk": rows["errors"] / rows["decided"],
            "low": low,
            "high": high,
        }
    ).reset_index(drop=True)


def _by_confidence(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> pd.DataFrame:
    """Return threshold, decided and errors for every threshold, from the highest on.

    Images of equal confidence are decided together or not at all.
    """
    order = np.argsort(-confidence, kind="stable")
    threshold = confidence[order]
    ends = np.append(threshold[1:] < threshold[:-1], True)
    return pd.DataFrame(
        {
            "threshold": threshold[ends],
            "decided": np.arange(1, len(order) + 1)[ends],
            "errors": np.cumsum(~correct[order])[ends],
        }
    )


def choose_threshold(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    target: float,
    certainty: float,
) -> float | None:
    """Return the threshold that decides most, at a risk of at most ``target``.

    The risk is guaranteed for other images of the same kind, with probability ``certainty`` over
    the choice of these images, and for the whole search, not for each threshold on its own.

    Method: a threshold passes if the k most confident images have few enough errors. How few is
    set such that a classifier that is wrong with probability ``target``, whatever its confidence,
    passes for any k with probability 1 - ``certainty`` at most. One thing is assumed: images less
    confident than the threshold where the risk exceeds the target are wrong at least as often as
    the target. The nearest published method is learn-then-test (Angelopoulos et al., 2021, in
    MAPIE); its fixed sequence ends at the first error that is too many.

    Args:
        confidence: Of images that the network was not trained with, shape (n,).
        correct: Which of them are classified correctly, shape (n,).
        target: The risk, above 0 and below 1.
        certainty: Above 0 and below 1.

    Returns:
        None where no threshold is sure to reach the target.
    """
    rows = _by_confidence(confidence, correct)
    fewest = fewest_images(len(confidence), target, certainty)
    errors = rows["errors"].to_numpy()
    possible = errors < len(fewest)
    needed = np.append(fewest, 0)[np.minimum(errors, len(fewest))]
    enough = possible & (rows["decided"].to_numpy() >= needed)
    return float(rows["threshold"][enough].iloc[-1]) if enough.any() else None


def fewest_images(images: int, target: float, certainty: float) -> NDArray[np.int64]:
    """Return how many images must be decided at least to allow for 0, 1, 2 ... errors.

    Each of these tests is an exact binomial one (Clopper and Pearson, 1934), all of the same
    level: the highest at which all together are wrong with probability 1 - ``certainty`` at most.

    Args:
        images: How many there are at most; numbers of errors that need more are left out.
        target: The risk.
        certainty: Of the whole.
    """
    strictest, loosest = np.log((1 - certainty) / (images + 1)), np.log(1 - certainty)
    for _ in range(20):  # to a millionth of what is between
        level = (strictest + loosest) / 2
        fewest = _fewest_at_level(images, target, float(np.exp(level)))
        if _crossing_probability(fewest, target) > 1 - certainty:
            loosest = level
        else:
            strictest = level
    return _fewest_at_level(images, target, float(np.exp(strictest)))


def _fewest_at_level(images: int, target: float, level: float) -> NDArray[np.int64]:
    """Return for 0, 1, 2 ... errors the least k with P(errors or fewer among k) <= level."""
    sizes = np.arange(1, images + 1)
    # The most errors that each size allows for, -1 where it allows for none.
    most = binom.ppf(level, sizes, target).astype(int)
    most -= binom.cdf(most, sizes, target) > level
    return np.searchsorted(most, np.arange(most[-1] + 1)) + 1


def _crossing_probability(fewest: NDArray[np.int64], target: float) -> float:
    """Return the probability that a classifier of risk ``target`` passes the test for any k."""
    running = np.ones(1)  # probability of each number of errors, among those not few enough yet
    crossed = 0.0
    for errors, step in enumerate(np.diff(fewest, prepend=0)):
        most = len(fewest) - 1
        running = np.convolve(running, binom.pmf(np.arange(most + 1), step, target))[: most + 1]
        crossed += float(running[: errors + 1].sum())
        running[: errors + 1] = 0.0
    return crossed
