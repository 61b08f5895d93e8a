"""Seconds of training until a validation accuracy is reached: the champion, and Keras's own way.

Keras's way is what its guides show: `fit`, with Keras's layers that distort the images in front of
the network, Adam, and a learning rate that falls as a cosine. Network, batch size and number of
epochs are the champion's. Keras's way has no Muon, no weight decay, no moving average and no
strokes: the ratio is that of both, recipe and trainer.
"""

import sys
import time
from pathlib import Path

import numpy as np
from distortion import SIDE, keras_layers
from side_by_side import report

from pipeline.model.backend import keras, pin
from pipeline.model.network import build_network
from pipeline.runtime.examples import Examples, load_examples
from pipeline.runtime.params import load_section
from pipeline.training.epochs import train_epochs
from pipeline.training.loop import TrainParams
from pipeline.training.recipe import build_optimizer

PROJECT = Path(__file__).parents[1]
FOLDER = PROJECT / "data/processed"
TARGETS = (0.99, 0.993)  # of the validation accuracy
PATIENCE = 12  # times as long as the champion: then Keras's way is given up
RATE = 0.005  # of Adam, at its peak: what the champion had when it was trained by Adam
WARM_UP = 0.1  # share of the steps


class Clock:
    """Notes when each target is first reached, from its making on.

    Attributes:
        reached: Seconds by target.
    """

    def __init__(self, name: str, limit: float) -> None:
        """Begin to count; ``limit`` says after how many seconds to give up."""
        self.name, self.limit = name, limit
        self.reached: dict[float, float] = {}
        self.start = time.perf_counter()

    def is_over(self, epoch: int, accuracy: float) -> bool:
        """Return whether this epoch's validation accuracy ends the training."""
        elapsed = time.perf_counter() - self.start
        for target in TARGETS:
            if accuracy >= target and target not in self.reached:
                self.reached[target] = elapsed
                print(f"  {self.name}: {target:.1%} in epoch {epoch}, {elapsed:.1f} s", flush=True)
        if elapsed > self.limit:
            print(f"  {self.name}: given up in epoch {epoch}, {accuracy:.2%}, {elapsed:.0f} s")
        return len(self.reached) == len(TARGETS) or elapsed > self.limit


def train_champion(
    params: TrainParams, training: Examples, validation: Examples, clock: Clock
) -> None:
    """Train by the recipe until the clock ends it."""
    recipe = params.recipe
    model = build_network(
        SIDE**2,
        params.hidden_units,
        recipe.activation,
        int(training.labels.max()) + 1,
        build_optimizer(recipe, len(training.labels)),
        seed=params.seed,
    )
    for epoch in train_epochs(
        model,
        training,
        validation,
        batch_size=recipe.batch_size,
        epochs=range(1, recipe.epochs + 1),
        random=np.random.default_rng(params.seed),
        distortion=recipe.distortion,
    ):
        if clock.is_over(epoch.epoch, epoch.val_accuracy):
            break


def train_by_fit(
    params: TrainParams, training: Examples, validation: Examples, clock: Clock
) -> None:
    """Train with what Keras has until the clock ends it."""
    recipe = params.recipe
    if recipe.distortion is None:
        sys.exit("time_to_accuracy.py compares distortions, and the champion here has none")
    layers = keras.layers
    model = keras.Sequential(
        [
            keras_layers(recipe.distortion),
            layers.Flatten(),
            *(layers.Dense(units, recipe.activation) for units in params.hidden_units),
            layers.Dense(int(training.labels.max()) + 1, "softmax"),
        ]
    )
    steps = recipe.epochs * -(-len(training.labels) // recipe.batch_size)
    rising = round(WARM_UP * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - rising, warmup_target=RATE, warmup_steps=rising
    )
    model.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )

    def end(epoch: int, logs: dict[str, float]) -> None:
        model.stop_training = clock.is_over(epoch + 1, logs["val_accuracy"])

    model.fit(
        training.images.reshape(-1, SIDE, SIDE, 1),
        training.labels,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(validation.images.reshape(-1, SIDE, SIDE, 1), validation.labels),
        validation_batch_size=recipe.batch_size,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end)],
    )


def main() -> None:
    """Measure and print."""
    params = load_section("train", TrainParams, PROJECT / "params.yaml", recipe="champion")
    device = pin(params.threads)
    print(f"Seconds to a validation accuracy, {keras.config.backend()} on {device.name}")
    training, validation = (
        load_examples(FOLDER / f"{part}_images.npy", FOLDER / f"{part}_labels.npy")
        for part in ("train", "validation")
    )
    ours = Clock("champion", np.inf)
    train_champion(params, training, validation, ours)
    if len(ours.reached) < len(TARGETS):
        sys.exit("The champion has not reached all targets: there is nothing to compare")
    theirs = Clock("Keras's way", PATIENCE * max(ours.reached.values()))
    train_by_fit(params, training, validation, theirs)
    for target, seconds in ours.reached.items():
        ratio = theirs.reached.get(target, theirs.limit) / seconds
        more = "" if target in theirs.reached else ", not reached: more than"
        report(
            f"seconds by Keras / by the champion to {target:.1%}{more}",
            ratio,
            "at least 10" if target == TARGETS[0] else "none",
        )


if __name__ == "__main__":
    main()
