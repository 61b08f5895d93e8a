"""Train a recipe with a seed, and keep what the network says: one run of the seed study.

It writes answers/RECIPE-SEED/: the probabilities of the validation and of the test images, and what
they were made with. What they are worth is said by `assess`, without another training.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.model.backend import keras, pin
from pipeline.runtime.atomic import replacing, write_text
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import load_array, load_examples
from pipeline.runtime.params import load_section
from pipeline.training.environment import environment
from pipeline.training.loop import TrainParams, train_network

PIPELINE_PARAMS = Path("../params.yaml")
BATCH_SIZE = 1000  # of predictions: images at a time; it decides the speed and the last bits


def train(
    params: TrainParams,
    recipe: str,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_images: Path = Path("data/processed/test_images.npy"),
    answers: Path = Path("answers"),
) -> None:
    """Write the answers of a run, ``recipe`` being the name of the recipe in ``params``.

    They are float32, shape (n, classes): ``validation.npy`` and ``test.npy``.

    Raises:
        PipelineError: The data do not fit the parameters, or the loss is no longer finite.
    """
    device = pin(params.threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    model, curves = train_network(training, validation, params)
    held_out = len(validation.labels)
    facts = {
        "recipe": recipe,
        "seed": params.seed,
        "parameters": model.count_params(),
        # Keras's own is rounded to 32 bits.
        "validation_accuracy": round(curves["val_accuracy"].iloc[-1] * held_out) / held_out,
        "environment": environment(keras.config.backend(), device.name, device.settings),
    }
    folder = answers / f"{recipe}-{params.seed}"
    images = {"validation": validation.images, "test": load_array(test_images, np.float32)}
    for name, some in images.items():
        with replacing(folder / f"{name}.npy") as partial:
            np.save(partial, model.predict(some, batch_size=BATCH_SIZE, verbose=0))
    write_text(folder / "training.json", json.dumps(facts, indent=2) + "\n")


def main() -> None:
    """Parse the command line and train."""
    parser = stage_parser("train", "study")
    parser.add_argument("recipe", metavar="RECIPE", help="one of ../params.yaml")
    parser.add_argument("seed", metavar="SEED", type=int, help="in place of train.seed")
    given = parser.parse_args()

    def load() -> tuple[TrainParams, str]:
        changes = {"recipe": given.recipe, "seed": given.seed}
        return load_section("train", TrainParams, PIPELINE_PARAMS, **changes), given.recipe

    run_checked("train", train, load)


if __name__ == "__main__":
    main()
