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


def network(learning_rate: float = 0.01, **options: Any) -> keras.Model:
    optimizer = keras.optimizers.Adam(learning_rate, name="adam", **options)
    return build_network(64, [16, 8], 10, optimizer, seed=3)


def averaging_network() -> keras.Model:
    return network(use_ema=True, ema_momentum=0.8)


def train(
    model: keras.Model,
    batch_size: int,
    epochs: int,
    seed: int = SEED,
    distortion: Strength | None = None,
) -> Iterator[Epoch]:
    return train_epochs(
        model,
        TRAINING,
        VALIDATION,
        batch_size=batch_size,
        epochs=range(1, epochs + 1),
        random=np.random.default_rng(seed),
        distortion=distortion,
    )


def run(
    model: keras.Model,
    batch_size: int,
    epochs: int,
    seed: int = SEED,
    distortion: Strength | None = None,
) -> list[Epoch]:
    return list(train(model, batch_size, epochs, seed, distortion))


def assert_same_bits(model: keras.Model, other: keras.Model) -> None:
    for weights, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


def assert_close(
    found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]], tolerance: float = 1e-4
) -> None:
    for weights, oracle in zip(found, expected, strict=True):
        np.testing.assert_allclose(weights, oracle, rtol=10 * tolerance, atol=tolerance)


