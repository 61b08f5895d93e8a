"""Draw the pictures of a run: learning curves, confusion matrix, gallery of errors."""

import math
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, PositiveInt

from pipeline.command import run_stage
from pipeline.curves import read_curves
from pipeline.examples import load_array
from pipeline.figures import confusion_figure, gallery_figure, learning_curves_figure, save_figure
from pipeline.predictions import read_predictions
from pipeline.stage import PipelineError, Section


class PlotParams(Section):
    """Section ``plot`` of ``params.yaml``."""

    gallery_size: Annotated[PositiveInt, Field(le=400)]
    dpi: Annotated[int, Field(ge=50, le=300)]


def plot(
    params: PlotParams,
    *,
    test_images: Path = Path("data/processed/test_images.npy"),
    learning_curves: Path = Path("reports/learning_curves.csv"),
    predictions: Path = Path("reports/predictions.csv"),
    learning_curves_picture: Path = Path("reports/figures/learning_curves.png"),
    confusion_picture: Path = Path("reports/figures/confusion_matrix.png"),
    gallery_picture: Path = Path("reports/figures/errors.png"),
) -> None:
    """Write the three pictures as PNG files.

    Raises:
        PipelineError: An input is damaged, or the images are not those that were predicted.
    """
    table = read_predictions(predictions)
    curves = read_curves(learning_curves)
    pixels = load_array(test_images, np.float32)
    side = math.isqrt(pixels.size // len(table))
    if pixels.shape != (len(table), side * side):
        raise PipelineError(
            f"{test_images}: expected {len(table)} flattened square images, as many as "
            f"{predictions} has rows, found shape {pixels.shape}"
        )
    images = pixels.reshape(-1, side, side)
    save_figure(learning_curves_figure(curves), learning_curves_picture, params.dpi)
    save_figure(confusion_figure(table), confusion_picture, params.dpi)
    save_figure(gallery_figure(images, table, params.gallery_size), gallery_picture, params.dpi)


if __name__ == "__main__":
    run_stage(plot, PlotParams)
