"""The network: a multilayer perceptron, with its loss."""

from collections.abc import Sequence

import numpy as np

from pipeline.model.backend import keras

OUTPUT = "probabilities"  # name of the last layer


def build_network(
    inputs: int,
    hidden_units: Sequence[int],
    activation: str,
    classes: int,
    optimizer: keras.optimizers.Optimizer,
    *,
    seed: int,
) -> keras.Model:
    """Return a compiled multilayer perceptron, which ends in a softmax over the classes.

    Args:
        inputs: Pixels of an image.
        hidden_units: Units of each hidden layer, from the input on.
        activation: Of the hidden layers, by its name in Keras.
        classes: Units of the output layer.
        optimizer: For its training.
        seed: Of the first weights, drawn after Glorot and Bengio (2010).
    """
    # A seed for each layer: with one for all, layers of the same shape would begin alike.
    seeds = map(int, np.random.SeedSequence(seed).generate_state(len(hidden_units) + 1))

    def dense(units: int, activation: str, name: str) -> keras.layers.Layer:
        weights = keras.initializers.GlorotUniform(next(seeds))
        return keras.layers.Dense(units, activation, kernel_initializer=weights, name=name)

    model = keras.Sequential(
        [
            keras.Input((inputs,), name="pixels"),
            *(dense(units, activation, f"hidden_{n}") for n, units in enumerate(hidden_units, 1)),
            dense(classes, "softmax", OUTPUT),
        ],
        name="digits",
    )
    model.compile(
        optimizer=optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
