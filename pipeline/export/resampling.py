"""Change the size of a picture, one axis after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]


def averaged(image: Grey, factor: int) -> Grey:
    """Return a picture made smaller by a whole number: each pixel the mean of a square.

    At the right and the bottom the last column and row are repeated.
    """
    if factor == 1:
        return image
    padding = [(0, -length % factor) for length in image.shape]
    padded = np.pad(image, padding, mode="edge")
    height, width = (length // factor for length in padded.shape)
    blocks = padded.reshape(height, factor, width, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)


def resized(image: Grey, shape: tuple[int, ...]) -> Grey:
    """Return a picture of another shape: by area where it gets smaller, else by interpolation.

    Args:
        image: Shape (height, width).
        shape: The new height and width.
    """
    rows, columns = (_weights(old, new) for old, new in zip(image.shape, shape, strict=True))
    return (rows @ image @ columns.T).astype(np.float32)


def _weights(old: int, new: int) -> Grey:
    """Return what each old pixel gives to each new one, shape (new, old); a row's sum is 1."""
    scale = old / new
    if scale <= 1:  # linear between the middles of pixels
        places = np.clip((np.arange(new) + 0.5) * scale - 0.5, 0, old - 1)
        distances = np.abs(places[:, np.newaxis] - np.arange(old))
        return np.asarray(np.clip(1 - distances, 0, 1), np.float32)
    starts = np.arange(new)[:, np.newaxis] * scale
    edges = np.arange(old)
    overlap = np.minimum(starts + scale, edges + 1) - np.maximum(starts, edges)
    return np.asarray(np.clip(overlap, 0, 1) / scale, np.float32)


def sheared(image: NDArray[Any], slant: float) -> NDArray[Any]:
    """Return a picture whose rows have moved sideways: what leans by a slant stands upright."""
    height, width = image.shape
    offsets = np.round(slant * (np.arange(height) - height / 2)).astype(int)
    offsets -= offsets.min()
    moved = np.zeros((height, width + int(offsets.max())), image.dtype)
    columns = offsets[:, np.newaxis] + np.arange(width)
    np.put_along_axis(moved, columns, image, axis=1)
    return moved
