"""The charts of a run as SVG, each with a text alternative."""

from typing import Any

import pandas as pd

from pipeline.evaluation.robustness import PERTURBATIONS
from pipeline.report.evaluation_figures import (
    reliability_figure,
    risk_coverage_figure,
    robustness_figure,
)
from pipeline.report.figures import learning_curve_figure
from pipeline.report.pictures import svg
from pipeline.report.run import Run


def charts(run: Run) -> dict[str, dict[str, str]]:
    """Return the charts by their names: svg, the picture, and alt, the text alternative."""
    first, last = run.curves.iloc[0], run.curves.iloc[-1]
    before, after = (
        run.metrics["calibration"][when]["expected_calibration_error"]
        for when in ("before", "after")
    )
    figures = {
        "loss": (
            learning_curve_figure(run.curves, "loss"),
            (
                f"Loss by epoch. Training: {first['loss']:.4f} after the first, {last['loss']:.4f} "
                f"after the last of {len(run.curves)} epochs. "
                f"Validation: {first['val_loss']:.4f} and {last['val_loss']:.4f}."
            ),
        ),
        "accuracy": (
            learning_curve_figure(run.curves, "accuracy"),
            (
                f"Accuracy by epoch. Training: {first['accuracy']:.2%} after the first, "
                f"{last['accuracy']:.2%} after the last of {len(run.curves)} epochs. "
                f"Validation: {first['val_accuracy']:.2%} and {last['val_accuracy']:.2%}."
            ),
        ),
        "reliability": (
            reliability_figure(run.reliability),
            (
                "Share of images classified correctly, by confidence. On average the two are "
                f"{before:.2%} apart before calibration, {after:.2%} after it."
            ),
        ),
        "risk_coverage": (
            risk_coverage_figure(run.risk_coverage, run.metrics["rejection"]),
            (
                "Errors among the images that the network decides, by the share that it decides, "
                f"up to {run.risk_coverage['risk'].iloc[-1]:.2%} where it decides all. "
                "The table beside it has the operating points."
            ),
        ),
    }
    return {name: {"svg": svg(figure, name), "alt": alt} for name, (figure, alt) in figures.items()}


def robustness_charts(accuracies: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each perturbation with its chart and its numbers."""
    found = []
    for name, rows in accuracies.groupby("perturbation", sort=False):
        unit = PERTURBATIONS[str(name)].unit
        pairs = list(zip(rows["strength"], rows["accuracy"], strict=True))
        numbers = "; ".join(f"{strength:g}: {accuracy:.1%}" for strength, accuracy in pairs)
        found.append(
            {
                "name": str(name).capitalize(),
                "svg": svg(robustness_figure(rows, unit), str(name)),
                "alt": f"Accuracy by {name}, in {unit}. {numbers}.",
                "unit": unit,
                "rows": pairs,
            }
        )
    return found
