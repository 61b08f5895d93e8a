"""Give a digit the form of MNIST's: 28 x 28 pixels, as large, as bright, as thick a stroke."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.export.resampling import resized, sheared

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

SIDE = 28  # pixels of an image
BOX = 20  # pixels of the square that the digit fills
# A digit is worked on at this many pixels of its longer side: fine enough for smooth outlines.
SMALLEST, LARGEST = 100, 200
# Strokes, in pixels of the square: MNIST's are from 2 to 4.2 wide. Thinner ones are made 2.7 wide,
# as most of MNIST's are, thicker ones 4.2.
THINNEST, USUAL, THICKEST = 2.0, 2.7, 4.2
VANISHING = 2  # pixels of the digit; thinner strokes are made thicker before it is made smaller
LEAN = 0.15  # columns per row


def mnist_image(ink: Grey) -> Grey:
    """Return a digit in the form of MNIST, shape (28, 28), from 0 to 1.

    Method: the digit, cut out, fills a square of 20 pixels by its longer side, averaged by area;
    then its centre of mass is moved to the middle of 28 x 28 by whole pixels (LeCun, Cortes and
    Burges; rebuilt by Yadav and Bottou, 2019). Strokes much thinner or thicker than MNIST's are
    corrected before, which MNIST does not do.

    Args:
        ink: Where the digit is, above 0.5, and nothing else; shape (height, width), from 0 to 1.
    """
    return _framed(with_usual_strokes(working_size(ink)))


def mnist_images(ink: Grey) -> Grey:
    """Return a digit in the form of MNIST five times, shape (5, 28, 28).

    As it is; leaning to the left and to the right; falling and rising. What the network makes of
    them is averaged.

    Args:
        ink: As for ``mnist_image``.
    """
    digit = with_usual_strokes(working_size(ink))
    leaning = [sheared(digit, slant) for slant in (LEAN, -LEAN)]
    rising = [sheared(digit.T, slant).T for slant in (LEAN, -LEAN)]
    return np.stack([_framed(one) for one in (digit, *leaning, *rising)])


def _framed(digit: Mask) -> Grey:
    digit = _cropped(digit)
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(length * scale)) for length in digit.shape)
    small = resized(digit.astype(np.float32), (height, width))
    return centred(np.minimum(small, 1))


def working_size(ink: Grey) -> Mask:
    """Return a digit large enough for smooth outlines, and no larger than useful."""
    ink = _cropped(ink, 0.5)
    side = max(ink.shape)
    scale = min(max(side, SMALLEST), LARGEST) / side
    if scale == 1:
        return np.asarray(ink > 0.5)  # noqa: PLR2004
    padded = np.pad(ink, 1)  # so that the outline is one all around
    if scale < 1 and stroke_width(ink > 0.5) * scale < VANISHING:  # noqa: PLR2004
        reach = int(np.ceil(1 / scale))
        padded = ndimage.maximum_filter(np.pad(ink, reach), 2 * reach + 1)
    height, width = (max(1, round(length * scale)) for length in padded.shape)
    digit = resized(padded, (height, width))
    # Faint ink a pixel wide gets fainter between the middles of pixels.
    return np.asarray(digit > min(0.5, float(digit.max()) * 0.99))


def with_usual_strokes(digit: Mask) -> Mask:
    """Return a digit whose strokes are as wide as those of MNIST may be, cropped."""
    digit = np.asarray(_cropped(digit))
    pixel = max(digit.shape) / BOX  # of the image, in pixels of the digit
    width = stroke_width(digit) / pixel
    if width < THINNEST:
        radius = (USUAL - width) / 2 * pixel
        margin = int(np.ceil(radius)) + 1
        outside = ndimage.distance_transform_edt(~np.pad(digit, margin))
        return np.asarray(_cropped(outside <= radius))
    if width > THICKEST:
        radius = min((width - THICKEST) / 2, 0.3 * width) * pixel
        thinner = ndimage.distance_transform_edt(np.pad(digit, 1)) > radius
        if _parts(thinner) == _parts(digit):
            return np.asarray(_cropped(thinner))
    return digit


def stroke_width(mask: Mask) -> float:
    """Return the typical thickness of strokes in pixels: twice the depth of their middle."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    middle = (depth == ndimage.maximum_filter(depth, 3)) & (depth > 0)
    return float(2 * np.median(depth[middle]) - 0.5) if middle.any() else 1.0


def _parts(digit: Mask) -> int:
    return int(ndimage.label(digit, np.ones((3, 3)))[1])


def _cropped(image: Any, level: float = 0) -> Any:
    """Return what is inside the rectangle around all that is above a level."""
    rows, columns = (np.flatnonzero((image > level).any(axis=axis)) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def centred(digit: Grey) -> Grey:
    """Return 28 x 28 pixels with the centre of mass of a smaller picture in the middle."""
    height, width = digit.shape
    row, column = (
        float((digit.sum(axis=1 - axis) * np.arange(digit.shape[axis])).sum() / digit.sum())
        for axis in (0, 1)
    )
    middle = SIDE / 2 + 0.5
    top = min(max(int(middle - row), 0), SIDE - height)
    left = min(max(int(middle - column), 0), SIDE - width)
    image = np.zeros((SIDE, SIDE), np.float32)
    image[top : top + height, left : left + width] = digit
    return image
