"""Seconds per epoch of the champion recipe, and of distorting its images with Keras's layers."""

import itertools
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from epoch import LAYERS, TRAINING, VALIDATION, random_examples
from side_by_side import report, side_by_side

from pipeline.model.backend import keras, pin
from pipeline.model.network import build_network
from pipeline.runtime.params import load_section
from pipeline.training.distortion import Strength
from pipeline.training.epochs import train_epochs
from pipeline.training.loop import TrainParams
from pipeline.training.recipe import build_optimizer

PROJECT = Path(__file__).parents[1]
SIDE = 28
EPOCH, LAYERS_ALONE = "epoch of the champion, distortion included", "Keras's layers alone"
SAMPLE = 10  # batches that the layers distort in a round; an epoch has 55


def keras_layers(strength: Strength) -> Any:
    """Return Keras's own layers that come nearest to a distortion."""
    layers = keras.layers
    reach = 3**0.5  # of a uniform distribution, in its standard deviations
    scale, shift = reach * strength.scale, reach * strength.shift / SIDE
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.RandomRotation(reach * strength.rotation / 360, fill_mode="constant"),
            layers.RandomZoom(scale, scale, fill_mode="constant"),
            layers.RandomShear(reach * strength.shear, fill_mode="constant"),
            layers.RandomTranslation(shift, shift, fill_mode="constant"),
            layers.RandomElasticTransform(fill_mode="constant", value_range=(0, 1)),
        ]
    )


def main() -> None:
    """Measure and print."""
    params = load_section("train", TrainParams, PROJECT / "params.yaml", recipe="champion")
    strength = params.recipe.distortion
    if strength is None:
        sys.exit("distortion.py measures the champion, whose recipe here distorts nothing")
    device = pin(params.threads)
    backend = f"{keras.config.backend()} on {device.name}, {params.threads} threads"
    print(f"Seconds per epoch, {TRAINING} + {VALIDATION} images, {backend}")
    training, validation = random_examples(TRAINING), random_examples(VALIDATION)
    optimizer = build_optimizer(params.recipe, TRAINING)
    epochs = train_epochs(
        build_network(
            SIDE**2,
            params.hidden_units,
            params.recipe.activation,
            LAYERS[-1],
            optimizer,
            seed=params.seed,
        ),
        training,
        validation,
        batch_size=params.recipe.batch_size,
        epochs=itertools.count(1),
        random=np.random.default_rng(params.seed),
        distortion=strength,
    )
    layers = keras_layers(strength)
    distort = compiled(lambda images: layers(images, training=True))
    batches = keras.ops.convert_to_tensor(
        training.images[: SAMPLE * params.recipe.batch_size].reshape(SAMPLE, -1, SIDE, SIDE, 1)
    )

    def distort_by_layers() -> float:
        start = time.perf_counter()
        for batch in batches:
            keras.ops.convert_to_numpy(distort(batch))
        seconds = time.perf_counter() - start
        return seconds / SAMPLE * TRAINING / params.recipe.batch_size

    def epoch() -> None:
        next(epochs)

    medians = side_by_side(
        {
            EPOCH: epoch,
            LAYERS_ALONE: distort_by_layers,
        }
    )
    seconds = medians[EPOCH]
    report("layers alone / whole epoch", medians[LAYERS_ALONE] / seconds, "more than 1")
    report("epoch, in seconds", seconds, "at most 1.0")
    report("all epochs of the champion, in seconds", params.recipe.epochs * seconds, "at most 120")


def compiled(function: Any) -> Any:
    """Return a function compiled by the backend, where that can compile Keras's random layers."""
    if keras.config.backend() == "jax":
        return function
    import tensorflow as tf

    return tf.function(function)


if __name__ == "__main__":
    main()
