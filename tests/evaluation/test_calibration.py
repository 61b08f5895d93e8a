"""Figures against scikit-learn and plain loops, the temperature against what it must be."""

from itertools import product, starmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from pipeline.evaluation.calibration import (
    BINS,
    COLDEST,
    HOTTEST,
    LEAST,
    confidences,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    reliability_table,
    scaled,
)
from pipeline.evaluation.statistics import wilson_interval

CLASSES = 4
ROWS = arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.just(CLASSES)),
    elements=st.floats(0, 1, width=32),
).map(lambda sums: softmax(20 * sums, axis=1))
TEMPERATURES = st.floats(COLDEST, HOTTEST)
ANSWERS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def drawn(
    images: int, sharpness: float, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return probabilities that are too extreme by a factor in the exponent, and labels."""
    random = np.random.default_rng(seed)
    sums = random.normal(size=(images, CLASSES)) * 3
    shares = softmax(sums, axis=1).cumsum(axis=1)
    labels = (shares[:, :-1] < random.random((images, 1))).sum(axis=1)
    return softmax(sums * sharpness, axis=1).astype(np.float32), labels.astype(np.int32)


def likeliest_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Return the best temperature on a fine grid, each tried on its own."""
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    grid = np.geomspace(COLDEST, HOTTEST, 2001)
    rows = range(len(labels))
    losses = [-log_softmax(logarithms / value, axis=1)[rows, labels].mean() for value in grid]
    return float(grid[np.argmin(losses)])


@given(ROWS, TEMPERATURES)
def test_scaled_probabilities_are_probabilities_of_the_same_class(
    probabilities: NDArray[np.float32], temperature: float
) -> None:
    found = scaled(probabilities, temperature)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.array_equal(found.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(scaled(probabilities, 1), probabilities, rtol=1e-6, atol=1e-30)


@given(TEMPERATURES)
def test_zeros_of_the_network_are_no_infinities(temperature: float) -> None:
    probabilities = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]], np.float32)
    found = scaled(probabilities, temperature)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, probabilities, atol=1e-3)


def test_temperature_of_two_takes_the_square_root() -> None:
    found = scaled(np.array([[0.64, 0.36]], np.float32), 2)
    np.testing.assert_allclose(found, [[0.8 / 1.4, 0.6 / 1.4]], rtol=1e-6)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0, 4.0])
def test_known_temperature_is_found_again(sharpness: float) -> None:
    found = fit_temperature(*drawn(20_000, sharpness, seed=0))
    assert found == pytest.approx(sharpness, rel=0.03)


@pytest.mark.parametrize("images", [20, 300])
def test_temperature_is_the_likeliest_of_all(images: int) -> None:
    for seed in range(5):
        answers = drawn(images, 2.0, seed)
        likeliest = likeliest_temperature(*answers)
        assert fit_temperature(*answers) == pytest.approx(likeliest, rel=0.003)


@pytest.mark.parametrize(
    ("least", "errors"),
    [
        (1e-25, 1),
        (0, 20),
        *(
            pytest.param(least, errors, marks=pytest.mark.slow)
            for least, errors in product((1e-10, 1e-20, 1e-25, 0), (1, 20))
            if (least, errors) not in {(1e-25, 1), (0, 20)}
        ),
    ],
)
def test_errors_that_the_network_held_for_impossible_make_it_no_surer(
    least: float, errors: int
) -> None:
    probabilities = np.tile(np.array([1 - 1e-4, 1e-4, least], np.float32), (1000, 1))
    labels = np.zeros(1000, np.int32)
    labels[:errors] = 2
    found = fit_temperature(probabilities, labels)
    assert found == pytest.approx(likeliest_temperature(probabilities, labels), rel=0.003)


@pytest.mark.parametrize("sureness", [0.9, 0.999, 1.0])
def test_network_that_is_never_wrong_is_made_no_less_sure(sureness: float) -> None:
    labels = np.arange(100, dtype=np.int32) % CLASSES
    rest = (1 - sureness) / (CLASSES - 1)
    probabilities = (np.eye(CLASSES)[labels] * (sureness - rest) + rest).astype(np.float32)
    assert COLDEST <= fit_temperature(probabilities, labels) <= 1


@pytest.mark.parametrize("sureness", [0.9, 1.0])
def test_network_that_is_always_wrong_is_made_as_unsure_as_can_be(sureness: float) -> None:
    labels = np.arange(100, dtype=np.int32) % CLASSES
    rest = (1 - sureness) / (CLASSES - 1)
    probabilities = np.eye(CLASSES)[(labels + 1) % CLASSES] * (sureness - rest) + rest
    found = fit_temperature(probabilities.astype(np.float32), labels)
    assert 0.999 * HOTTEST < found <= HOTTEST


