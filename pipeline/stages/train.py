"""Train the network, on a GPU where the backend sees one, else on the CPU.

With REQUIRE_GPU=1 in the environment it fails at once where there is no GPU.
KERAS_BACKEND=jax trains with JAX instead of TensorFlow.
"""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from tqdm import tqdm

from pipeline.backend import keras, pin
from pipeline.environment import environment
from pipeline.epoch_trainer import Epoch, train_epochs
from pipeline.examples import load_examples
from pipeline.model_file import save_model
from pipeline.network import build_network
from pipeline.stage import PipelineError, Section, run_stage


class TrainParams(Section):
    """Section ``train`` of ``params.yaml``."""

    hidden_units: list[Annotated[int, Field(gt=0, le=65536)]]
    learning_rate: PositiveFloat
    batch_size: PositiveInt
    epochs: PositiveInt
    seed: Annotated[NonNegativeInt, Field(lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=1024)]


def train(
    params: TrainParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    model_file: Path = Path("data/model/model.keras"),
    learning_curves: Path = Path("reports/learning_curves.csv"),
    environment_file: Path = Path("reports/environment.json"),
) -> None:
    """Write the trained model, its learning curves (a row an epoch) and the environment.

    Raises:
        PipelineError: A GPU is required and missing, the data do not fit the parameters, or
            the loss is no longer finite.
    """
    device = pin(params.threads)
    print(f"Training on {device.name} with {keras.config.backend()}", flush=True)
    facts = environment(keras.config.backend(), device.name, device.settings)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    if params.batch_size > len(training.labels):
        raise PipelineError(
            f"train.batch_size: {params.batch_size} is larger than "
            f"the {len(training.labels)} training images"
        )
    model = build_network(
        inputs=training.images.shape[1],
        hidden_units=params.hidden_units,
        # The preprocess stage made sure that every class has training images.
        classes=int(training.labels.max()) + 1,
        learning_rate=params.learning_rate,
        seed=params.seed,
    )
    epochs = train_epochs(
        model,
        training,
        validation,
        batch_size=params.batch_size,
        epochs=params.epochs,
        seed=params.seed,
    )
    curves = pd.DataFrame(check_finite(show_progress(epochs, params.epochs)))
    save_model(model, model_file)
    learning_curves.parent.mkdir(parents=True, exist_ok=True)
    curves.to_csv(learning_curves, index=False, lineterminator="\n")
    environment_file.parent.mkdir(parents=True, exist_ok=True)
    environment_file.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8", newline="\n")


def show_progress(epochs: Iterable[Epoch], total: int) -> Iterable[Epoch]:
    """Yield the epochs, showing a bar on a terminal and a line now and then elsewhere."""
    on_terminal = sys.stderr.isatty()
    # Fits into 80 columns, which tqdm's own form with all of this does not.
    bar_format = "{n_fmt}/{total_fmt} {bar:8} {remaining} left{postfix}"
    with tqdm(total=total, disable=not on_terminal, bar_format=bar_format) as bar:
        for epoch in epochs:
            figures = (
                f"loss {epoch.loss:.4f}, accuracy {epoch.accuracy:.4f}, "
                f"val_accuracy {epoch.val_accuracy:.4f}"
            )
            bar.set_postfix_str(figures, refresh=False)
            bar.update()
            is_tenth = epoch.epoch % math.ceil(total / 10) == 0
            if not on_terminal and (is_tenth or epoch.epoch == total):
                print(f"Epoch {epoch.epoch} of {total}: {figures}", flush=True)
            yield epoch


def check_finite(epochs: Iterable[Epoch]) -> Iterable[Epoch]:
    """Yield the epochs as long as their losses are numbers.

    Raises:
        PipelineError: At the first epoch with a loss that is infinite or not a number.
    """
    for epoch in epochs:
        if not (math.isfinite(epoch.loss) and math.isfinite(epoch.val_loss)):
            raise PipelineError(
                f"training has diverged: in epoch {epoch.epoch} the loss is {epoch.loss}, "
                f"the validation loss {epoch.val_loss}. A smaller train.learning_rate may help."
            )
        yield epoch


if __name__ == "__main__":
    run_stage(train, TrainParams)
