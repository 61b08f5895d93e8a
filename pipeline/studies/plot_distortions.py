"""Draw digits as the training of a recipe sees them, distorted, in distortions.png."""

from pathlib import Path

import numpy as np

from pipeline.model.backend import keras, pin
from pipeline.report.figures import save_figure
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_examples
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.studies.results.figures import distortions_figure
from pipeline.training.distortion import Coefficients, Source, distort, draw_coefficients, prepare
from pipeline.training.loop import TrainParams

VERSIONS = 11  # of every digit
DPI = 150


def plot_distortions(
    params: TrainParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    picture: Path = Path("distortions.png"),
) -> None:
    """Write a picture of the first digit of each class, and of distorted versions of it.

    Raises:
        PipelineError: The recipe has no distortion, or the images are damaged.
        OSError: A file cannot be read or written.
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
    parser = stage_parser("plot_distortions", "study")
    parser.add_argument("recipe", metavar="RECIPE", help="one of ../params.yaml")
    recipe = parser.parse_args().recipe
    run_checked(
        "plot_distortions",
        plot_distortions,
        lambda: (load_section("train", TrainParams, PIPELINE_PARAMS, recipe=recipe),),
    )


if __name__ == "__main__":
    main()
