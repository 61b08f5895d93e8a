"""Pictures of handwriting with known answers: MNIST's digits written on paper made up here."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Picture = NDArray[np.float64]
WHITE, BLACK, BLUE = (0.97, 0.96, 0.94), (0.1, 0.1, 0.12), (0.15, 0.2, 0.55)


@dataclass
class Sheet:
    """Paper to write on.

    Attributes:
        height: Pixels.
        width: Pixels.
        paper: Red, green and blue of the paper, from 0 to 1.
        ink: The same of the pen.
        picture: What it looks like, shape (height, width, 3).
    """

    height: int
    width: int
    paper: tuple[float, float, float] = WHITE
    ink: tuple[float, float, float] = BLACK
    picture: Picture = field(init=False)

    def __post_init__(self) -> None:
        self.picture = np.broadcast_to(self.paper, (self.height, self.width, 3)).copy()

    def cover(self, share: NDArray[Any], colour: tuple[float, float, float]) -> None:
        """Cover the paper with a colour, each pixel to a share from 0 to 1."""
        share = share[..., np.newaxis]
        self.picture = self.picture * (1 - share) + np.array(colour) * share

    def write(self, digit: NDArray[np.float32], top: int, left: int, size: int) -> None:
        """Write a digit of 28 x 28 pixels, enlarged to ``size`` pixels of its square."""
        big = enlarged(digit, size)
        share = np.zeros((self.height, self.width))
        rows = slice(max(0, top), min(self.height, top + size))
        columns = slice(max(0, left), min(self.width, left + size))
        share[rows, columns] = big[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        self.cover(share, self.ink)

    def line(self, *, row: int | None = None, column: int | None = None, **kind: Any) -> None:
        """Rule a line over the whole sheet, or a part of it, ``tilt`` pixels up or to the right."""
        along = self.width if row is not None else self.height
        start, stop = kind.get("start", 0), kind.get("stop") or along
        position = (row if row is not None else column) + kind.get("tilt", 0) * np.linspace(
            -0.5, 0.5, along
        )
        across = np.arange(self.height if row is not None else self.width)[:, np.newaxis]
        share = np.clip(kind.get("thickness", 2) / 2 + 0.5 - abs(across - position), 0, 1)
        share[:, :start], share[:, stop:] = 0, 0
        self.cover(share if row is not None else share.T, kind.get("colour", BLUE))

    def shaded(self, darkest: float, across: float = 0.5) -> None:
        """Let the light fall from one side: the other gets ``darkest`` of it."""
        ramp = np.linspace(1, darkest, self.width) ** (across * 2)
        self.picture = self.picture * ramp[np.newaxis, :, np.newaxis]

    def shadow(self, strength: float, column: int) -> None:
        """Throw a shadow with a soft edge over all to the right of a column."""
        edge = ndimage.gaussian_filter1d((np.arange(self.width) > column).astype(float), 6)
        self.picture = self.picture * (1 - strength * edge)[np.newaxis, :, np.newaxis]

    def photographed(self, rng: np.random.Generator, noise: float, blur: float) -> Picture:
        """Return it as a camera sees it, from 0 to 1."""
        seen = ndimage.gaussian_filter(self.picture, (blur, blur, 0))
        return np.asarray(np.clip(seen + rng.normal(0, noise, seen.shape), 0, 1))


def enlarged(digit: NDArray[np.float32], size: int) -> NDArray[Any]:
    """Return a digit of 28 x 28 pixels larger, with smooth outlines, from 0 to 1."""
    big = ndimage.zoom(digit.reshape(28, 28).astype(float), size / 28, order=3)
    return np.asarray(np.clip((big - 0.5) * size / 28 + 0.5, 0, 1))


def extent(digit: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first column with ink, of 28, and the one after the last."""
    columns = np.flatnonzero((digit.reshape(28, 28) > 0.5).any(axis=0))
    return int(columns[0]), int(columns[-1]) + 1


def row_of_digits(
    sheet: Sheet, digits: NDArray[Any], *, top: int, left: int, size: int, gap: int
) -> int:
    """Write digits side by side, with ``gap`` pixels between them; return where they end."""
    for digit in digits:
        first, last = (round(column * size / 28) for column in extent(digit))
        sheet.write(digit, top, left - first, size)
        left += last - first + gap
    return left
