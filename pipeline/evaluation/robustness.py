"""Accuracy on perturbed images: moved, turned, slanted, thinner, thicker, faint, in noise.

The changes are small and leave a digit readable. Their strengths are chosen to show where the
network fails, not to stand for any camera or writer.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

Images = NDArray[np.float32]
NOISE_SEED = 0
AT_ONCE = 10_000  # images that are changed and predicted at a time, since each change is a copy
CROSS = ndimage.generate_binary_structure(2, 1)[None]  # a pixel and its four neighbours, per image


def shifted(images: Images, pixels: float) -> Iterator[Images]:
    """Yield images moved by whole pixels left, right, up and down; what leaves them is lost."""
    step = int(pixels)
    for axis, sign in ((2, -1), (2, 1), (1, -1), (1, 1)):
        moved = np.zeros_like(images)
        source, target = [slice(None)] * 3, [slice(None)] * 3
        source[axis] = slice(None, -step) if sign > 0 else slice(step, None)
        target[axis] = slice(step, None) if sign > 0 else slice(None, -step)
        moved[tuple(target)] = images[tuple(source)]
        yield moved


def rotated(images: Images, degrees: float) -> Iterator[Images]:
    """Yield images turned either way about their centre, by bilinear interpolation."""
    for angle in (-degrees, degrees):
        yield ndimage.rotate(images, angle, axes=(2, 1), reshape=False, order=1)


def slanted(images: Images, slant: float) -> Iterator[Images]:
    """Yield images whose rows move sideways, either way, by ``slant`` pixels per pixel of height.

    The middle row stays; the interpolation is linear, and what leaves an image is lost.
    """
    middle = (images.shape[1] - 1) / 2
    for sign in (-1, 1):
        matrix = np.eye(3)
        matrix[2, 1] = sign * slant
        yield ndimage.affine_transform(
            images, matrix, offset=(0, 0, -sign * slant * middle), order=1
        )


def thickened(images: Images, pixels: float) -> Iterator[Images]:
    """Yield images whose strokes gain ``pixels`` on each side, or lose them where it is negative.

    For one pixel, each becomes the brightest, or darkest, of itself and its four neighbours. For
    part of one, it is that far on the way there.
    """
    change = ndimage.grey_dilation if pixels > 0 else ndimage.grey_erosion
    yield images + np.float32(abs(pixels)) * (change(images, footprint=CROSS) - images)


def faint(images: Images, lost: float) -> Iterator[Images]:
    """Yield images that have lost a share of their brightness, the same in every pixel."""
    yield images * np.float32(1 - lost)


def noisy(images: Images, deviation: float) -> Iterator[Images]:
    """Yield images with normal noise in every pixel, of that standard deviation, cut to [0, 1].

    It is the same noise for every strength, so that these differ in nothing else, and for every
    part of the images.
    """
    noise = np.random.default_rng(NOISE_SEED).standard_normal(images.shape, dtype=np.float32)
    yield np.clip(images + np.float32(deviation) * noise, 0, 1)


class Perturbation(NamedTuple):
    """A way to change images.

    Attributes:
        unit: Of its strength.
        strengths: From weak to strong.
        variants: Yields the images changed with a strength, in each direction that there is.
    """

    unit: str
    strengths: tuple[float, ...]
    variants: Callable[[Images, float], Iterator[Images]]


PERTURBATIONS = {
    "shift": Perturbation("pixels", (1, 2, 3, 4), shifted),
    "rotation": Perturbation("degrees", (5, 10, 15, 20, 30), rotated),
    "slant": Perturbation("pixels sideways per pixel of height", (0.1, 0.2, 0.3, 0.5), slanted),
    "stroke": Perturbation("pixels on each side", (-1, -0.5, 0.5, 1), thickened),
    "contrast": Perturbation("share of the brightness lost", (0.25, 0.5, 0.75), faint),
    "noise": Perturbation("standard deviation", (0.1, 0.2, 0.3, 0.4), noisy),
}


def accuracies(
    images: Images, labels: NDArray[np.int32], predict: Callable[[Images], NDArray[np.float32]]
) -> pd.DataFrame:
    """Return the accuracy for every perturbation and strength, the mean over its directions.

    Args:
        images: Shape (n, height, width), in [0, 1].
        labels: Shape (n,).
        predict: Returns the probabilities of images, shape (n, classes).

    Returns:
        Columns perturbation, strength and accuracy; each perturbation begins with the images as
        they are, strength 0, in its place among the strengths.
    """
    parts = [slice(first, first + AT_ONCE) for first in range(0, len(images), AT_ONCE)]

    def accuracy(variants: Callable[[Images], Iterable[Images]]) -> float:
        correct = [
            predict(changed).argmax(axis=1) == labels[part]
            for part in parts
            for changed in variants(images[part])
        ]
        return float(np.concatenate(correct).mean())

    unchanged = accuracy(lambda part: [part])
    rows = []
    for name, perturbation in PERTURBATIONS.items():
        for strength in sorted((0, *perturbation.strengths)):
            variants = partial(_variants, perturbation, strength)
            rows.append((name, strength, accuracy(variants) if strength else unchanged))
    return pd.DataFrame(rows, columns=["perturbation", "strength", "accuracy"])


def _variants(perturbation: Perturbation, strength: float, images: Images) -> Iterator[Images]:
    return perturbation.variants(images, strength)


def robustness_metrics(perturbed: pd.DataFrame) -> dict[str, Any]:
    """Return the accuracy by perturbation and strength."""
    return {
        str(name): {
            f"{strength:g}": accuracy
            for strength, accuracy in zip(rows["strength"], rows["accuracy"], strict=True)
            if strength
        }
        for name, rows in perturbed.groupby("perturbation", sort=False)
    }
