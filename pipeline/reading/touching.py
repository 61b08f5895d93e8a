"""Part digits that touch, led by the network: what it proposes is for a person to confirm."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.float32]

MOST_CUTS = 12  # candidates, those through the least ink
NARROWEST, WIDEST = 0.12, 1.25  # digits, in heights of the line
# What is taken off the logarithm of a digit's probability: for each digit; for a cut, per height of
# ink that it goes through; for a digit narrower than 0.3 heights; and per height wider than 1.1.
EACH, THROUGH, NARROW, WIDE = 0.35, 1.2, 0.7, 3.0


def cuts_of(
    ink: Grey, height: float, confidences: Callable[[Sequence[Grey]], NDArray[np.float64]]
) -> list[int]:
    """Return the columns at which a piece falls into digits; none if it is rather one.

    Method: over-segmentation. Of all ways to cut at columns with little ink, the one whose digits
    are most probable together, by dynamic programming.

    Args:
        ink: The piece, set upright; shape (rows, columns), above 0.5 where there is ink.
        height: Of a digit of the same line, in pixels.
        confidences: Gives the highest probability of any class for each of several pieces.
    """
    mask = ink > 0.5  # noqa: PLR2004
    profile = ndimage.uniform_filter1d(mask.sum(axis=0).astype(float), max(1, int(0.04 * height)))
    places = [0, *_minima(profile, max(1, int(0.06 * height))), ink.shape[1]]
    spans = [
        (start, stop)
        for start in range(len(places))
        for stop in range(start + 1, len(places))
        if NARROWEST * height <= places[stop] - places[start]
        and mask[:, places[start] : places[stop]].any()
        and (places[stop] - places[start] <= WIDEST * height or stop - start == len(places) - 1)
    ]
    if len(places) == 2:  # noqa: PLR2004 (nowhere to cut)
        return []
    crops = [largest_parts(ink[:, places[start] : places[stop]]) for start, stop in spans]
    scores = np.log(np.maximum(confidences(crops), 1e-9)) - EACH
    best: dict[int, tuple[float, list[int]]] = {0: (0.0, [])}
    for (start, stop), score in sorted(zip(spans, scores, strict=True), key=lambda one: one[0][1]):
        if start not in best:
            continue
        width = (places[stop] - places[start]) / height
        total = best[start][0] + float(score) - NARROW * (width < 0.3) - WIDE * max(0, width - 1.1)  # noqa: PLR2004
        if start:
            total -= THROUGH * profile[places[start]] / height
        if stop not in best or total > best[stop][0]:
            best[stop] = (total, [*best[start][1], places[stop]])
    return best[len(places) - 1][1][:-1] if len(places) - 1 in best else []


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
