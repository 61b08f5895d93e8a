"""Seconds of training the default recipe, with the checkpoints of params.yaml and without.

Trainings vary by more than checkpoints take, so what these take by themselves is measured as well.
"""

import contextlib
import io
import tempfile
from pathlib import Path

import numpy as np
from epoch import TRAINING, VALIDATION, random_examples
from side_by_side import report, side_by_side

from pipeline.model.backend import keras, pin
from pipeline.runtime.params import load_section
from pipeline.training.checkpoint import Checkpoint, run_key
from pipeline.training.environment import environment_of_checkpoints
from pipeline.training.epochs import Epoch
from pipeline.training.loop import TrainParams, train_network
from pipeline.training.sources import loaded_code

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

    def train(checkpoint: Checkpoint | None) -> tuple[keras.Model, list[Epoch]]:
        with contextlib.redirect_stdout(io.StringIO()):
            model, curves = train_network(training, validation, params, checkpoint)
        return model, [Epoch(*row) for row in curves.itertuples(index=False)]

    # On the disk of the project, where checkpoints lie.
    with tempfile.TemporaryDirectory(dir=PROJECT) as folder:

        def checkpoint_of_this_run() -> Checkpoint:
            settings = {
                "environment_of_checkpoints": environment_of_checkpoints(),
                "code": loaded_code(),
            }
            return Checkpoint(run_key(settings, [*training, *validation]), Path(folder))

        def with_checkpoints() -> None:
            checkpoint = checkpoint_of_this_run()
            train(checkpoint)
            checkpoint.clear()

        def without() -> None:
            train(None)

        model, epochs = train(None)

        def checkpoints_alone() -> None:
            checkpoint = checkpoint_of_this_run()
            for done in range(params.checkpoint_every, len(epochs) + 1, params.checkpoint_every):
                checkpoint.save(model, np.random.default_rng(), epochs[:done])
            checkpoint.clear()

        seconds = side_by_side(
            {
                "with checkpoints": with_checkpoints,
                "without": without,
                "checkpoints alone": checkpoints_alone,
            }
        )
    report(
        "with / without checkpoints",
        seconds["with checkpoints"] / seconds["without"],
        "at most 1.03",
    )
    report(
        "checkpoints alone / training without",
        seconds["checkpoints alone"] / seconds["without"],
        "at most 0.03",
    )


if __name__ == "__main__":
    main()
