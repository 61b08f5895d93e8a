"""Figures of a run: learning curves, confusion matrix, gallery of errors.

They use matplotlib's own objects instead of pyplot, and its built-in defaults instead of the
user's style file, so a picture's bytes depend on nothing but the data and matplotlib's version.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when matplotlib is imported; notebooks set it to a backend that only they have.
os.environ["MPLBACKEND"] = "agg"

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from pipeline.evaluation.predictions import most_confident_errors
from pipeline.runtime.atomic import replacing

TRAINING, VALIDATION = (
    "#0072B2",
    "#D55E00",
)  # blue and vermilion of Okabe and Ito's colour-blind-safe set
GALLERY_COLUMNS = 8
GALLERY_WIDTH = 60  # points for the text above an image; once drawn it is wider, and 73 are there
CLASSES_WITH_COUNTS = 20  # in a confusion matrix; the counts of more could not be read
CLASSES_WITH_NAMES = 65


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure as a PNG file without naming the program that wrote it."""
    with replacing(path) as partial:
        figure.savefig(partial, dpi=dpi, metadata={"Software": None})


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches, after forgetting the user's own style."""
    mpl.rcdefaults()
    return Figure(figsize=(width, height), layout="constrained")


def learning_curves_figure(curves: pd.DataFrame) -> Figure:
    """Return loss and accuracy by epoch, training and validation on the same axes.

    Args:
        curves: Columns epoch, loss, accuracy, val_loss, val_accuracy.
    """
    figure = empty_figure(9, 3.6)
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        _draw_curve(axes, curves, quantity)
        axes.set_title(quantity.capitalize())
    axes.legend(frameon=False, loc="lower right")
    return figure


def learning_curve_figure(curves: pd.DataFrame, quantity: str) -> Figure:
    """Return one of the learning curves on its own, small enough for a phone.

    Args:
        curves: As above.
        quantity: "loss" or "accuracy".
    """
    figure = empty_figure(4.8, 3.4)
    axes = figure.subplots()
    _draw_curve(axes, curves, quantity)
    axes.legend(frameon=False, loc="upper right" if quantity == "loss" else "lower right")
    return figure


def _draw_curve(axes: Axes, curves: pd.DataFrame, quantity: str) -> None:
    marker = "o" if len(curves) == 1 else ""  # a line of one point would not be seen
    for column, name, colour, style in (
        (quantity, "training", TRAINING, "-"),
        (f"val_{quantity}", "validation", VALIDATION, "--"),
    ):
        axes.plot(curves["epoch"], curves[column], style, color=colour, label=name, marker=marker)
    axes.set_xlabel("epoch")
    if quantity == "loss":
        axes.set(ylabel="cross-entropy [nats]", yscale="log")
    else:
        axes.set_ylabel("images classified correctly")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def confusion_figure(predictions: pd.DataFrame, name: Callable[[int], str] = str) -> Figure:
    """Return the confusion matrix: every cell coloured by its share of the row.

    Its count stands in the cell, unless there are more than ``CLASSES_WITH_COUNTS``.

    Args:
        predictions: Columns actual and predicted.
        name: Of a class.
    """
    counts = confusion_counts(predictions)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = min(max(5.0, 0.62 * classes), 13.0)  # inches
    figure = empty_figure(size + 1.2, size)
    axes = figure.subplots()
    # Nearly all images lie on the diagonal; the square root keeps the others' colours apart.
    picture = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1))
    for (row, column), count in np.ndenumerate(counts if classes <= CLASSES_WITH_COUNTS else ()):
        colour = "white" if shares[row, column] > 0.4 else "black"  # noqa: PLR2004 (readable on either side)
        axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    ticks = range(0, classes, math.ceil(classes / CLASSES_WITH_NAMES))
    names = [_plain(name(label)) for label in ticks]
    is_wide = max(map(len, names)) > 2  # noqa: PLR2004 (letters, that have room in a cell)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.set_xticks(ticks, names, rotation=90 if is_wide else 0)
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    correct = int(np.trace(counts))
    axes.set_title(
        f"{correct:,} of {len(predictions):,} test images classified correctly", fontsize=11
    )
    bar = figure.colorbar(
        picture, ax=axes, shrink=0.8, format=PercentFormatter(1), ticks=[0, 0.01, 0.05, 0.2, 0.5, 1]
    )
    bar.set_label("share of the actual class's images")
    bar.outline.set_visible(False)
    return figure


def confusion_counts(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """Return how often each class (row) was predicted as each class (column).

    Shape (classes, classes), where the highest class that occurs is the last.
    """
    classes = int(predictions[["actual", "predicted"]].to_numpy().max()) + 1
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (predictions["actual"], predictions["predicted"]), 1)
    return counts


def gallery_figure(
    images: NDArray[np.float32],
    predictions: pd.DataFrame,
    size: int,
    name: Callable[[int], str] = str,
) -> Figure:
    """Return the wrongly classified images of highest confidence: index, actual → predicted.

    Args:
        images: Shape (n, height, width), in [0, 1].
        predictions: Columns actual, predicted and calibrated_confidence, a row an image.
        size: How many images to show, at most.
        name: Of a class.
    """
    errors = most_confident_errors(predictions)
    worst = errors.head(size)
    rows = max(1, math.ceil(len(worst) / GALLERY_COLUMNS))
    figure = empty_figure(1.1 * GALLERY_COLUMNS, 1.6 * rows + 0.4)
    title = f"The {len(worst)} most confident of {len(errors):,} errors"
    figure.suptitle(f"{title}: actual → predicted, confidence, index", fontsize=11)
    grid: NDArray[Any] = figure.subplots(rows, GALLERY_COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for axes, index in zip(grid.flat, worst.index, strict=False):
        axes.imshow(images[index], cmap="gray_r", vmin=0, vmax=1)
        actual, predicted = (name(worst[side][index]) for side in ("actual", "predicted"))
        names, size = _plain(f"{actual} → {predicted}"), 11
        if not _fits(names, size):
            names, size = f"{_cut(actual, 7)}\n{_cut(f'→ {predicted}', 7)}", 7
        axes.set_title(names, fontsize=size, pad=3)
        confidence = percentage(worst.calibrated_confidence[index])
        axes.set_xlabel(f"{confidence}\n#{index}", fontsize=8)
    return figure


def _fits(text: str, size: int) -> bool:
    """Return whether a line of a font size, in points, fits above an image of the gallery."""
    return bool(TextPath((0, 0), text, size=size).get_extents().width < GALLERY_WIDTH)


def _cut(text: str, size: int) -> str:
    """Return a line that fits above an image, cut where it does not."""
    lengths = range(len(text) - 1, 0, -1)
    lines = [_plain(text), *(f"{_plain(text[:length])}…" for length in lengths)]
    return next((line for line in lines if _fits(line, size)), "…")


def _plain(text: str) -> str:
    """Return a text in which matplotlib sees no formula."""
    return text.replace("$", r"\$")


def percentage(share: float) -> str:
    """Return a share in percent, never rounded up to a certainty: 0.99999 is "> 99.99%"."""
    return f"{share:.2%}" if share < 0.99995 else "> 99.99%"  # noqa: PLR2004 (where rounding gives 100)
