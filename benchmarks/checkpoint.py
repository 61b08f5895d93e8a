"""Seconds of training the default recipe, with the checkpoints of params.yaml and without."""

import contextlib
import io
import tempfile
from pathlib import Path

from epoch import TRAINING, VALIDATION, random_examples
from side_by_side import report, side_by_side

from pipeline.backend import keras, pin
from pipeline.checkpoint import Checkpoint, run_key
from pipeline.environment import surroundings
from pipeline.sources import loaded_code
from pipeline.stage import load_section
from pipeline.training import TrainParams, train_network

PROJECT = Path(__file__).parents[1]


def main() -> None:
    """Measure and print."""
    params = load_section("train", TrainParams, PROJECT / "params.yaml")
    device = pin(params.threads)
    backend = f"{keras.config.backend()} on {device.name}, {params.threads} threads"
    print(
        f"Seconds of {params.recipe.epochs} epochs, {TRAINING} + {VALIDATION} images, {backend}, "
        f"a checkpoint every {params.checkpoint_every} epochs"
    )
    training, validation = random_examples(TRAINING), random_examples(VALIDATION)

    def train(checkpoint: Checkpoint | None) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            train_network(training, validation, params, checkpoint)

    # On the disk of the project, where checkpoints lie.
    with tempfile.TemporaryDirectory(dir=PROJECT) as folder:

        def train_with_checkpoints() -> None:
            settings = {"surroundings": surroundings(), "code": loaded_code()}
            key = run_key(settings, [*training, *validation])
            checkpoint = Checkpoint(key, Path(folder))
            train(checkpoint)
            checkpoint.clear()

        seconds = side_by_side(
            {"with checkpoints": train_with_checkpoints, "without": lambda: train(None)}
        )
    report(
        "with / without checkpoints",
        seconds["with checkpoints"] / seconds["without"],
        "at most 1.03",
    )


if __name__ == "__main__":
    main()
