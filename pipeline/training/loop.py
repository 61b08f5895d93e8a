"""The training loop: build a network, train it by a recipe, return it with its learning curves."""

import math
import sys
from collections.abc import Iterable
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt
from tqdm import tqdm

from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.runtime.params import Section
from pipeline.training.checkpoint import Checkpoint
from pipeline.training.epochs import Epoch, train_epochs
from pipeline.training.recipe import Recipe, build_optimizer


class TrainParams(Section):
    """Section ``train`` of ``params.yaml``, with the recipe itself in place of its name."""

    hidden_units: list[Annotated[int, Field(gt=0, le=65536)]]
    recipe: Recipe
    seed: Annotated[NonNegativeInt, Field(lt=2**32)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    checkpoint_every: PositiveInt


def train_network(
    training: Examples,
    validation: Examples,
    params: TrainParams,
    checkpoint: Checkpoint | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Return a trained network and its learning curves, showing progress meanwhile.

    Args:
        training: What it learns from.
        validation: What it is measured by after each epoch.
        params: What is trained, and how.
        checkpoint: Where an interrupted training goes on, and what it leaves; None keeps none.

    Raises:
        PipelineError: The data do not fit the recipe, or the loss is no longer finite.
    """
    recipe = params.recipe
    if recipe.batch_size > len(training.labels):
        raise PipelineError(
            f"the recipe's batch_size: {recipe.batch_size} is larger than "
            f"the {len(training.labels)} training images"
        )
    model = build_network(
        inputs=training.images.shape[1],
        hidden_units=params.hidden_units,
        activation=recipe.activation,
        classes=int(max(part.labels.max() for part in (training, validation))) + 1,
        optimizer=build_optimizer(recipe, len(training.labels)),
        seed=params.seed,
    )
    random = np.random.default_rng(params.seed)
    done = checkpoint.restore(model, random) if checkpoint else []
    if done:
        print(f"Going on after epoch {len(done)} of {recipe.epochs}", flush=True)
    epochs = train_epochs(
        model,
        training,
        validation,
        batch_size=recipe.batch_size,
        epochs=range(len(done) + 1, recipe.epochs + 1),
        random=random,
        distortion=recipe.distortion,
    )
    for epoch in check_finite(show_progress(epochs, len(done), recipe.epochs)):
        done.append(epoch)
        if checkpoint and epoch.epoch % params.checkpoint_every == 0:
            checkpoint.save(model, random, done)
    return model, pd.DataFrame(done)


def show_progress(epochs: Iterable[Epoch], done: int, total: int) -> Iterable[Epoch]:
    """Yield the epochs after ``done``, showing a bar on a terminal, else a line now and then."""
    on_terminal = sys.stderr.isatty()
    # Fits into 80 columns, which tqdm's own form with all of this does not.
    bar_format = "{n_fmt}/{total_fmt} {bar:8} {remaining} left{postfix}"
    with tqdm(total=total, initial=done, disable=not on_terminal, bar_format=bar_format) as bar:
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
                f"the validation loss {epoch.val_loss}. A smaller learning_rate may help."
            )
        yield epoch
