"""Seconds per epoch: this project's trainer, Keras's own fit, and the bare matrix products."""

import itertools
import time
from itertools import pairwise
from typing import Any

import numpy as np
from side_by_side import report, side_by_side

from pipeline.model.backend import keras, pin
from pipeline.model.network import build_network
from pipeline.runtime.examples import Examples
from pipeline.training.epochs import train_epochs

TRAINING, VALIDATION, BATCH, LAYERS = 55_000, 5_000, 1000, (784, 128, 64, 16, 10)
EPOCHS = 4  # a round; the first of them is left out, since fit sets up its iterators in it
STEPS = TRAINING // BATCH
IN_ONE = f"keras fit, steps_per_execution={STEPS}"


def random_examples(count: int) -> Examples:
    """Return random images, with the shapes and types of MNIST's."""
    random = np.random.default_rng(0)
    labels = random.integers(0, LAYERS[-1], count).astype(np.int32)
    pixels = random.integers(0, 256, (count, LAYERS[0])).astype(np.float32) / np.float32(255)
    return Examples(pixels, labels)


def network() -> keras.Model:
    """Return the network, with the optimiser of the original recipe."""
    optimizer = keras.optimizers.Adam(0.001)
    return build_network(LAYERS[0], LAYERS[1:-1], "relu", LAYERS[-1], optimizer, seed=0)


def matrix_products(weights: list[Any], activations: list[Any]) -> None:
    """Compute what an epoch multiplies, with NumPy: forward, weights' and inputs' gradients."""
    for step in range((TRAINING + VALIDATION) // BATCH):
        for inputs, kernel in zip(activations, weights, strict=False):
            inputs @ kernel
        if step < TRAINING // BATCH:
            for layer, kernel in enumerate(weights):
                activations[layer].T @ activations[layer + 1]
                if layer:
                    activations[layer + 1] @ kernel.T


def main() -> None:
    """Measure and print."""
    device = pin(threads=2)
    backend = f"{keras.config.backend()} on {device.name}, 2 threads"
    print(f"Seconds per epoch, {TRAINING} + {VALIDATION} images, {backend}")
    training, validation = random_examples(TRAINING), random_examples(VALIDATION)
    epochs = train_epochs(
        network(),
        training,
        validation,
        batch_size=BATCH,
        epochs=itertools.count(1),
        random=np.random.default_rng(0),
    )
    # Keras's own remedy for short steps: several in one call of a compiled function. All of an
    # epoch in one is the most that it can do.
    fitted, fitted_in_one = network(), network()
    fitted_in_one.compile(
        fitted_in_one.optimizer,
        loss=fitted_in_one.loss,
        metrics=["accuracy"],
        steps_per_execution=STEPS,
    )

    def trainer() -> float:
        start = time.perf_counter()
        for _ in range(EPOCHS):
            next(epochs)
        return (time.perf_counter() - start) / EPOCHS

    def fit(model: keras.Model) -> float:
        starts: list[float] = []
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: starts.append(time.perf_counter()),
            on_epoch_end=lambda *_: ends.append(time.perf_counter()),
        )
        model.fit(
            *training,
            batch_size=BATCH,
            epochs=EPOCHS,
            validation_data=validation,
            validation_batch_size=BATCH,
            verbose=0,
            callbacks=[clock],
        )
        return (ends[-1] - starts[1]) / (EPOCHS - 1)

    random = np.random.default_rng(0)
    weights = [random.random(shape, np.float32) for shape in pairwise(LAYERS)]
    activations = [random.random((BATCH, units), np.float32) for units in LAYERS]
    medians = side_by_side(
        {
            "epoch trainer": trainer,
            "keras fit": lambda: fit(fitted),
            IN_ONE: lambda: fit(fitted_in_one),
            "matrix products alone, NumPy": lambda: matrix_products(weights, activations),
        }
    )
    report("fit / trainer", medians["keras fit"] / medians["epoch trainer"], "at least 2.3")
    report(f"{IN_ONE} / trainer", medians[IN_ONE] / medians["epoch trainer"], "none")
    report(
        "trainer / matrix products",
        medians["epoch trainer"] / medians["matrix products alone, NumPy"],
        "at most 1.1",
    )


if __name__ == "__main__":
    main()