def assert_equals_history(epoch: Epoch, history: dict[str, list[float]], index: int) -> None:
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        found, expected = getattr(epoch, name), history[name][index]
        assert np.isclose(found, expected, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("batch_size", [pytest.param(46, marks=pytest.mark.slow), 100, 230])
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
        assert_equals_history(epoch, history, 0)
    assert [epoch.epoch for epoch in found] == [1, 2, 3]
    assert_close(model.get_weights(), oracle.get_weights())


def test_seed_decides_the_order_of_the_images() -> None:
    assert run(network(), 50, 2) != run(network(), 50, 2, seed=SEED + 1)


def test_training_learns() -> None:
    assert run(network(), 20, 60)[-1].val_accuracy > 0.8


def test_weights_and_validation_belong_together_at_every_yield() -> None:
    model = network()
    for epoch in train(model, 50, 3):
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
    random = np.random.default_rng(SEED)
    epochs = range(1, 3)
    list(
        train_epochs(other, TRAINING, examples(10, 9), batch_size=50, epochs=epochs, random=random)
    )
    assert_same_bits(one, other)


def batches(batch_size: int, epochs: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield what ``train_epochs`` shows."""
    random = np.random.default_rng(SEED)
    for _ in range(epochs):
        order = random.permutation(230)
        for start in range(0, 230, batch_size):
            part = order[start : start + batch_size]
            yield TRAINING.images[part], TRAINING.labels[part]


def test_moving_average_equals_that_of_fit_with_kerass_callback() -> None:
    batch_size, epochs = 100, 4
    model, oracle = averaging_network(), averaging_network()
    found = run(model, batch_size, epochs)
    history = oracle.fit(
        batches(batch_size, epochs),
        shuffle=False,
        steps_per_epoch=math.ceil(230 / batch_size),
        epochs=epochs,
        validation_data=VALIDATION,
        validation_batch_size=batch_size,
        callbacks=[keras.callbacks.SwapEMAWeights()],
        verbose=0,
    ).history
    for index, epoch in enumerate(found):
        assert_equals_history(epoch, history, index)
    assert_close(model.get_weights(), oracle.get_weights())


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


def test_training_goes_on_from_the_weights_and_not_from_their_average() -> None:
    averaging, plain = averaging_network(), network()
    epochs = zip(train(averaging, 100, 4), train(plain, 100, 4), strict=True)
    for one, other in epochs:
        assert_close(averaging.get_weights(), plain.get_weights())
        assert np.isclose(one.loss, other.loss, rtol=1e-4)
        assert not np.isclose(one.val_loss, other.val_loss, rtol=1e-4)


def test_schedule_of_a_recipe_ends_with_the_training() -> None:
    recipe = Recipe(
        batch_size=100,
        epochs=3,
        learning_rate=0.01,
        warm_up=0.3,
        ema_momentum=0.9,
        distortion=None,
    )
    optimizer = build_optimizer(recipe, 230)
    rates = [
        float(optimizer.learning_rate)
        for _ in train(build_network(64, [16], 10, optimizer, seed=3), 100, 3)
    ]
    assert max(rates) > 0.001
    assert min(rates[:-1]) > 1e-4
    assert abs(rates[-1]) < 1e-9


STRONG = Strength(rotation=20.0, scale=0.2, shear=0.2, shift=1.0, elastic=0.5, smoothness=2.0)
NONE = Strength(rotation=0.0, scale=0.0, shear=0.0, shift=0.0, elastic=0.0, smoothness=2.0)


def shown_images(strength: Strength, epochs: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield images and labels of epochs, each distorted before the epoch begins, and in whole."""
    random = np.random.default_rng(SEED)
    source = Source(
        *map(keras.ops.convert_to_tensor, prepare(TRAINING.images, strength.smoothness))
    )
    for _ in range(epochs):
        order = random.permutation(230).astype(np.int32)
        coefficients = Coefficients(
            *map(keras.ops.convert_to_tensor, draw_coefficients(230, strength, random))
        )
        images = distort(source, keras.ops.convert_to_tensor(order), coefficients)
        yield keras.ops.convert_to_numpy(images), TRAINING.labels[order]


@pytest.mark.parametrize("batch_size", [pytest.param(46, marks=pytest.mark.slow), 100])
def test_epochs_of_distorted_images_equal_those_of_fit(batch_size: int) -> None:
    epochs = 3
    model, oracle = network(), network()
    found = run(model, batch_size, epochs, distortion=STRONG)
    for epoch, (images, labels) in zip(found, shown_images(STRONG, epochs), strict=True):
        history = oracle.fit(
            images,
            labels,
            batch_size=batch_size,
            shuffle=False,
            validation_data=VALIDATION,
            validation_batch_size=batch_size,
            verbose=0,
        ).history
        assert_equals_history(epoch, history, 0)
    assert_close(model.get_weights(), oracle.get_weights())


@pytest.mark.parametrize(
    ("build", "distortion"),
    [
        pytest.param(network, None, id="plain", marks=pytest.mark.slow),
        pytest.param(averaging_network, STRONG, id="everything"),
    ],
)
def test_same_seed_gives_the_same_bits(
    build: Callable[[], keras.Model], distortion: Strength | None
) -> None:
    first, second = build(), build()
    assert run(first, 100, 3, SEED, distortion) == run(second, 100, 3, SEED, distortion)
    assert_same_bits(first, second)


def test_seed_decides_the_distortions() -> None:
    # In one batch of all images, and by weights that stay, their order does not matter.
    (one,), (other,) = (run(network(0.0), 230, 1, seed, STRONG) for seed in (SEED, SEED + 1))
    assert not np.isclose(one.loss, other.loss, rtol=1e-4)


def test_every_epoch_shows_other_images() -> None:
    losses = [epoch.loss for epoch in run(network(0.0), 100, 4, distortion=STRONG)]
    assert np.diff(np.sort(losses)).min() > 1e-4


def test_images_stay_as_they_are_without_distortion() -> None:
    losses = [epoch.loss for epoch in run(network(0.0), 100, 4)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)


def test_validation_images_are_never_distorted() -> None:
    model = network(0.0)
    loss, accuracy = model.evaluate(*VALIDATION, batch_size=100, verbose=0)
    for epoch in run(model, 100, 3, distortion=STRONG):
        assert np.isclose(epoch.val_loss, loss, rtol=1e-5)
        assert np.isclose(epoch.val_accuracy, accuracy)


def test_first_epoch_at_zero_strength_is_that_of_the_images_as_they_are() -> None:
    # Only the first one: the numbers that make up its distortions are drawn before the next order.
    distorting, plain = network(), network()
    assert run(distorting, 100, 1, distortion=NONE) == run(plain, 100, 1)
    assert_same_bits(distorting, plain)


def test_distortion_and_moving_average_go_together() -> None:
    averaging, plain = averaging_network(), network()
    found = run(averaging, 100, 3, distortion=STRONG), run(plain, 100, 3, distortion=STRONG)
    for one, other in zip(*found, strict=True):
        assert np.isclose(one.loss, other.loss, rtol=1e-4)
    assert not np.allclose(averaging.get_weights()[0], plain.get_weights()[0], atol=1e-3)


# What is most unlike on JAX, each once.
MOST_UNLIKE = [
    "training/test_epochs.py::test_epochs_of_distorted_images_equal_those_of_fit[100]",
    "training/test_epochs.py::test_moving_average_is_what_is_validated_and_kept",
    "training/test_epochs.py::test_same_seed_gives_the_same_bits[everything]",
    "training/test_distortion.py::test_drawn_distortions_equal_scipys_interpolation[3-8]",
    "model/test_network.py::test_forward_pass_equals_numpy",
]
ALL = [
    "training/test_epochs.py",
    "training/test_distortion.py",
    "training/test_recipe.py",
    "training/test_checkpoint.py::test_interrupted_again_and_again_ends_with_the_same_bits",
    "model/test_file.py",
    "model/test_network.py",
]


@pytest.mark.parametrize(
    ("tests", "skipped"),
    [
        pytest.param(MOST_UNLIKE, 0, id="most unlike"),
        pytest.param(ALL, 1, id="all", marks=pytest.mark.slow),  # this one, and nothing else
    ],
)
def test_the_other_backend_passes_the_same_tests(tests: list[str], skipped: int) -> None:
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("this is the other backend")
    options = ["-q", "-m", "not slow", "-p", "no:xdist", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"{ROOT}/tests/{test}" for test in tests)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (f"{skipped} skipped" in result.stdout) == bool(skipped)
    assert "passed" in result.stdout
