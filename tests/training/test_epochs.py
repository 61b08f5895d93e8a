"""The epoch trainer against Keras's own ``fit``: the same steps, one call of Python a batch."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, synthetic_digits
from numpy.typing import NDArray

from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.examples import Examples
from pipeline.training.distortion import (
    Coefficients,
    Source,
    Strength,
    distort,
    draw_coefficients,
    prepare,
)
from pipeline.training.epochs import Epoch, train_epochs
from pipeline.training.recipe import Recipe, build_optimizer

SEED = 5


def examples(count: int, seed: int) -> Examples:
    images, labels = synthetic_digits(count, seed, side=8)
    return Examples(
        (images.reshape(count, 64) / np.float32(255)).astype(np.float32), labels.astype(np.int32)
    )


TRAINING, VALIDATION = examples(230, 1), examples(70, 2)


def network(**options: Any) -> keras.Model:
    optimizer = keras.optimizers.Adam(0.01, name="adam", **options)
    return build_network(64, [16, 8], "relu", 10, optimizer, seed=3)


def averaging_network() -> keras.Model:
    return network(use_ema=True, ema_momentum=0.8)


MUON = Recipe(
    activation="silu",
    optimizer="muon",
    batch_size=100,
    epochs=4,
    learning_rate=0.01,
    warm_up=0.3,
    weight_decay=0.1,
    ema_momentum=0.8,
    distortion=None,
)


def muon_network() -> keras.Model:
    return build_network(64, [16, 8], MUON.activation, 10, build_optimizer(MUON, 230), seed=3)


def train(
    model: keras.Model, batch_size: int, epochs: int, distortion: Strength | None = None
) -> Iterator[Epoch]:
    return train_epochs(
        model,
        TRAINING,
        VALIDATION,
        batch_size=batch_size,
        epochs=range(1, epochs + 1),
        random=np.random.default_rng(SEED),
        distortion=distortion,
    )


def assert_close(
    found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]], tolerance: float = 1e-4
) -> None:
    for weights, oracle in zip(found, expected, strict=True):
        np.testing.assert_allclose(weights, oracle, rtol=10 * tolerance, atol=tolerance)


def batches(
    batch_size: int, epochs: int, strength: Strength | None
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield what ``train_epochs`` shows: in a new order, and newly distorted, in each epoch."""
    random = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = random.permutation(230).astype(np.int32)
        images = TRAINING.images[order]
        if strength:
            drawn = draw_coefficients(230, strength, random)
            source = prepare(TRAINING.images, strength.smoothness)
            images = keras.ops.convert_to_numpy(
                distort(
                    Source(*map(keras.ops.convert_to_tensor, source)),
                    keras.ops.convert_to_tensor(order),
                    Coefficients(*map(keras.ops.convert_to_tensor, drawn)),
                )
            )
        for start in range(0, 230, batch_size):
            part = slice(start, start + batch_size)
            yield images[part], TRAINING.labels[order[part]]


STRONG = Strength(
    rotation=20.0, scale=0.2, shear=0.2, shift=1.0, elastic=0.5, smoothness=2.0, stroke=0.5
)


@pytest.mark.parametrize(
    ("build", "distortion", "batch_size"),
    [
        pytest.param(network, None, 100, id="plain"),
        pytest.param(averaging_network, STRONG, 100, id="everything"),
        pytest.param(muon_network, STRONG, 100, id="Muon"),
        pytest.param(network, None, 46, id="batches of equal size", marks=pytest.mark.slow),
        pytest.param(network, None, 230, id="one batch", marks=pytest.mark.slow),
        pytest.param(network, STRONG, 46, id="distorted", marks=pytest.mark.slow),
        pytest.param(averaging_network, None, 100, id="averaging", marks=pytest.mark.slow),
    ],
)
def test_epochs_equal_those_of_fit(
    build: Callable[[], keras.Model], distortion: Strength | None, batch_size: int
) -> None:
    epochs = 4
    model, oracle = build(), build()
    found = list(train(model, batch_size, epochs, distortion))
    history = oracle.fit(
        batches(batch_size, epochs, distortion),
        shuffle=False,
        steps_per_epoch=math.ceil(230 / batch_size),
        epochs=epochs,
        validation_data=VALIDATION,
        validation_batch_size=batch_size,
        callbacks=[keras.callbacks.SwapEMAWeights()] if oracle.optimizer.use_ema else [],
        verbose=0,
    ).history
    assert [epoch.epoch for epoch in found] == [1, 2, 3, 4]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        values = [getattr(epoch, name) for epoch in found]
        np.testing.assert_allclose(values, history[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert len(set(history["loss"])) == epochs
    assert_close(model.get_weights(), oracle.get_weights())


def test_training_again_in_the_same_process_ends_with_the_same_bits() -> None:
    """Of as many images as it takes: sums of three terms differed with 10,000, not with 6,000."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (10_000, 784)).astype(np.float32) / np.float32(255)
    examples = Examples(images, random.integers(0, 10, 10_000).astype(np.int32))
    few = Examples(images[:10], examples.labels[:10])

    def trained() -> bytes:
        optimizer = build_optimizer(MUON, 10_000)
        model = build_network(784, [32, 16], "silu", 10, optimizer, seed=3)
        for _ in train_epochs(
            model,
            examples,
            few,
            batch_size=1000,
            epochs=range(2),
            random=np.random.default_rng(SEED),
            distortion=STRONG,
        ):
            pass
        return b"".join(array.tobytes() for array in model.get_weights())

    assert len({trained() for _ in range(4)}) == 1


def test_moving_average_is_what_is_validated_and_kept() -> None:
    model, oracle = averaging_network(), network()
    average: list[NDArray[np.float32]] = []
    # One step an epoch, so that each yield shows the weights after a step.
    for epoch in train(model, 230, 5):
        weights = model.get_weights()
        average = [
            0.8 * old + 0.2 * new for old, new in zip(average or weights, weights, strict=True)
        ]
        oracle.set_weights(average)
        loss, accuracy = oracle.evaluate(*VALIDATION, batch_size=70, verbose=0)
        assert np.isclose(epoch.val_loss, loss, rtol=1e-5)
        assert np.isclose(epoch.val_accuracy, accuracy)
        assert epoch.epoch == 1 or not np.allclose(average[0], weights[0], atol=1e-3)
    assert_close(model.get_weights(), average, tolerance=1e-6)


def test_schedule_of_a_recipe_ends_with_the_training() -> None:
    optimizer = build_optimizer(MUON, 230)
    rates = [
        float(optimizer.learning_rate)
        for _ in train(build_network(64, [16], "relu", 10, optimizer, seed=3), 100, MUON.epochs)
    ]
    assert max(rates) > 0.001
    assert min(rates[:-1]) > 1e-4
    assert abs(rates[-1]) < 1e-9


# What both backends have to pass.
ALL = [
    "training/test_epochs.py",
    "training/test_distortion.py",
    "training/test_recipe.py",
    "training/test_checkpoint.py::test_interrupted_again_and_again_ends_with_the_same_bits",
    "model/test_file.py",
    "model/test_network.py",
]


@pytest.mark.slow
def test_the_other_backend_passes_the_same_tests() -> None:
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("this is the other backend")
    options = ["-q", "-m", "not slow", "-p", "no:xdist", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"{ROOT}/tests/{test}" for test in ALL)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout
