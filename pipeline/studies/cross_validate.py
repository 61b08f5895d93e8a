"""Cross-validate a recipe: each training image is predicted by a network not trained with it.

The images of the training file are split into folds. A network for each fold is trained with all
others, then predicts the images of its fold and the test images. The probabilities are kept in
folds/, for `find_label_doubts`.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.model_selection import StratifiedKFold

from pipeline.data.raw_examples import PreprocessParams, read_raw
from pipeline.model.backend import pin
from pipeline.runtime.atomic import replacing
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import Examples, load_array
from pipeline.runtime.params import PIPELINE_PARAMS, Section, load_section
from pipeline.training.loop import TrainParams, train_network

BATCH_SIZE = 1000  # images that are predicted at a time; it decides the speed and the last bits


class CrossValidateParams(Section):
    """Section ``cross_validate`` of ``studies/params.yaml``."""

    folds: Annotated[int, Field(ge=2, le=100)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


def cross_validate(
    params: CrossValidateParams,
    training: TrainParams,
    preprocessing: PreprocessParams,
    *,
    raw_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    test_images: Path = Path("data/processed/test_images.npy"),
    held_out: Path = Path("folds/held_out.npy"),
    tested: Path = Path("folds/test.npy"),
) -> None:
    """Write the probabilities that the networks of all folds give, float32.

    ``held_out.npy`` has those of each training image, by the network that was not trained with it,
    shape (n, classes); ``test.npy`` those of the test images by each network, shape
    (folds, images, classes).

    Raises:
        PipelineError: The data do not fit the parameters, or the loss is no longer finite.
        OSError: A file cannot be read or written.
    """
    pin(training.threads)
    examples = read_raw(raw_images, raw_labels, preprocessing)
    answers = predictions_of_folds(examples, load_array(test_images, np.float32), params, training)
    for path, array in zip((held_out, tested), answers, strict=True):
        with replacing(path) as partial:
            np.save(partial, array)


def predictions_of_folds(
    examples: Examples,
    test_images: NDArray[np.float32],
    params: CrossValidateParams,
    training: TrainParams,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the arrays that ``cross_validate`` writes: of held-out and of test images."""
    folds = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
    classes = int(examples.labels.max()) + 1
    held_out, tested = np.empty((len(examples.labels), classes), np.float32), []
    for number, (kept, left) in enumerate(folds.split(examples.images, examples.labels), 1):
        print(f"Fold {number} of {params.folds}", flush=True)
        mine, other = (Examples(*(part[rows] for part in examples)) for rows in (kept, left))
        model, _ = train_network(mine, other, training)
        held_out[left] = model.predict(other.images, batch_size=BATCH_SIZE, verbose=0)
        tested.append(model.predict(test_images, batch_size=BATCH_SIZE, verbose=0))
    return held_out, np.array(tested)


def main() -> None:
    """Parse the command line and train."""
    parser = stage_parser("cross_validate", "study")
    parser.add_argument("recipe", metavar="RECIPE", help="one of ../params.yaml")
    recipe = parser.parse_args().recipe
    run_checked(
        "cross_validate",
        cross_validate,
        lambda: (
            load_section("cross_validate", CrossValidateParams),
            load_section("train", TrainParams, PIPELINE_PARAMS, recipe=recipe),
            load_section("preprocess", PreprocessParams, PIPELINE_PARAMS),
        ),
    )


if __name__ == "__main__":
    main()
