"""Distorted digits: each image of a batch turned, scaled, sheared, shifted and bent at random.

As Simard, Steinkraus and Platt (2003) did it, every image is new each time it is shown. All of a
distortion is one field of displacements, and one gather fetches for every pixel the four that it
lies between. Strokes become thicker or thinner where a pixel leans to the highest or the lowest of
its four. The random numbers come from NumPy, so both backends see the same images.
"""

import mmap
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, PositiveFloat

from pipeline.model.backend import keras
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import Section

BUMPS = 6  # along a side of the image: the elastic field is a sum of 6 x 6 bumps each way
WHITE = 255
AT_ONCE = 10_000  # images that are converted at a time
# 1 / WHITE as the sum of its upper 16 bits and the rest. The first times a byte is exact, so the
# sum of both products is what a division gives, to the bit. Compilers (XLA) take the freedom to
# multiply by the rounded reciprocal instead of dividing by a constant, and an image at rest would
# not stay as it is.
RECIPROCAL_HEAD = np.float32(0.0039215087890625)
RECIPROCAL_TAIL = np.float32(1 / WHITE - 0.0039215087890625)
MOST_PACKED = 2**31  # numbers that an index of 32 bits can tell apart


class Strength(Section):
    """Standard deviations of normal distributions, from which each image draws its distortion.

    Attributes:
        rotation: In degrees.
        scale: Of the logarithm of the factor by which a side is shortened, each on its own.
        shear: Pixels sideways per pixel of height.
        shift: In pixels, along each side.
        elastic: In pixels, of every pixel's own displacement along each side.
        smoothness: Of the elastic displacements: standard deviation of a bump, in pixels.
        stroke: Of how far a pixel goes to the highest (above 0) or the lowest (below 0) of the four
            pixels that it lies between, as a share of the way; cut off at all of it.
    """

    rotation: Annotated[NonNegativeFloat, Field(le=180)]
    scale: Annotated[NonNegativeFloat, Field(le=1)]
    shear: Annotated[NonNegativeFloat, Field(le=1)]
    shift: Annotated[NonNegativeFloat, Field(le=100)]
    elastic: Annotated[NonNegativeFloat, Field(le=100)]
    smoothness: Annotated[PositiveFloat, Field(le=100)]
    stroke: Annotated[NonNegativeFloat, Field(le=100)]


class Coefficients(NamedTuple):
    """The coefficients of the distortions of n images.

    Attributes:
        affine: Shape (n, 2, 3), float32: for x and y of the source, what the constant, x and y of
            a pixel contribute; in pixels from the centre.
        elastic: Shape (n, 2, BUMPS * BUMPS), float32: heights of the bumps for x and y, in pixels.
        stroke: Shape (n, 1), float32: how much thicker strokes become, in [-1, 1].
    """

    affine: NDArray[np.float32]
    elastic: NDArray[np.float32]
    stroke: NDArray[np.float32]


class Source(NamedTuple):
    """The images to distort, packed for one gather, as arrays or as the backend's tensors.

    Attributes:
        packed: Shape (n * (side + 2) ** 2,), int32. Each number holds four bytes: a pixel of an
            image, framed by zeros, then those to the right of it, below, and below to the right.
        bumps: Of the elastic field, shape (BUMPS * BUMPS, side * side), float32.
    """

    packed: Any
    bumps: Any


def draw_coefficients(count: int, strength: Strength, random: np.random.Generator) -> Coefficients:
    """Return the coefficients of ``count`` independent distortions."""
    turn = np.deg2rad(strength.rotation) * _normal(random, count)
    across, down = np.exp(strength.scale * _normal(random, 2, count))
    shear = strength.shear * _normal(random, count)
    affine = np.empty((count, 2, 3), np.float32)
    affine[:, :, 0] = strength.shift * _normal(random, count, 2)
    cosine, sine = np.cos(turn), np.sin(turn)
    affine[:, 0, 1], affine[:, 0, 2] = across * cosine, across * (shear * cosine - sine)
    affine[:, 1, 1], affine[:, 1, 2] = down * sine, down * (shear * sine + cosine)
    elastic = strength.elastic * _normal(random, count, 2, BUMPS * BUMPS)
    # Nothing is drawn for what is off: recipes from before there were strokes keep their bits.
    strokes = _normal(random, count, 1) if strength.stroke else np.zeros((count, 1), np.float32)
    stroke = np.clip(strength.stroke * strokes, -1, 1)
    return Coefficients(affine, elastic, stroke)