@pytest.mark.parametrize("labels", [[0] * 8, [0, 1, 2, 3] * 2])
def test_network_that_says_nothing_keeps_its_temperature(labels: list[int]) -> None:
    uniform = np.full((8, CLASSES), 1 / CLASSES, np.float32)
    assert fit_temperature(uniform, np.array(labels, np.int32)) == 1


@given(ROWS)
def test_confidence_is_what_its_nine_decimals_say(probabilities: NDArray[np.float32]) -> None:
    found = confidences(scaled(probabilities, 1))
    np.testing.assert_allclose(found, scaled(probabilities, 1).max(axis=1), atol=5e-10)
    assert [float(f"{value:.9f}") for value in found] == found.tolist()


@given(ROWS, st.data())
def test_likelihood_equals_that_of_scikit_learn(
    probabilities: NDArray[np.float32], data: st.DataObject
) -> None:
    count = len(probabilities)
    # Often a class is missing, and sometimes there is only one.
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    likely = scaled(probabilities, 1)
    # Where it does not clip.
    plain = likely[range(count), labels] > np.finfo(float).eps
    if plain.any():
        assert negative_log_likelihood(probabilities[plain], labels[plain], 1) == pytest.approx(
            log_loss(labels[plain], likely[plain], labels=range(CLASSES))
        )


@pytest.mark.parametrize(
    ("predicted", "likelihood"),
    [(0, 0), (1, -np.log(LEAST))],
    ids=["right", "wrong"],
)
def test_likelihood_of_certainty_is_the_extreme(predicted: int, likelihood: float) -> None:
    """Also where no other class occurs."""
    certain = np.eye(CLASSES, dtype=np.float32)[[predicted] * 5]
    labels = np.zeros(5, np.int32)
    assert negative_log_likelihood(certain, labels, 1) == pytest.approx(likelihood, abs=1e-12)


@given(ANSWERS)
def test_calibration_error_equals_a_plain_loop(answers: list[tuple[float, bool]]) -> None:
    expected = 0.0
    for number in range(BINS):
        low, high = np.linspace(0, 1, BINS + 1)[number : number + 2]
        inside = [
            (value, right) for value, right in answers if low < value <= high or value == low == 0
        ]
        # |sum of confidences - sum of right answers| is the distance times the number of images.
        expected += abs(sum(value for value, _ in inside) - sum(right for _, right in inside))
    confidence, correct = map(np.array, zip(*answers, strict=True))
    found = expected_calibration_error(confidence, correct)
    assert found == pytest.approx(expected / len(answers), abs=1e-12)


@given(ANSWERS)
def test_reliability_equals_scikit_learns_calibration_curve(
    answers: list[tuple[float, bool]],
) -> None:
    confidence, correct = map(np.array, zip(*answers, strict=True))
    table = reliability_table(confidence, correct)
    accuracy, mean = calibration_curve(correct, confidence, n_bins=BINS)
    np.testing.assert_allclose(table["accuracy"], accuracy)
    np.testing.assert_allclose(table["confidence"], mean)
    assert table["images"].sum() == len(answers)
    right = (table["accuracy"] * table["images"]).round().astype(int)
    intervals = list(starmap(wilson_interval, zip(right, table["images"], strict=True)))
    assert list(zip(table["low"], table["high"], strict=True)) == intervals


def test_bins_take_their_upper_edge() -> None:
    table = reliability_table(np.array([0, 1 / 15, 0.5, 1]), np.array([True, False, True, True]))
    assert table["images"].tolist() == [2, 1, 1]
    assert table["accuracy"].tolist() == [0.5, 1, 1]


@pytest.mark.parametrize(
    ("confidence", "correct", "error"),
    [
        ([1.0] * 4, [True] * 4, 0),
        ([1.0] * 4, [False] * 4, 1),
        ([0.75] * 4, [True, True, True, False], 0),
        ([0.25] * 4, [True] * 4, 0.75),
    ],
    ids=["perfect", "always wrong", "constant and calibrated", "constant and too unsure"],
)
def test_calibration_error_of_constant_confidence_is_its_distance_from_accuracy(
    confidence: list[float], correct: list[bool], error: float
) -> None:
    assert expected_calibration_error(np.array(confidence), np.array(correct)) == error
    assert not reliability_table(np.array(confidence), np.array(correct)).isna().any(axis=None)
