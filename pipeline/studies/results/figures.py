"""The pictures of the studies: functions that take data and return a matplotlib figure."""

# First, since it chooses matplotlib's backend, which matplotlib reads when it is imported.
from pipeline.report.figures import TRAINING, VALIDATION, empty_figure  # isort: skip

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from pipeline.studies.results.study import mean_interval

DOUBTS_COLUMNS = 12


def runs_figure(runs: pd.DataFrame) -> Figure:
    """Return the accuracy of every run as a dot, beside the mean and its 95% interval.

    The recipes have axes of their own, of one scale, so the dots' spread can be compared.

    Args:
        runs: Columns recipe, validation_accuracy and test_accuracy, a row a run.
    """
    recipes = list(runs.groupby("recipe", sort=False))
    figure = empty_figure(3.2 * len(recipes) + 0.6, 4.2)
    spans = [mine.filter(like="accuracy").to_numpy() for _, mine in recipes]
    height = 1.15 * max(span.max() - span.min() for span in spans) + 1e-4
    for axes, span, (recipe, mine) in zip(
        figure.subplots(1, len(recipes), squeeze=False)[0], spans, recipes, strict=True
    ):
        for place, (part, colour) in enumerate((("validation", VALIDATION), ("test", TRAINING))):
            values = mine[f"{part}_accuracy"].to_numpy()
            beside = np.linspace(-0.18, 0.18, len(values))  # in the order of the seeds
            axes.plot(place + beside, values, "o", color=colour, alpha=0.75, markersize=6)
            low, high = mean_interval(values)
            axes.errorbar(
                place + 0.33,
                values.mean(),
                [[values.mean() - low], [high - values.mean()]],
                fmt="_",
                color="black",
                capsize=4,
                markersize=10,
            )
            axes.text(place + 0.4, values.mean(), f" {values.mean():.2%}", va="center", fontsize=9)
        middle = (span.max() + span.min()) / 2
        axes.set(
            title=str(recipe),
            xlim=(-0.35, 1.85),
            ylim=(middle - height / 2, middle + height / 2),
            xticks=[0, 1],
            xticklabels=["validation", "test"],
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
        axes.grid(axis="y", alpha=0.3)
        axes.tick_params(axis="x", length=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("images classified correctly", fontsize=10)
    return figure


def distortions_figure(images: NDArray[np.float32], distorted: NDArray[np.float32]) -> Figure:
    """Return each image as it is, with distorted versions of it to its right.

    Args:
        images: Shape (n, height, width), in [0, 1].
        distorted: Shape (n, versions, height, width).
    """
    rows, versions = distorted.shape[:2]
    figure = empty_figure(0.62 * (versions + 1.4), 0.62 * rows + 0.35)
    grid = figure.subplots(rows, versions + 2, width_ratios=[1, 0.35] + [1] * versions)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (whole, others) in enumerate(zip(images, distorted, strict=True)):
        for axes, image in zip([grid[row, 0], *grid[row, 2:]], [whole, *others], strict=True):
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
    grid[0, 0].set_title("as it is", fontsize=9)
    grid[0, 2 + versions // 2].set_title("as training sees it", fontsize=9)
    return figure


def label_doubts_figure(
    images: Mapping[str, NDArray[np.float32]], doubts: Mapping[str, pd.DataFrame], drawn: int
) -> Figure:
    """Return the images of the most doubtful labels, as label → suggestion, with their index.

    Args:
        images: Of each part, shape (n, height, width), in [0, 1].
        doubts: Of each part, columns image, label and suggestion, the worst first.
        drawn: The most images of each part to show.
    """
    figure = empty_figure(0.85 * DOUBTS_COLUMNS, 2 * 1.25 * math.ceil(drawn / DOUBTS_COLUMNS) + 0.8)
    areas = figure.subfigures(len(doubts), 1, squeeze=False).flat
    for part, area in zip(doubts, areas, strict=True):
        worst = doubts[part].head(drawn)
        area.suptitle(f"{part}: label → what the networks see, index", fontsize=11)
        rows = max(1, math.ceil(drawn / DOUBTS_COLUMNS))
        grid = area.subplots(rows, DOUBTS_COLUMNS, squeeze=False).flat
        for axes in grid:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        shown = images[part][worst["image"]]
        for axes, image, row in zip(area.axes, shown, worst.itertuples(index=False), strict=False):
            axes.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            axes.set_title(f"{row.label} → {row.suggestion}", fontsize=10, pad=3)
            axes.set_xlabel(f"#{row.image}", fontsize=8)
    return figure
