"""Remove what is printed on paper to write on: ruled lines and boxes."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

TILTS = np.linspace(-0.1, 0.1, 41)  # rows downwards per column; more is a picture to be turned
NEAREST = 4  # pixels at most between the end of a line and the line across that it ends at
MARGIN = 0.06  # of the width or height: so near is at the side


def without_rules(mask: Mask, faint: Mask) -> Mask:
    """Return the ink without ruled lines; strokes that cross a line stay whole.

    A ruled line is long, thin and straight. A horizontal one takes at least half of the width. A
    vertical one ends at horizontal ones or at the picture's edge; all from edge to edge it is one
    at the side only, since elsewhere it may be a 1.

    Args:
        mask: Where there is ink, shape (height, width).
        faint: Where there is ink or something fainter, such as a line.
    """
    if not mask.any():
        return mask
    offsets = _offsets(faint)
    level = _moved(faint, offsets)
    horizontal = _horizontal_rules(level)
    vertical = _vertical_rules(level & ~horizontal, horizontal)
    removed = _moved(horizontal | vertical, -offsets)
    if not removed.any():
        return mask
    rest = mask & ~removed
    # Strokes that were cut through grow together again.
    for window in (np.ones((6, 1)), np.ones((1, 6))):
        closed = ndimage.binary_closing(np.pad(rest, 8), window)[8:-8, 8:-8]
        rest |= closed & removed & mask
    return rest


def _offsets(mask: Mask) -> NDArray[np.int64]:
    """Return by how many rows each column has to move for horizontal lines to be level.

    Of the tilts tried it is the one with the largest sum of squares of the ink in each row; none
    if no row is then half full.
    """
    width = mask.shape[1]
    rows, columns = np.nonzero(mask)
    middle = columns - width / 2
    best, offsets = 0.0, np.zeros(width, np.int64)
    for tilt in sorted(TILTS, key=abs):
        moved = np.round(rows - tilt * middle).astype(int)
        ink = np.bincount(moved - moved.min())
        if ink.max() >= width / 2 and (level := float((ink.astype(float) ** 2).sum())) > best:
            best, offsets = level, np.round(tilt * (np.arange(width) - width / 2)).astype(int)
    return offsets


def _moved(mask: Mask, offsets: NDArray[np.int64]) -> Mask:
    """Return a mask with each column moved upwards; what leaves it comes back at the other end."""
    rows = (np.arange(len(mask))[:, np.newaxis] + offsets) % len(mask)
    return np.take_along_axis(mask, rows, axis=0)


def _horizontal_rules(mask: Mask) -> Mask:
    length = max(30, mask.shape[1] // 2)
    rules = np.zeros_like(mask)
    for place, line in _straight(mask, run=length // 3):
        if place[1].stop - place[1].start >= length:
            _add(rules, mask, place, line, slimness=12)
    return rules


def _vertical_rules(mask: Mask, horizontal: Mask) -> Mask:
    length = max(20, round(0.3 * len(mask)))
    rules = np.zeros_like(mask.T)
    for place, line in _straight(mask.T, run=max(12, length // 2)):
        if place[1].stop - place[1].start >= length and _ends_well(place, horizontal):
            _add(rules, mask.T, place, line, slimness=6)
    return rules.T


def _straight(mask: Mask, run: int) -> list[tuple[tuple[slice, slice], Mask]]:
    """Return where there are horizontal runs of ink of some length, and their pixels there.

    They may go up or down by a pixel.
    """
    thick = ndimage.binary_dilation(mask, np.ones((3, 1)))
    straight = (run <= _thickness(thick.T).T) & mask
    labels, _ = ndimage.label(ndimage.binary_dilation(straight, np.ones((3, 3))))
    places = ndimage.find_objects(labels)
    return [
        (place, (labels[place] == number) & straight[place])
        for number, place in enumerate(places, 1)
    ]


def _ends_well(place: tuple[slice, slice], horizontal: Mask) -> bool:
    """Return whether a vertical line ends where a ruled line may end."""
    columns, rows = place
    height, width = horizontal.shape
    near = min(NEAREST, 1 + height // 25)
    end = (rows.stop - rows.start) // 5
    above = horizontal[max(0, rows.start - near) : rows.start + end, columns].any()
    below = horizontal[rows.stop - end : rows.stop + near, columns].any()
    at_top, at_bottom = rows.start <= near, rows.stop >= height - near
    at_side = columns.start < MARGIN * width or columns.stop > (1 - MARGIN) * width
    return bool((above or at_top) and (below or at_bottom) and (above or below or at_side))


def _add(rules: Mask, mask: Mask, place: tuple[slice, slice], line: Mask, slimness: int) -> None:
    """Add the pixels of a line to the rules, but not where a stroke crosses it.

    Args:
        rules: Changed in place.
        mask: All ink.
        place: Of the line.
        line: Its pixels there.
        slimness: So many times as long as thick it is at least, else it is none.
    """
    thick = line.sum(axis=0)
    thickness = float(np.percentile(thick[thick > 0], 25))
    if thickness * slimness > line.shape[1]:
        return
    rows = np.arange(len(line))[:, np.newaxis]
    clear = np.flatnonzero((thick > 0) & (thick <= thickness + 1))
    middles = (line * rows).sum(axis=0)[clear] / thick[clear]
    course = ndimage.median_filter(middles, 2 * (len(clear) // 12) + 1, mode="nearest")
    middle = np.interp(np.arange(line.shape[1]), clear, course)
    on_line = np.abs(rows - middle) <= 0.65 * thickness + 1.5
    rules[place] |= mask[place] & on_line & (_thickness(mask[place]) <= 1.7 * thickness + 1)


def _thickness(mask: Mask) -> NDArray[np.int64]:
    """Return the length of the vertical run of ink through each pixel, 0 where there is none."""
    rows = np.arange(len(mask))[:, np.newaxis]
    start = np.maximum.accumulate(np.where(mask, -1, rows), axis=0)
    stop = np.minimum.accumulate(np.where(mask, len(mask), rows)[::-1], axis=0)[::-1]
    return np.where(mask, stop - start - 1, 0)
