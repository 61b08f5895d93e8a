"""Put the pieces of a field together to digits, line by line, and measure how far they lean."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.reading.pieces import Piece, at_edge, at_end, at_side, gaps

SLANTS = np.linspace(-0.3, 0.8, 23)  # columns to the right per row upwards; most hands lean so
MARK = 0.07  # the side of the smallest mark, in heights of the line; a pen's point is larger
LEAST_SLANT = 0.08  # less is left as it is


def lines_of_digits(parts: Sequence[Piece], shape: tuple[int, int]) -> list[list[Piece]]:
    """Return the pieces of a field that may be digits, line by line, each from left to right.

    Args:
        parts: Of the picture, without ruled lines.
        shape: Its height and width.
    """
    parts = _without_surroundings(parts, shape)
    if not parts:
        return []
    height = typical_height(parts, shape)
    parts = [
        part
        for part in parts
        if max(part.height, part.width) >= (0.5 if at_end(part, shape) else 0.22) * height
        and not (part.height > 1.8 * height and part.width < 0.15 * part.height)
    ]
    pieces = [one for one in _whole(parts, height) if one.height >= 0.42 * height]
    return _in_lines(pieces)


def has_marks(parts: Sequence[Piece], lines: Sequence[Sequence[Piece]]) -> bool:
    """Return whether there is a mark between or beside the digits, such as a decimal point.

    Args:
        parts: Of the picture, without ruled lines.
        lines: The digits.
    """
    used = {number for line in lines for piece in line for number in piece.parts}
    rest = [part for part in parts if part.parts[0] not in used]
    return any(_is_mark(part, line) for line in lines for part in rest)


def _is_mark(part: Piece, line: Sequence[Piece]) -> bool:
    top, bottom = (
        float(np.median([getattr(one, side) for one in line])) for side in ("top", "bottom")
    )
    height = bottom - top
    row, column = (part.top + part.bottom) / 2, (part.left + part.right) / 2
    first, last = min(one.left for one in line), max(one.right for one in line)
    near = first - 2 * height < column < last + 2 * height
    level = top <= row <= bottom + 0.25 * height
    return near and level and part.area >= (MARK * height) ** 2


def _without_surroundings(parts: Sequence[Piece], shape: tuple[int, int]) -> list[Piece]:
    """Return the parts that are not of a frame, a shadow or a neighbour, cut off by the edge."""
    height, width = shape

    def cut_off(part: Piece) -> bool:
        side, end = at_side(part, shape), at_end(part, shape)
        return bool(
            (side and end)
            or (end and part.width > 0.6 * width)
            or (side and (part.height > 0.8 * height or part.width < 0.12 * part.height))
            or (side and part.width > 0.4 * width)
            or (end and part.height < 0.25 * part.width)
        )

    return [part for part in parts if len(parts) == 1 or not cut_off(part)] or list(parts)


def typical_height(parts: Sequence[Piece], shape: tuple[int, int]) -> float:
    """Return the median height of the parts, where a part counts by the area that it covers."""
    inside = [part for part in parts if not at_edge(part, shape) and part.height >= 5] or parts  # noqa: PLR2004
    weights = [
        (min(one.height, 3 * one.width) * min(one.width, 1.5 * one.height)) ** 0.75
        for one in inside
    ]
    heights = np.array([one.height for one in inside])
    order = np.argsort(heights, kind="stable")
    cumulated = np.cumsum(np.array(weights)[order])
    return float(heights[order][np.searchsorted(cumulated, cumulated[-1] / 2)])


def _whole(parts: Sequence[Piece], height: float) -> list[Piece]:
    """Return the parts, joined where several are one digit: the roof of a 5, a broken stroke."""
    pieces = sorted(parts, key=lambda part: part.left)
    while pair := _pair_of_one_digit(pieces, height):
        one, other = pair
        pieces = [piece for piece in pieces if piece not in pair] + [one.joined(other)]
    return pieces


def _pair_of_one_digit(pieces: Sequence[Piece], height: float) -> tuple[Piece, Piece] | None:
    for one in pieces:
        for other in pieces:
            if one is not other and other.height <= one.height and _belong(one, other, height):
                return one, other
    return None


def _belong(one: Piece, other: Piece, height: float) -> bool:
    """Return whether a smaller piece is part of the digit that another one is part of."""
    across, down = gaps(one, other)
    if other.height >= 0.7 * height or max(across, down) >= 0.35 * height:
        return False
    both = one.joined(other)
    if both.height > 1.4 * height or both.width > 1.25 * height:
        return False
    nearest = (0.15 if one.height > 0.75 * height else 0.35) * height
    above = -across > 0.35 * min(one.width, other.width) and down < nearest
    beside = across < 0.1 * height and down < 0.08 * height and both.width < height
    return above or beside


def _in_lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces in lines from top to bottom, by how far they overlap vertically."""
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda one: one.top + one.bottom):
        home = None
        for line in lines:
            top = float(np.median([one.top for one in line]))
            bottom = float(np.median([one.bottom for one in line]))
            overlap = min(piece.bottom, bottom) - max(piece.top, top)
            if overlap > 0.35 * min(piece.height, bottom - top):
                home = line
        if home is None:
            lines.append([piece])
        else:
            home.append(piece)
    lines.sort(key=lambda line: float(np.mean([one.top for one in line])))
    return [sorted(line, key=lambda one: one.left + one.right) for line in lines]


def slant_of(mask: NDArray[np.bool_]) -> float:
    """Return by how many columns a field leans to the right per row upwards.

    Method: of the slants tried, the one that taken out leaves the clearest gaps between digits: the
    largest sum of squares of the ink in each column.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return 0.0
    best, clearest = 0.0, 0.0
    for slant in SLANTS:
        moved = np.round(columns + slant * (rows - len(mask) / 2)).astype(int)
        ink = np.bincount(moved - moved.min()).astype(float)
        clear = float((ink**2).sum()) * (1 - 0.05 * abs(slant))
        if clear > clearest:
            best, clearest = float(slant), clear
    return best if abs(best) > LEAST_SLANT else 0.0