def _normal(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return random.standard_normal(shape, dtype=np.float32)


def prepare(images: NDArray[np.float32], smoothness: float) -> Source:
    """Return the source of distortions of images.

    Args:
        images: Shape (n, side * side), bytes divided by 255.
        smoothness: As in ``Strength``.

    Raises:
        PipelineError: The images are not square, or too many.
    """
    side = round(images.shape[1] ** 0.5)
    if side * side != images.shape[1] or len(images) * (side + 2) ** 2 > MOST_PACKED:
        raise PipelineError(
            f"distortion: expected square images, at most {MOST_PACKED:,} pixels of them with "
            f"their frames, found {len(images)} of {images.shape[1]} pixels"
        )
    # Pages of memory of its own begin where TensorFlow takes them without a copy.
    memory = mmap.mmap(-1, len(images) * (side + 2) ** 2 * 4)
    packed = np.frombuffer(memory, np.uint8).reshape(len(images), side + 2, side + 2, 4)
    for first in range(0, len(images), AT_ONCE):
        some = images[first : first + AT_ONCE]
        framed = np.zeros((len(some), side + 3, side + 3), np.uint8)
        framed[:, 1:-2, 1:-2] = np.rint(some * WHITE).reshape(-1, side, side)
        corners = (framed[:, :-1, :-1], framed[:, :-1, 1:], framed[:, 1:, :-1], framed[:, 1:, 1:])
        np.stack(corners, axis=-1, out=packed[first : first + AT_ONCE])
    return Source(packed.view("<i4").reshape(-1), bumps(side, smoothness))


def bumps(side: int, smoothness: float) -> NDArray[np.float32]:
    """Return Gaussian bumps on a grid over the image, shape (BUMPS * BUMPS, side * side).

    They are scaled such that heights of standard deviation 1 displace every pixel by that much.
    """
    centres = np.linspace(0, side - 1, BUMPS)
    exponents = -((np.arange(side) - centres[:, None]) ** 2) / (2 * smoothness**2)
    # The nearest bump counts 1, however narrow they are: nothing underflows.
    along = np.exp(exponents - exponents.max(axis=0))
    # The sum over a grid of the squares of products is a product of sums.
    along /= np.sqrt((along**2).sum(axis=0))
    field = np.einsum("iy,jx->ijyx", along, along).reshape(BUMPS * BUMPS, side * side)
    return np.asarray(field, np.float32)


def distort(
    source: Source,
    index: Any,
    coefficients: Coefficients,
    compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda half: half,
) -> Any:
    """Return distorted images, by bilinear interpolation; beyond its border an image is zero.

    Args:
        source: As ``prepare`` returns it, as tensors.
        index: Of the images, shape (n,), int32.
        coefficients: Of the n distortions, as tensors.
        compiled: Compiles each half of the work on its own. As one, it takes a half longer: a
            compiler (XLA) then finds every place anew for each number that depends on it.

    Returns:
        Shape (n, side * side), float32, in [0, 1].
    """
    corners, rest = compiled(locate)(source, index, coefficients)
    return compiled(interpolate)(source, corners, rest, coefficients.stroke)


def locate(source: Source, index: Any, coefficients: Coefficients) -> tuple[Any, Any]:
    """Return where the pixels of distorted images come from; the arguments are those of `distort`.

    Returns:
        Which element of ``source.packed`` lies up and left of the place, shape (n, side * side),
        int32; and how far the place is from there, right and down, shape (n, 2, side * side).
    """
    ops = keras.ops
    side = round(source.bumps.shape[1] ** 0.5)
    frame = side + 2
    centre = (side - 1) / 2
    down, across = np.indices((side, side), np.float32).reshape(2, -1) - np.float32(centre)
    affine = coefficients.affine[:, :, :, None]
    place = affine[:, :, 0] + affine[:, :, 1] * across + affine[:, :, 2] * down
    place = place + ops.matmul(coefficients.elastic, source.bumps)
    # In the frame's own pixels; whatever lies beyond it is as empty as its edge.
    place = ops.clip(place + (centre + 1), 0, frame - 1)
    whole = ops.floor(place)
    x, y = ops.unstack(ops.cast(whole, "int32"), axis=1)
    return index[:, None] * (frame * frame) + y * frame + x, place - whole


def interpolate(source: Source, corners: Any, rest: Any, stroke: Any) -> Any:
    """Return the pixels at places between those of an image.

    Args:
        source: Of the pixels.
        corners: As ``locate`` returns them.
        rest: Likewise.
        stroke: How much thicker strokes become, shape (n, 1).
    """
    ops = keras.ops
    four = ops.take(source.packed, corners)
    corner, right, below, opposite = (
        ops.cast(ops.bitwise_and(ops.right_shift(four, 8 * byte), 255), "float32")
        for byte in range(4)
    )
    rest_x, rest_y = ops.unstack(rest, axis=1)
    upper = corner + rest_x * (right - corner)
    lower = below + rest_x * (opposite - below)
    grey = upper + rest_y * (lower - upper)
    highest = ops.maximum(ops.maximum(corner, right), ops.maximum(below, opposite))
    lowest = ops.minimum(ops.minimum(corner, right), ops.minimum(below, opposite))
    thicker, thinner = ops.relu(stroke), ops.relu(-stroke)
    grey = grey + thicker * (highest - grey) - thinner * (grey - lowest)
    return grey * RECIPROCAL_HEAD + grey * RECIPROCAL_TAIL
