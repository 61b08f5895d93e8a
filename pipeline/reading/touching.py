"""Part digits that touch, led by the network: what it proposes is for a person to confirm."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.float32]
Scores = Callable[[Sequence[Grey]], NDArray[np.float64]]

MOST_CUTS = 12  # candidates, those through the least ink
NARROWEST, WIDEST = 0.12, 1.25  # digits, in heights of the line
# What is taken off the logarithm of a digit's probability: for each digit; for a cut, per height of
# ink that it goes through; for a digit narrower than 0.3 heights; and per height wider than 1.1.
EACH, THROUGH, NARROW, WIDE = 0.35, 1.2, 0.7, 3.0


class Way(NamedTuple):
    """A way to read a piece of ink.

    Attributes:
        score: The higher the more probable.
        digits: The columns of each, from the first on to the one after the last.
    """

    score: float
    digits: Sequence[tuple[int, int]]


def ways_to_cut(ink: Grey, height: float, scores: Scores) -> dict[int, Way]:
    """Return the best way to read a piece as one digit, as two, and so on.

    Method: over-segmentation. Of all ways to cut at columns with little ink, the one whose digits
    are most probable together, by dynamic programming.

    Args:
        ink: The piece, set upright; shape (rows, columns), above 0.5 where there is ink.
        height: Of a digit of the same line, in pixels.
        scores: Gives the logarithm of how probable it is that each of several pieces is a digit.
    """
    mask = ink > 0.5  # noqa: PLR2004
    profile = ndimage.uniform_filter1d(mask.sum(axis=0).astype(float), max(1, int(0.04 * height)))
    places = [0, *_minima(profile, max(1, int(0.06 * height))), ink.shape[1]]
    last = len(places) - 1
    spans = [
        (start, stop)
        for start in range(len(places))
        for stop in range(start + 1, len(places))
        if mask[:, places[start] : places[stop]].any()
        and (
            NARROWEST * height <= places[stop] - places[start] <= WIDEST * height
            or stop - start == last
        )
    ]
    crops = [largest_parts(ink[:, places[start] : places[stop]]) for start, stop in spans]
    best: list[dict[int, Way]] = [{0: Way(0.0, [])}, *({} for _ in range(last))]
    values = scores(crops)
    for (start, stop), score in sorted(zip(spans, values, strict=True), key=lambda one: one[0][1]):
        width = (places[stop] - places[start]) / height
        gain = float(score) - EACH - NARROW * (width < 0.3) - WIDE * max(0, width - 1.1)  # noqa: PLR2004
        gain -= THROUGH * profile[places[start]] / height if start else 0
        digit = (places[start], places[stop])
        for count, way in best[start].items():
            total = way.score + gain
            if count + 1 not in best[stop] or total > best[stop][count + 1].score:
                best[stop][count + 1] = Way(total, [*way.digits, digit])
    return best[last]


def ways_together(pieces: Sequence[Mapping[int, Way]], digits: int) -> list[Way] | None:
    """Return a way for each of several pieces, so that they have so many digits in all.

    Method: the highest sum of scores, by dynamic programming.

    Args:
        pieces: The ways of each, by the number of its digits.
        digits: In all.

    Returns:
        None if there is no such way.
    """
    best: dict[int, tuple[float, list[Way]]] = {0: (0.0, [])}
    for ways in pieces:
        longer: dict[int, tuple[float, list[Way]]] = {}
        for count, (score, chosen) in best.items():
            for more, way in ways.items():
                total = count + more
                if total <= digits and score + way.score > longer.get(total, (-np.inf,))[0]:
                    longer[total] = (score + way.score, [*chosen, way])
        best = longer
    return best[digits][1] if digits in best else None


def _minima(profile: NDArray[np.float64], step: int) -> list[int]:
    """Return the columns with less ink than those near them, at least a step apart."""
    lowest = ndimage.minimum_filter1d(profile, 2 * step + 1)
    found: list[int] = []
    inner = range(step, len(profile) - step)
    for column in sorted(inner, key=lambda column: (profile[column], column)):
        apart = all(abs(column - other) >= step for other in found)
        if apart and profile[column] == lowest[column] and len(found) < MOST_CUTS:
            found.append(column)
    return sorted(found)


def largest_parts(ink: Grey) -> Grey:
    """Return a cut-off piece without what only hangs over from its neighbour."""
    labels, count = ndimage.label(ink > 0.5, np.ones((3, 3)))  # noqa: PLR2004
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    return np.where((areas >= 0.12 * areas.sum())[labels], ink, 0)
