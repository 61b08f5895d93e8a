"""Find the digits in the ink of a picture: one, or a field of them."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.export.construction import BOX, working_size
from pipeline.export.resampling import sheared
from pipeline.reading.lines import lines_of_digits, slant_of
from pipeline.reading.pieces import Labels, Piece, connected_parts, one_digit
from pipeline.reading.rules import without_rules
from pipeline.reading.touching import cuts_of, largest_parts

Grey = NDArray[np.float32]
Box = tuple[float, float, float, float]
Confidences = Callable[[Sequence[Grey]], NDArray[np.float64]]

FAINT = 0.25  # of ink; printed lines may be no stronger
TOO_WIDE = 1.6  # widths per height
# A piece as wide as this may be several digits: per height of its line, or per median width in it.
WIDE, CROWDED = 0.85, 1.5
FEW = 100  # pieces of a field; of more, none is cut: that would take too long
THICKEST = 8  # pixels of the 20 that a digit fills; a pen's stroke is thinner
MOST_STROKES = 8  # of a broken digit, but for specks
SPECK = 0.02  # of the ink
INSIDE = 0.1  # of the ink, in a ring of it; a 0 has less


class Found(NamedTuple):
    """A piece of ink that may be a digit.

    Attributes:
        ink: Of the piece alone, upright; above 0.5 where it is.
        box: Left, top, right and bottom, as shares of the picture's width and height.
        doubt: Why a person has to look; empty if nothing speaks for it.
        flaw: Why it can be no digit; empty if it can.
    """

    ink: Grey
    box: Box
    doubt: str
    flaw: str


def found_alone(ink: Grey) -> Iterator[Found]:
    """Yield the one digit of a picture, if anything is written in it.

    Args:
        ink: Above 0.5 where there is ink, shape (height, width).
    """
    labels, parts = connected_parts(ink > 0.5)  # noqa: PLR2004
    if parts:
        piece = one_digit(parts, ink.shape)
        crop = _ink_of(piece, ink, labels)
        wide = piece.width > TOO_WIDE * piece.height
        flaw = "too wide for one digit" if wide else flaw_of(crop)
        yield Found(crop, _box(piece, ink.shape), "", flaw)


def found_in_field(ink: Grey, confidences: Confidences) -> Iterator[Found]:
    """Yield what may be the digits of a field, in reading order.

    Args:
        ink: Above 0.5 where there is ink, shape (height, width).
        confidences: Gives the highest probability of any class for each of several pieces.
    """
    mask = without_rules(ink > 0.5, ink > FAINT)  # noqa: PLR2004
    labels, parts = connected_parts(mask)
    lines = lines_of_digits(parts, mask.shape)
    pieces = [piece for line in lines for piece in line]
    used = np.isin(labels, [part for piece in pieces for part in piece.parts])
    slant = slant_of(used) if len(pieces) > 1 else 0.0
    for line in lines:
        height = float(np.median([piece.height for piece in line]))
        width = float(np.median([piece.width for piece in line]))
        for piece in line:
            crop = _without_margins(sheared(_ink_of(piece, ink, labels), slant))
            box = _box(piece, ink.shape)
            tall = max(piece.height, 0.8 * height)
            is_wide = crop.shape[1] > WIDE * tall or piece.width > CROWDED * width
            cuts = cuts_of(crop, height, confidences) if is_wide and len(pieces) <= FEW else []
            if cuts:
                yield from _parted(crop, box, cuts)
                continue
            flaw = "too wide for one digit" if crop.shape[1] > TOO_WIDE * tall else flaw_of(crop)
            yield Found(crop, box, "", flaw)


def _parted(ink: Grey, box: Box, cuts: Sequence[int]) -> Iterator[Found]:
    """Yield the digits that a wide piece may consist of."""
    left, top, right, bottom = box
    share = (right - left) / ink.shape[1]
    for start, stop in pairwise([0, *cuts, ink.shape[1]]):
        part = (left + start * share, top, left + stop * share, bottom)
        yield Found(largest_parts(ink[:, start:stop]), part, "touches another", "")


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


def flaw_of(ink: Grey) -> str:
    """Return why a piece of ink can be no digit; empty if it can."""
    digit = working_size(ink)
    labels, _ = ndimage.label(digit, np.ones((3, 3)))
    areas = np.bincount(labels[digit])
    if (areas > SPECK * digit.sum()).sum() > MOST_STROKES:
        return "too many parts for a digit"
    thickest = 2 * float(ndimage.distance_transform_edt(np.pad(digit, 1)).max())
    if thickest > THICKEST * max(digit.shape) / BOX:
        return "not written with a pen"
    main = labels == areas.argmax()
    inside = ndimage.binary_fill_holes(main) & digit & ~main
    return "a ring with something inside" if inside.sum() > INSIDE * digit.sum() else ""
