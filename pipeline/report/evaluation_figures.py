"""Figures of an evaluation: calibration, risk-coverage, robustness."""

# First, since it chooses matplotlib's backend, which matplotlib reads when it is imported.
from pipeline.report.figures import TRAINING, VALIDATION, empty_figure  # isort: skip

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

WIDTH, HEIGHT = 4.8, 3.4  # inches: small enough to be read on a phone
BEFORE, AFTER = VALIDATION, TRAINING
GREY = "#767676"
PERCENT = FuncFormatter(lambda share, _: f"{100 * share:g}%")


def reliability_figure(reliability: pd.DataFrame) -> Figure:
    """Return accuracy by confidence, before and after calibration, with 95% intervals.

    Args:
        reliability: Columns calibration ("before" or "after"), confidence, accuracy, low and high.
    """
    figure = empty_figure(WIDTH, HEIGHT)
    axes = _plain_axes(figure)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":", label="as it should be")
    for name, colour, marker in (("before", BEFORE, "s"), ("after", AFTER, "o")):
        mine = reliability[reliability["calibration"] == name]
        reach = [mine["accuracy"] - mine["low"], mine["high"] - mine["accuracy"]]
        axes.errorbar(
            mine["confidence"],
            mine["accuracy"],
            [part.clip(lower=0) for part in reach],
            marker=marker,
            markersize=4,
            linewidth=1.2,
            elinewidth=0.8,
            color=colour,
            label=f"{name} calibration",
        )
    axes.set(xlabel="confidence", ylabel="images classified correctly", ylim=(-0.03, 1.03))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    axes.legend(frameon=False, loc="lower right")
    return figure


def risk_coverage_figure(curve: pd.DataFrame, rejection: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Return the risk-coverage curve, with the operating points on it.

    Args:
        curve: Columns coverage, risk, low and high.
        rejection: Of each target error what ``assessment`` gives: coverage and risk.
    """
    figure = empty_figure(WIDTH, HEIGHT)
    axes = _plain_axes(figure)
    axes.fill_between(
        curve["coverage"], curve["low"], curve["high"], color=TRAINING, alpha=0.18, linewidth=0
    )
    style = "o" if len(curve) == 1 else "-"  # a line of one point would not be seen
    axes.plot(curve["coverage"], curve["risk"], style, color=TRAINING, label="errors among them")
    for target, found in rejection.items():
        axes.axhline(float(target), color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            f"{100 * float(target):g}%",
            (0.0, float(target)),
            (3, 2),
            textcoords="offset points",
            fontsize=8,
            color=GREY,
        )
        if found["coverage"]:
            axes.plot(found["coverage"], found["risk"], "o", color=VALIDATION)
    # Logarithmic but for its lowest part, since the risk may be zero.
    smallest = min((float(target) for target in rejection), default=0.001) / 2
    axes.set_yscale("symlog", linthresh=smallest, linscale=0.5)
    highest = max([curve["risk"].max(), *map(float, rejection)]) * 1.6
    axes.set(
        xlabel="share of images that the network decides",
        ylabel="errors among them",
        xlim=(-0.01, 1.02),
        ylim=(-0.06 * smallest, highest),
    )
    ticks = [0, *(tick for tick in (0.0001, 0.001, 0.01, 0.1, 1) if smallest <= tick <= highest)]
    axes.set_yticks(ticks)
    axes.set_yticks([], minor=True)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.yaxis.set_major_formatter(PERCENT)
    return figure


def robustness_figure(accuracies: pd.DataFrame, unit: str) -> Figure:
    """Return accuracy by the strength of one perturbation.

    Args:
        accuracies: Columns strength and accuracy.
        unit: Of the strength.
    """
    figure = empty_figure(3.0, 2.4)
    axes = _plain_axes(figure)
    axes.plot(accuracies["strength"], accuracies["accuracy"], "o-", color=TRAINING, markersize=4)
    axes.set(xlabel=unit, ylim=(0, 1.03), xticks=accuracies["strength"])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda strength, _: f"{strength:g}"))
    axes.yaxis.set_major_formatter(PERCENT)
    return figure


def _plain_axes(figure: Figure) -> Axes:
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
