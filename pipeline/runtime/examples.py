"""Examples: images with their labels, as the preprocess stage wrote them."""

import math
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import UNREADABLE, PipelineError, reason


class Examples(NamedTuple):
    """Images and what they show.

    Attributes:
        images: float32, shape (n, pixels), in [0, 1].
        labels: int32, shape (n,).
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int32]


def load_examples(images: Path, labels: Path) -> Examples:
    """Return the examples in a pair of .npy files.

    Raises:
        PipelineError: A file is damaged, or the two do not belong together.
        OSError: A file cannot be opened.
    """
    examples = Examples(load_array(images, np.float32), load_array(labels, np.int32))
    if examples.images.ndim != 2 or examples.labels.shape != examples.images.shape[:1]:  # noqa: PLR2004
        raise PipelineError(
            f"{images}: expected shape (n, pixels) with labels (n,) in {labels}, "
            f"found {examples.images.shape} and {examples.labels.shape}"
        )
    return examples


def as_squares(images: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return flattened images, shape (n, side * side), as shape (n, side, side).

    Raises:
        PipelineError: They are not square; the message calls them ``name``.
    """
    side = math.isqrt(images.shape[-1])
    if images.shape != (len(images), side * side):
        raise PipelineError(f"{name}: expected flattened square images, found {images.shape}")
    return images.reshape(-1, side, side)


def load_array(path: Path, dtype: type[np.generic]) -> NDArray[Any]:
    """Return the array in an .npy file; its parts are read from there when they are used.

    So data may be larger than memory. A change of the array does not reach the file.

    Raises:
        PipelineError: The file is damaged, or its elements are of another type.
        OSError: The file cannot be opened.
    """
    path.open("rb").close()  # if it cannot be opened, it is not damaged
    try:
        # Not np.load, which takes some files for archives of arrays.
        array = np.asarray(np.lib.format.open_memmap(path, mode="c"))
    except (*UNREADABLE, TokenError) as error:  # NumPy parses the header as Python is parsed
        raise PipelineError(f"{path}: damaged .npy file: {reason(error)}") from error
    if array.dtype != dtype:
        raise PipelineError(f"{path}: expected elements of {np.dtype(dtype)}, found {array.dtype}")
    return array
