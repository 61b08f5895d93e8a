"""Draw the pictures of a run, and put it all on one page: reports/index.html."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.evaluation.predictions import read_predictions
from pipeline.evaluation.results import read_json, read_table
from pipeline.report.curves import read_curves
from pipeline.report.evaluation_figures import reliability_figure, risk_coverage_figure
from pipeline.report.figures import (
    confusion_figure,
    gallery_figure,
    learning_curves_figure,
    save_figure,
)
from pipeline.report.page import run_page
from pipeline.report.run import Run
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_stage
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import as_squares, load_array
from pipeline.runtime.params import PARAMS_FILE, Section, read_params, read_section


class PlotParams(Section):
    """Section ``plot`` of ``params.yaml``."""

    gallery_size: Annotated[PositiveInt, Field(le=400)]
    dpi: Annotated[int, Field(ge=50, le=300)]


def plot(
    params: PlotParams,
    *,
    parameters: Path = PARAMS_FILE,
    template: Path = Path("pipeline/report/page.html"),
    test_images: Path = Path("data/processed/test_images.npy"),
    operating_points: Path = Path("data/model/operating_points.json"),
    environment: Path = Path("reports/environment.json"),
    learning_curves: Path = Path("reports/learning_curves.csv"),
    metrics: Path = Path("reports/metrics.json"),
    predictions: Path = Path("reports/predictions.csv"),
    by_class: Path = Path("reports/by_class.csv"),
    reliability: Path = Path("reports/reliability.csv"),
    risk_coverage_curve: Path = Path("reports/risk_coverage.csv"),
    robustness_curves: Path = Path("reports/robustness.csv"),
    page: Path = Path("reports/index.html"),
    learning_curves_picture: Path = Path("reports/figures/learning_curves.png"),
    confusion_picture: Path = Path("reports/figures/confusion_matrix.png"),
    gallery_picture: Path = Path("reports/figures/errors.png"),
    reliability_picture: Path = Path("reports/figures/reliability.png"),
    risk_coverage_picture: Path = Path("reports/figures/risk_coverage.png"),
) -> None:
    """Write the page, and the pictures as PNG files.

    Raises:
        PipelineError: An input is damaged, or the images are not those that were predicted.
    """
    run = Run(
        images=as_squares(load_array(test_images, np.float32), str(test_images)),
        predictions=read_predictions(predictions),
        metrics=read_json(metrics),
        points=read_json(operating_points),
        by_class=read_table(by_class, ["class", "precision", "recall", "f1", "support"]),
        reliability=read_table(
            reliability, ["calibration", "images", "confidence", "accuracy", "low", "high"]
        ),
        risk_coverage=read_table(
            risk_coverage_curve, ["threshold", "coverage", "risk", "low", "high"]
        ),
        robustness=read_table(robustness_curves, ["perturbation", "strength", "accuracy"]),
        curves=read_curves(learning_curves),
        parameters=shown_parameters(parameters),
        environment=read_json(environment),
    )
    if len(run.images) != len(run.predictions):
        raise PipelineError(
            f"{test_images}: expected {len(run.predictions)} images, as many as {predictions} has "
            f"rows, found {len(run.images)}"
        )
    html = run_page(run, template.read_text(encoding="utf-8"), params.gallery_size)
    write_text(page, html)
    for figure, picture in (
        (learning_curves_figure(run.curves), learning_curves_picture),
        (confusion_figure(run.predictions, run.name), confusion_picture),
        (
            gallery_figure(run.images, run.predictions, params.gallery_size, run.name),
            gallery_picture,
        ),
        (reliability_figure(run.reliability), reliability_picture),
        (risk_coverage_figure(run.risk_coverage, run.metrics["rejection"]), risk_coverage_picture),
    ):
        save_figure(figure, picture, params.dpi)
    print(f"All of it on one page: {page}")


def shown_parameters(path: Path) -> dict[str, Any]:
    """Return the parameters that the page shows: those that decide the model and its evaluation.

    Raises:
        PipelineError: A section or the recipe is missing.
    """
    sections = {name: read_section(name, path) for name in ("preprocess", "train", "evaluate")}
    if "recipe" not in sections["train"]:
        raise PipelineError(f"{path}: train.recipe: expected the name of a recipe, found none")
    return sections | {"recipe": read_params("train", path)["recipe"]}


if __name__ == "__main__":
    run_stage(plot, PlotParams)
