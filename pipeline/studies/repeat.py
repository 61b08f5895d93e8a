"""Train a recipe with a seed, and test it: one run of the seed study.

It writes studies/runs/RECIPE-SEED.json, with the accuracy on validation and test images and what
the network can decide alone, and studies/runs/RECIPE-SEED.csv, with the test images that it gets
wrong.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.atomic import write_text
from pipeline.backend import keras, pin
from pipeline.command import clear_ending, dependencies_unchanged
from pipeline.environment import environment
from pipeline.examples import Examples, load_examples
from pipeline.stage import load_section
from pipeline.training import TrainParams, train_network

STUDIES_FILE = Path("studies/dvc.yaml")


def repeat(
    params: TrainParams,
    evaluation: EvaluateParams,
    recipe: str,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    runs: Path = Path("studies/runs"),
) -> None:
    """Write what became of a run, ``recipe`` being the name of the recipe in ``params``.

    The network is assessed as ``evaluate`` assesses it.

    Raises:
        PipelineError: The data do not fit the parameters, or the loss is no longer finite.
    """
    device = pin(params.threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    test = load_examples(test_images, test_labels)
    model, curves = train_network(training, validation, params)

    def answers(examples: Examples) -> Answers:
        size = evaluation.batch_size
        return Answers(model.predict(examples.images, batch_size=size, verbose=0), examples.labels)

    tested = answers(test)
    points = operating_points(answers(validation), evaluation)
    predicted = tested.probabilities.argmax(axis=1)
    held_out = len(validation.labels)
    (wrong,) = np.nonzero(~tested.correct)
    columns = {"image": wrong, "actual": test.labels[wrong], "predicted": predicted[wrong]}
    facts = {
        "recipe": recipe,
        "seed": params.seed,
        "parameters": model.count_params(),
        # Keras's own is rounded to 32 bits.
        "validation_accuracy": round(curves["val_accuracy"].iloc[-1] * held_out) / held_out,
        "test_accuracy": (len(predicted) - len(wrong)) / len(predicted),
        "test_images": len(predicted),
        "operating_points": points,
        **assessment(tested, points),
        "environment": environment(keras.config.backend(), device.name, device.settings),
    }
    name = f"{recipe}-{params.seed}"
    table = pd.DataFrame(columns).to_csv(index=False, lineterminator="\n")
    write_text(runs / f"{name}.csv", table)
    write_text(runs / f"{name}.json", json.dumps(facts, indent=2) + "\n")
    print(f"{facts['test_accuracy']:.2%} of {len(predicted)} test images classified correctly")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.studies.repeat",
        description=__doc__,
        epilog="Run it in the project's root folder, or let `dvc repro studies/dvc.yaml:repeat` "
        "decide which runs are out of date.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="one of params.yaml")
    parser.add_argument("seed", metavar="SEED", type=int, help="in place of train.seed")
    arguments = parser.parse_args()

    def load() -> tuple[TrainParams, EvaluateParams]:
        changes = {"recipe": arguments.recipe, "seed": arguments.seed}
        return (
            load_section("train", TrainParams, **changes),
            load_section("evaluate", EvaluateParams),
        )

    with clear_ending("repeat"), dependencies_unchanged("repeat", load, STUDIES_FILE):
        repeat(*load(), arguments.recipe)


if __name__ == "__main__":
    main()
