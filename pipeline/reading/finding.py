"""Find the digits in the ink of a picture: one, or a field of them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.export.resampling import sheared
from pipeline.reading.lines import has_marks, lines_of_digits, slant_of
from pipeline.reading.pieces import Labels, Piece, at_edge, connected_parts, flaw_of, one_digit
from pipeline.reading.rules import without_rules
from pipeline.reading.touching import Scores, Way, largest_parts, ways_to_cut, ways_together

Grey = NDArray[np.float32]
Box = tuple[float, float, float, float]

FAINT = 0.25  # of ink; printed lines may be no stronger
TOO_WIDE = 1.6  # widths per height
# A piece as wide as this may be several digits: per height of its line, or per median width in it.
WIDE, CROWDED = 0.85, 1.5
FEW = 100  # pieces of a field; of more, none is cut: that would take too long
LEFT_OUT = 4.0  # what leaving out a piece costs, as a logarithm of a probability
BESIDE = 0.25  # of the ink of the one digit; so much more of it makes that doubtful
BAR = 0.3  # widths per height; a 1, or a line


class Found(NamedTuple):
    """A piece of ink that may be a digit.

    Attributes:
        ink: Of the piece alone, upright; above 0.5 where it is.
        box: Left, top, right and bottom, as shares of the picture's width and height.
        doubt: Why a person has to look; empty if there is no reason.
        flaw: Why it cannot be a digit; empty if it can.
    """

    ink: Grey
    box: Box
    doubt: str
    flaw: str


class Field(NamedTuple):
    """What may be the digits of a field.

    Attributes:
        digits: In reading order.
        doubt: Why a person has to look, whatever the digits are; empty if there is no reason.
    """

    digits: Sequence[Found]
    doubt: str


def found_alone(ink: Grey) -> Field:
    """Return the one digit of a picture, if anything is written in it.

    Args:
        ink: Above 0.5 where there is ink, shape (height, width).
    """
    labels, parts = connected_parts(ink > 0.5)  # noqa: PLR2004
    if not parts:
        return Field([], "")
    piece = one_digit(parts, ink.shape)
    crop = _ink_of(piece, ink, labels)
    wide = piece.width > TOO_WIDE * piece.height
    flaw = "too wide for one digit" if wide else flaw_of(crop)
    others = [part for part in parts if part.parts[0] not in piece.parts]
    beside = any(one.area > BESIDE * piece.area and not at_edge(one, ink.shape) for one in others)
    doubt = "something else is written beside it" if beside else ""
    return Field([Found(crop, _box(piece, ink.shape), doubt, flaw)], "")


def found_in_field(ink: Grey, scores: Scores, expected: int | None) -> Field:
    """Return what may be the digits of a field, in reading order.

    Args:
        ink: Above 0.5 where there is ink, shape (height, width).
        scores: Gives the logarithm of how probable it is that each of several pieces is a digit.
        expected: How many digits there must be, if that is known. If others are found, pieces are
            cut or left out until there are so many, where that is possible.
    """
    mask = without_rules(ink > 0.5, ink > FAINT)  # noqa: PLR2004
    labels, parts = connected_parts(mask)
    lines = lines_of_digits(parts, mask.shape)
    pieces = list(_upright(lines, ink, labels))
    ways: list[dict[int, Way]] = [
        ways_to_cut(one.ink, one.height, scores)
        if one.is_wide and len(pieces) <= FEW
        else {1: Way(0.0, [(0, one.ink.shape[1])])}
        for one in pieces
    ]
    chosen = [max(some.values(), key=lambda way: way.score) for some in ways]
    count, doubt = sum(len(way.digits) for way in chosen), ""
    if expected is None:
        doubt = _doubt_of(pieces, has_marks=has_marks(parts, lines))
    elif expected != count:
        doubt = f"{count} found, {expected} expected"
        chosen = _ways_to_be(expected, pieces, scores) or chosen
    found = [one for piece, way in zip(pieces, chosen, strict=True) for one in _parted(piece, way)]
    return Field(found, doubt)


class _Upright(NamedTuple):
    """A piece of a field, set upright.

    Attributes:
        ink: Of the piece alone.
        box: Around it, as in ``Found``.
        height: Of a digit in its line, in pixels.
        tall: Its own height, or if it is lower, a little less than that of the line.
        is_wide: Whether it may be several digits.
    """

    ink: Grey
    box: Box
    height: float
    tall: float
    is_wide: bool


def _upright(lines: Sequence[Sequence[Piece]], ink: Grey, labels: Labels) -> Iterator[_Upright]:
    pieces = [piece for line in lines for piece in line]
    used = np.isin(labels, [part for piece in pieces for part in piece.parts])
    slant = slant_of(used) if len(pieces) > 1 else 0.0
    for line in lines:
        height = float(np.median([piece.height for piece in line]))
        width = float(np.median([piece.width for piece in line]))
        for piece in line:
            crop = _without_margins(sheared(_ink_of(piece, ink, labels), slant))
            tall = max(piece.height, 0.8 * height)
            is_wide = crop.shape[1] > WIDE * tall or piece.width > CROWDED * width
            yield _Upright(crop, _box(piece, ink.shape), height, tall, is_wide)


def _doubt_of(pieces: Sequence[_Upright], *, has_marks: bool) -> str:
    """Return why a person has to look at a field, if the number of its digits is not known."""
    if has_marks:
        return "a mark among the digits is left out"
    bars = all(one.ink.shape[1] < BAR * one.ink.shape[0] for one in pieces)
    return "nothing but bars: perhaps lines" if bars and len(pieces) > 1 else ""


def _ways_to_be(expected: int, pieces: Sequence[_Upright], scores: Scores) -> list[Way] | None:
    """Return a way to read each piece, so that there are as many digits as expected, if any is."""
    if len(pieces) > FEW:
        return None
    left_out = {0: Way(-LEFT_OUT, [])}
    ways = [left_out | ways_to_cut(one.ink, one.height, scores) for one in pieces]
    return ways_together(ways, expected)


def _parted(piece: _Upright, way: Way) -> Iterator[Found]:
    """Yield the digits of a piece."""
    if len(way.digits) == 1:
        wide = piece.ink.shape[1] > TOO_WIDE * piece.tall
        flaw = "too wide for one digit" if wide else flaw_of(piece.ink)
        yield Found(piece.ink, piece.box, "", flaw)
        return
    left, top, right, bottom = piece.box
    share = (right - left) / piece.ink.shape[1]
    for start, stop in way.digits:
        part = (left + start * share, top, left + stop * share, bottom)
        yield Found(largest_parts(piece.ink[:, start:stop]), part, "touches another", "")


def _box(piece: Piece, shape: tuple[int, ...]) -> Box:
    height, width = shape
    return (
        piece.left / width,
        piece.top / height,
        piece.right / width,
        piece.bottom / height,
    )


def _without_margins(ink: Grey) -> Grey:
    columns = np.flatnonzero((ink > 0.5).any(axis=0))  # noqa: PLR2004
    return ink[:, columns[0] : columns[-1] + 1]


def _ink_of(piece: Piece, ink: Grey, labels: Labels) -> Grey:
    """Return the ink of a piece alone, as large as the rectangle around it."""
    place = (slice(piece.top, piece.bottom), slice(piece.left, piece.right))
    return np.where(np.isin(labels[place], piece.parts), np.maximum(ink[place], 0.51), 0)
