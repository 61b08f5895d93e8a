"""Held against Keras's own ``fit``: the same steps, one call of Python a batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, synthetic_digits

from pipeline.backend import keras
from pipeline.epoch_trainer import Epoch, train_epochs
from pipeline.examples import Examples
from pipeline.network import build_network

SEED = 5


def examples(count: int, seed: int) -> Examples:
    images, labels = synthetic_digits(count, seed, side=8)
    return Examples(
        (images.reshape(count, 64) / np.float32(255)).astype(np.float32), labels.astype(np.int32)
    )


TRAINING, VALIDATION = examples(230, 1), examples(70, 2)


def network() -> keras.Model:
    return build_network(64, [16, 8], 10, 0.01, seed=3)


def run(model: keras.Model, batch_size: int, epochs: int, seed: int = SEED) -> list[Epoch]:
    return list(
        train_epochs(model, TRAINING, VALIDATION, batch_size=batch_size, epochs=epochs, seed=seed)
    )


@pytest.mark.parametrize("batch_size", [46, 100, 230])
def test_epochs_equal_those_of_fit(batch_size: int) -> None:
    epochs = 3
    model, oracle = network(), network()
    found = run(model, batch_size, epochs)
    random = np.random.default_rng(SEED)
    for epoch in found:
        order = random.permutation(230)
        history = oracle.fit(
            TRAINING.images[order],
            TRAINING.labels[order],
            batch_size=batch_size,
            shuffle=False,
            validation_data=VALIDATION,
            validation_batch_size=batch_size,
            verbose=0,
        ).history
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert np.isclose(getattr(epoch, name), history[name][0], rtol=1e-4, atol=1e-5), name
    assert [epoch.epoch for epoch in found] == [1, 2, 3]
    for weights, expected in zip(model.get_weights(), oracle.get_weights(), strict=True):
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-4)


def test_same_seed_gives_the_same_bits() -> None:
    first, second = network(), network()
    assert run(first, 50, 4) == run(second, 50, 4)
    for weights, same in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


def test_seed_decides_the_order_of_the_images() -> None:
    assert run(network(), 50, 2) != run(network(), 50, 2, seed=SEED + 1)


def test_training_learns() -> None:
    assert run(network(), 20, 60)[-1].val_accuracy > 0.8


def test_weights_and_validation_belong_together_at_every_yield() -> None:
    model = network()
    for epoch in train_epochs(model, TRAINING, VALIDATION, batch_size=50, epochs=3, seed=SEED):
        probabilities = model.predict(VALIDATION.images, verbose=0)
        accuracy = float((probabilities.argmax(axis=1) == VALIDATION.labels).mean())
        assert np.isclose(epoch.val_accuracy, accuracy)


def test_optimiser_counts_every_step() -> None:
    model = network()
    run(model, 100, 4)  # two batches of 100 and one of 30 an epoch
    assert int(model.optimizer.iterations) == 12


def test_validation_leaves_the_weights_alone() -> None:
    one, other = network(), network()
    run(one, 50, 2)
    list(train_epochs(other, TRAINING, examples(10, 9), batch_size=50, epochs=2, seed=SEED))
    for weights, same in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


def test_the_other_backend_passes_the_same_tests() -> None:
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("this is the other backend")
    tests = [Path(__file__), ROOT / "tests/test_network.py", ROOT / "tests/test_model_file.py"]
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:xdist",
            "-p",
            "no:cacheprovider",
            *map(str, tests),
        ],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 skipped" in result.stdout  # this one, and nothing else
