"""The optimiser of a recipe, against formulas of its learning rate and Keras's plain Adam."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.training.recipe import Recipe, build_optimizer

PLAIN: dict[str, Any] = {
    "activation": "relu",
    "optimizer": "adam",
    "batch_size": 50,
    "epochs": 4,
    "learning_rate": 0.005,
    "warm_up": None,
    "weight_decay": None,
    "ema_momentum": None,
    "distortion": None,
}
IMAGES = 230  # in four batches of 50 and one of 30


def optimizer(images: int = IMAGES, **changes: Any) -> keras.optimizers.Optimizer:
    return build_optimizer(Recipe.model_validate(PLAIN | changes), images)


def learning_rates(adam: keras.optimizers.Optimizer, steps: Sequence[int]) -> list[float]:
    """Return what the rate is when so many steps have been taken."""
    found = []
    for step in steps:
        adam.iterations.assign(step)
        found.append(float(adam.learning_rate))
    return found


def test_recipe_without_options_is_kerass_own_adam() -> None:
    expected = keras.optimizers.Adam(0.005, name="adam")
    found = optimizer()
    assert type(found) is keras.optimizers.Adam
    assert found.get_config() == expected.get_config()


def test_weight_decay_is_kerass_own() -> None:
    expected = keras.optimizers.Adam(0.005, name="adam", weight_decay=0.1)
    assert optimizer(weight_decay=0.1).get_config() == expected.get_config()


def test_muon_is_kerass_own_but_for_the_time_it_takes() -> None:
    """The same weights after the same gradients, the output layer's and the biases' by Adam."""
    options: dict[str, Any] = {"weight_decay": 0.1, "adam_weight_decay": 0.1}
    expected = keras.optimizers.Muon(
        0.005, name="muon", exclude_layers=["probabilities"], **options
    )
    found = optimizer(optimizer="muon", weight_decay=0.1)
    assert type(found) is keras.optimizers.Muon
    assert found.get_config() == expected.get_config()
    networks = [
        build_network(64, [32, 16, 40], "relu", 10, one, seed=1) for one in (found, expected)
    ]
    random = np.random.default_rng(0)
    before = networks[0].get_weights()
    for _ in range(5):
        gradients = [random.standard_normal(w.shape, np.float32) for w in before]
        for network in networks:
            network.optimizer.apply_gradients(
                zip(map(keras.ops.convert_to_tensor, gradients), network.variables, strict=True)
            )
    for start, mine, keras_own in zip(
        before, *(network.get_weights() for network in networks), strict=True
    ):
        np.testing.assert_allclose(mine - start, keras_own - start, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(30, 7), (7, 30), (16, 16), (1, 5)])
@pytest.mark.parametrize("smallest", [1.0, 1e-3])
def test_singular_vectors_stay_and_singular_values_become_nearly_one(
    shape: tuple[int, int], smallest: float
) -> None:
    random = np.random.default_rng(0)
    left, _, right = np.linalg.svd(random.standard_normal(shape), full_matrices=False)
    values = np.geomspace(1, smallest, min(shape))
    matrix = ((left * values) @ right).astype(np.float32)
    muon = keras.optimizers.Muon()
    found, expected = (
        keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(matrix), 5))
        for function in (
            optimizer(optimizer="muon").zeropower_via_newtonschulz5,
            muon.zeropower_via_newtonschulz5,
        )
    )
    np.testing.assert_allclose(found, expected, atol=1e-3)
    stretched = np.diag(left.T @ found @ right.T)
    np.testing.assert_allclose(found, (left * stretched) @ right, atol=1e-3)
    # As Jordan et al. have chosen the polynomial; what is far too small does not get there.
    assert stretched.max() < 1.25
    assert stretched[values > 0.1].min() > 0.6


def test_learning_rate_without_warm_up_is_constant() -> None:
    rates = learning_rates(optimizer(), [0, 1, 10, 19, 20])
    assert len(set(rates)) == 1
    assert np.isclose(rates[0], 0.005)


@pytest.mark.parametrize(("warm_up", "rising"), [(0.01, 1), (0.25, 5), (0.95, 19)])
def test_learning_rate_rises_in_a_line_and_falls_as_half_a_cosine(
    warm_up: float, rising: int
) -> None:
    steps = 20
    step = np.array([0, 1, 3, 5, 8, 13, 18, 19, 20])
    angle = np.pi * (step - rising) / (steps - rising)
    expected = 0.005 * np.where(step < rising, step / rising, (1 + np.cos(angle)) / 2)
    rates = learning_rates(optimizer(warm_up=warm_up), step.tolist())
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-9)


def test_steps_of_the_schedule_count_incomplete_batches() -> None:
    (four,), (five,), (also_five,) = (
        learning_rates(optimizer(images, warm_up=0.25), [10]) for images in (200, 201, 250)
    )
    assert four < five == also_five


def test_shortest_runs_have_finite_rates_from_0_to_the_peak() -> None:
    for warm_up, images in product((0.01, 0.5, 0.99), (1, 50, 51, 101)):
        steps = math.ceil(images / 50)
        rates = learning_rates(optimizer(images, epochs=1, warm_up=warm_up), range(steps + 1))
        assert np.isfinite(rates).all()
        assert min(rates) >= 0
        assert max(rates) <= np.float32(0.005)


def test_moving_average_is_kerass_own() -> None:
    expected = keras.optimizers.Adam(0.005, name="adam", use_ema=True, ema_momentum=0.98)
    assert optimizer(ema_momentum=0.98).get_config() == expected.get_config()


def test_warm_up_and_moving_average_go_together() -> None:
    both, one = (optimizer(warm_up=0.25, ema_momentum=momentum) for momentum in (0.98, None))
    assert (both.use_ema, both.ema_momentum) == (True, 0.98)
    assert not one.use_ema
    assert both.get_config()["learning_rate"] == one.get_config()["learning_rate"]
