"""Find the connected parts of ink, which of them are the one digit, and what can be no digit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.export.construction import BOX, working_size

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]

MOST_PARTS = 400  # the largest ones; a page with more of them is no field of digits
THICKEST = 8  # pixels of the 20 that a digit fills; a pen's stroke is thinner
MOST_STROKES = 8  # of a broken digit, but for specks
SPECK = 0.02  # of the ink
INSIDE = 0.1  # of the ink, in a ring of it; a 0 has less
ALL_SIDES = np.ones((3, 3))


class Piece(NamedTuple):
    """Ink that belongs together.

    Attributes:
        parts: Their numbers in the picture's labels.
        left: Pixels from the left.
        top: From above.
        right: The first column without it.
        bottom: The first row without it.
        area: Pixels of ink.
    """

    parts: tuple[int, ...]
    left: int
    top: int
    right: int
    bottom: int
    area: int

    @property
    def height(self) -> int:
        """Return pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Return pixels from left to right."""
        return self.right - self.left

    def joined(self, other: "Piece") -> "Piece":
        """Return both as one."""
        return Piece(
            self.parts + other.parts,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            self.area + other.area,
        )


def connected_parts(mask: Mask) -> tuple[Labels, list[Piece]]:
    """Return the number of the part that each pixel belongs to, and the 400 largest parts."""
    labels, count = ndimage.label(mask, ALL_SIDES)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    if count > MOST_PARTS:
        kept = np.zeros(count + 1, bool)
        kept[np.argsort(-areas, kind="stable")[:MOST_PARTS]] = True
        labels, count = ndimage.label(kept[labels], ALL_SIDES)
        areas = np.bincount(labels.ravel(), minlength=count + 1)
    found = [
        Piece((number,), box[1].start, box[0].start, box[1].stop, box[0].stop, int(areas[number]))
        for number, box in enumerate(ndimage.find_objects(labels), 1)
    ]
    return labels, found


def one_digit(parts: Sequence[Piece], shape: tuple[int, int]) -> Piece:
    """Return the parts of a picture that are its one digit: the largest, and what is near it.

    Args:
        parts: At least one.
        shape: Height and width of the picture.
    """
    digit = max(parts, key=lambda part: part.area)
    nearest = 0.3 * max(digit.height, digit.width)
    least = 0.012 * digit.area
    centred = not at_edge(digit, shape)
    rest = [
        part
        for part in parts
        if part is not digit
        and part.area >= least
        and not (centred and at_edge(part, shape) and _like_a_line(part, digit))
    ]
    while near := [part for part in rest if max(gaps(part, digit)) <= nearest]:
        digit = digit.joined(near[0])
        rest.remove(near[0])
    return digit


def _like_a_line(part: Piece, digit: Piece) -> bool:
    longer, shorter = max(part.height, part.width), min(part.height, part.width)
    return longer > 4 * shorter or part.area < 0.1 * digit.area


def at_edge(part: Piece, shape: tuple[int, int]) -> bool:
    """Return whether a part touches an edge of the picture."""
    return at_side(part, shape) > 0 or at_end(part, shape) > 0


def at_side(part: Piece, shape: tuple[int, int]) -> int:
    """Return how many of the left and the right edge a part touches."""
    return (part.left == 0) + (part.right == shape[1])


def at_end(part: Piece, shape: tuple[int, int]) -> int:
    """Return how many of the top and the bottom edge a part touches."""
    return (part.top == 0) + (part.bottom == shape[0])


def gaps(one: Piece, other: Piece) -> tuple[int, int]:
    """Return the empty columns and rows between two pieces; negative where they overlap."""
    return (
        max(one.left, other.left) - min(one.right, other.right),
        max(one.top, other.top) - min(one.bottom, other.bottom),
    )


def flaw_of(ink: NDArray[np.float32]) -> str:
    """Return why a piece of ink cannot be a digit; empty if it can."""
    digit = working_size(ink)
    labels, _ = ndimage.label(digit, ALL_SIDES)
    areas = np.bincount(labels[digit])
    if (areas > SPECK * digit.sum()).sum() > MOST_STROKES:
        return "too many parts for a digit"
    thickest = 2 * float(ndimage.distance_transform_edt(np.pad(digit, 1)).max())
    if thickest > THICKEST * max(digit.shape) / BOX:
        return "not written with a pen"
    main = labels == areas.argmax()
    inside = ndimage.binary_fill_holes(main) & digit & ~main
    return "a ring with something inside" if inside.sum() > INSIDE * digit.sum() else ""
