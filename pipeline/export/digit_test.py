"""Tell images of no class at all from those of some class, by what the network makes of them."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from pipeline.export.construction import mnist_image
from pipeline.export.network import Layer, seen_by
from pipeline.export.resampling import resized
from pipeline.runtime.examples import Examples

Images = NDArray[np.float32]
MOST_DIGITS = 25_000  # of the training images; more change nothing
SURE = 0.98  # the probability from which on the network counts as sure
CHANGES: Sequence[Callable[[Images], Images]] = (
    lambda images: images[:, :, ::-1],
    lambda images: np.rot90(images, 1, axes=(1, 2)),
    lambda images: np.rot90(images, 2, axes=(1, 2)),
    lambda images: np.rot90(images, 3, axes=(1, 2)),
)


def fit_digit_test(
    layers: Sequence[Layer], training: Examples, made_up: int, rng: np.random.Generator
) -> Layer:
    """Return a unit that tells images of some class from others.

    Method: logistic regression on what the network's layers give, digits against images made up
    here (outlier exposure: Hendrycks, Mazeika and Dietterich, 2019).

    Args:
        layers: Of the network.
        training: Its training images, square, flattened, with their labels.
        made_up: How many images that are no digit, of each kind.
        rng: For these.
    """
    chosen = rng.permutation(len(training.images))[:MOST_DIGITS]
    digits = seen_by(layers, training.images[chosen])
    others = seen_by(layers, no_digits(layers, training, made_up, rng))
    seen = np.concatenate([digits, others]).astype(np.float64)
    mean, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-6
    is_digit = np.arange(len(seen)) < len(digits)
    fitted = LogisticRegression(C=0.1, max_iter=1000).fit((seen - mean) / spread, is_digit)
    kernel = fitted.coef_[0] / spread
    bias = fitted.intercept_[0] - (mean * kernel).sum()
    return Layer(kernel.astype(np.float32)[:, np.newaxis], np.array([bias], np.float32), "sigmoid")


def no_digits(
    layers: Sequence[Layer], training: Examples, count: int, rng: np.random.Generator
) -> Images:
    """Return images of no class, flattened: digits turned or overlapping, strokes and blots."""
    side = round(training.images.shape[1] ** 0.5)
    squares = training.images.reshape(-1, side, side)
    chosen = rng.integers(len(squares), size=(len(CHANGES), count))
    changed = [
        _changed(layers, squares[which], training.labels[which], change)
        for which, change in zip(chosen, CHANGES, strict=True)
    ]
    drawn = [overlapping(squares, rng) for _ in range(count)]
    drawn += [draw(rng) for draw in (strokes, blots) for _ in range(count)]
    made = [resized(mnist_image(ink), (side, side)) for ink in drawn if (ink > 0.5).any()]  # noqa: PLR2004
    images = np.concatenate([*changed, np.array(made)])
    return np.ascontiguousarray(images.reshape(len(images), -1), np.float32)


def _changed(
    layers: Sequence[Layer],
    squares: Images,
    labels: NDArray[np.int32],
    change: Callable[[Images], Images],
) -> Images:
    """Return changed images, but of no class that then looks like one, as a mirrored 8 does.

    It does if the network is sure of most of them.
    """
    images = change(squares)
    logits = seen_by(layers, images.reshape(len(images), -1))[:, -len(layers[-1].bias) :]
    sure = softmax(logits, axis=1).max(axis=1) > SURE
    most = [label for label in np.unique(labels) if sure[labels == label].mean() > 0.5]  # noqa: PLR2004
    return images[~np.isin(labels, most)]


def overlapping(squares: Images, rng: np.random.Generator) -> Images:
    """Return two digits side by side that touch or overlap."""
    first, second = squares[rng.integers(len(squares), size=2)]
    side = len(first)
    shift = int(rng.integers(side // 9, side // 2))
    both = np.zeros((side, side + shift), np.float32)
    both[:, :side] = first
    both[:, shift:] = np.maximum(both[:, shift:], second)
    return both


def strokes(rng: np.random.Generator) -> Images:
    """Return one to four strokes, straight or curved, shape (100, 100)."""
    paper = np.ones((100, 100), bool)
    for _ in range(rng.integers(1, 5)):
        start, bend, end = rng.uniform(0, 100, (3, 2))
        if rng.random() < 0.5:  # noqa: PLR2004 (half of them)
            bend = (start + end) / 2
        along = np.linspace(0, 1, 200)[:, np.newaxis]
        path = (1 - along) ** 2 * start + 2 * along * (1 - along) * bend + along**2 * end
        rows, columns = path.astype(int).T
        paper[rows, columns] = False
    drawn = ndimage.distance_transform_edt(paper) <= rng.uniform(4, 12)
    return np.asarray(drawn, np.float32)


def blots(rng: np.random.Generator) -> Images:
    """Return blots, shape (60, 60)."""
    field = ndimage.gaussian_filter(rng.normal(size=(60, 60)), rng.uniform(1, 8))
    return np.asarray(field > np.percentile(field, rng.uniform(20, 95)), np.float32)
