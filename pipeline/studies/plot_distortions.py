"""Draw images as the training of a recipe sees them, distorted, in distortions.png."""

from pathlib import Path

import numpy as np

from pipeline.model.backend import keras, pin
from pipeline.report.figures import save_figure
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import load_examples
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.studies.results.figures import distortions_figure
from pipeline.training.distortion import Coefficients, Source, distort, draw_coefficients, prepare
from pipeline.training.loop import TrainParams

VERSIONS = 11  # of every image
CLASSES = 10  # that are drawn, at most
DPI = 150


def plot_distortions(
    params: TrainParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    picture: Path = Path("distortions.png"),
) -> None:
    """Write a picture of an image of each of the first classes, and of distorted versions of it.

    Where the recipe distorts nothing, these are the image itself.

    Raises:
        PipelineError: The images are damaged.
        OSError: A file cannot be read or written.
    """
    pin(params.threads)
    training = load_examples(train_images, train_labels)
    _, first = np.unique(training.labels, return_index=True)
    images = training.images[first[:CLASSES]]
    side = round(images.shape[1] ** 0.5)
    index = np.repeat(np.arange(len(images), dtype=np.int32), VERSIONS)
    seen = images[index]
    if strength := params.recipe.distortion:
        drawn = draw_coefficients(len(index), strength, np.random.default_rng(params.seed))
        tensor = keras.ops.convert_to_tensor
        source = Source(*map(tensor, prepare(images, strength.smoothness)))
        distorted = distort(source, tensor(index), Coefficients(*map(tensor, drawn)))
        seen = keras.ops.convert_to_numpy(distorted)
    figure = distortions_figure(
        images.reshape(-1, side, side), seen.reshape(-1, VERSIONS, side, side)
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
