"""Train a recipe with one seed, and keep the network's answers: one run of the study.

It writes answers/RECIPE-SEED/: the network, model.keras, the probabilities that it gives for the
validation and the test images, and training.json, which says how they were made. `assess` measures
the answers and `export` takes the network, so that a change of those two trains nothing again.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.model.backend import keras, pin
from pipeline.model.file import save_model
from pipeline.runtime.atomic import replacing, write_text
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import load_array, load_examples
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.training.environment import environment
from pipeline.training.loop import TrainParams, train_network

BATCH_SIZE = 1000  # images that are predicted at a time; it decides the speed and the last bits


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
    """Write a run: ``model.keras``, ``validation.npy``, ``test.npy`` and ``training.json``.

    The arrays are the network's probabilities, float32, shape (n, classes). ``recipe`` is the name
    of the recipe that ``params`` holds; with the seed, it names the run's folder in ``answers``.

    Raises:
        PipelineError: The data do not fit the parameters, or the loss is no longer finite.
        OSError: A file cannot be read or written.
    """
    device = pin(params.threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    model, curves = train_network(training, validation, params)
    validated = len(validation.labels)
    facts = {
        "recipe": recipe,
        "seed": params.seed,
        "parameters": model.count_params(),
        # Keras rounds its own to 32 bits.
        "validation_accuracy": round(curves["val_accuracy"].iloc[-1] * validated) / validated,
        "environment": environment(keras.config.backend(), device.name, device.settings),
    }
    folder = answers / f"{recipe}-{params.seed}"
    images = {"validation": validation.images, "test": load_array(test_images, np.float32)}
    for part, shown in images.items():
        with replacing(folder / f"{part}.npy") as partial:
            np.save(partial, model.predict(shown, batch_size=BATCH_SIZE, verbose=0))
    save_model(model, folder / "model.keras")
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
