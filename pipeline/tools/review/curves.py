"""The learning curves of two trainings, as a table and a chart for people."""

import math

import pandas as pd

from pipeline.tools.page import Page, Table

MOST_POINTS = 100
BLUE, VERMILION = "#0072B2", "#D55E00"  # of Okabe and Ito's colour-blind-safe set


def curves_page(before: pd.DataFrame | None, after: pd.DataFrame | None) -> Page:
    """Return accuracy and loss on the validation set before and after, as a table and a chart.

    Args:
        before: Learning curves as ``parse_curves`` returns them; None where there are none.
        after: The other ones, likewise.
    """
    if before is None or after is None:
        return [] if after is None else [_table(after.head(0), after)]
    if before.equals(after):
        return ["The learning curves have not changed."]
    return [_table(before, after), *_chart(before, after)]


def _table(before: pd.DataFrame, after: pd.DataFrame) -> Table:
    """Return validation at the epochs 1, 2, 5, 10, 20, 50 and so on, and at the last ones."""
    last = max(len(before), len(after))
    steps = (step * 10**power for power in range(len(str(last))) for step in (1, 2, 5))
    epochs = sorted({*(step for step in steps if step < last), len(before), len(after)} - {0})
    rows = [
        [
            str(epoch),
            *(
                f"{curves[column][epoch - 1]:{form}}" if epoch <= len(curves) else ""
                for column, form in (("val_accuracy", ".2%"), ("val_loss", ".4f"))
                for curves in (before, after)
            ),
        ]
        for epoch in epochs
    ]
    header = ["epoch", "accuracy before", "accuracy after", "loss before", "loss after"]
    return Table("Learning curves, on the validation set", header, rows, range(5))


def _chart(before: pd.DataFrame, after: pd.DataFrame) -> Page:
    """Return validation accuracy by epoch, as a chart that GitHub draws: Mermaid's."""
    last = min(len(before), len(after))
    # The first epochs are left out: beside their range, later differences would not be visible.
    first = last // 10 + 1
    step = math.ceil((last - first + 1) / MOST_POINTS)
    epochs = range(first, last + 1, step)
    if len(epochs) == 1:
        return []
    lines = [
        [100 * curves["val_accuracy"][epoch - 1] for epoch in epochs] for curves in (before, after)
    ]
    low, high = min(map(min, lines)) - 0.1, max(map(max, lines)) + 0.1
    ends = "" if len(before) == len(after) else f"; of the first {last} epochs"
    chart = [
        "```mermaid",
        "---",
        "config:",
        "  themeVariables:",
        "    xyChart:",
        f'      plotColorPalette: "{BLUE}, {VERMILION}"',
        "---",
        "xychart-beta",
        f'  title "Validation accuracy [%]: before in blue, after in orange{ends}"',
        f'  x-axis "epoch" {epochs[0]} --> {epochs[-1]}',
        f"  y-axis {low:.2f} --> {high:.2f}",
        *(f"  line [{', '.join(f'{value:.2f}' for value in line)}]" for line in lines),
        "```",
    ]
    return ["\n".join(chart)]
