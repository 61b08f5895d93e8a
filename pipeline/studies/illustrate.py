"""Draw what a recipe's distortions make of digits, in studies/distortions.png."""

import argparse
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.backend import keras, pin
from pipeline.command import clear_ending, dependencies_unchanged
from pipeline.distortion import Coefficients, Source, distort, draw_coefficients, prepare
from pipeline.examples import load_examples
from pipeline.figures import save_figure
from pipeline.stage import PipelineError, load_section
from pipeline.study_figures import distortions_figure
from pipeline.training import TrainParams

STUDIES_FILE = Path("studies/dvc.yaml")
VERSIONS = 11  # of every digit
DPI = 150


def illustrate(
    params: TrainParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    picture: Path = Path("studies/distortions.png"),
) -> None:
    """Write a picture of the first digit of each class, and of distorted versions of it.

    Raises:
        PipelineError: The recipe distorts nothing.
    """
    strength = params.recipe.distortion
    if strength is None:
        raise PipelineError("the recipe has no distortion that could be drawn")
    pin(params.threads)
    training = load_examples(train_images, train_labels)
    _, first = np.unique(training.labels, return_index=True)
    digits = training.images[first]
    side = round(digits.shape[1] ** 0.5)
    index = np.repeat(np.arange(len(digits), dtype=np.int32), VERSIONS)
    random = np.random.default_rng(params.seed)
    drawn = draw_coefficients(len(index), strength, random)
    tensor = keras.ops.convert_to_tensor
    source = Source(*map(tensor, prepare(digits, strength.smoothness)))
    distorted = distort(source, tensor(index), Coefficients(*map(tensor, drawn)))
    figure = distortions_figure(
        digits.reshape(-1, side, side),
        keras.ops.convert_to_numpy(distorted).reshape(-1, VERSIONS, side, side),
    )
    save_figure(figure, picture, DPI)


def main() -> None:
    """Parse the command line and draw."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.studies.illustrate",
        description=__doc__,
        epilog="Run it in the project's root folder, or let "
        "`dvc repro studies/dvc.yaml:illustrate` decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="one of params.yaml")
    load = partial(load_section, "train", TrainParams, recipe=parser.parse_args().recipe)
    with clear_ending("illustrate"), dependencies_unchanged("illustrate", load, STUDIES_FILE):
        illustrate(load())


if __name__ == "__main__":
    main()
