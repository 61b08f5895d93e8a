"""Perturbed images against NumPy and plain loops, accuracies against counts by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.evaluation.robustness import (
    PERTURBATIONS,
    Images,
    accuracies,
    faint,
    noisy,
    robustness_metrics,
    rotated,
    shifted,
    slanted,
    thickened,
)

IMAGES = arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(2, 6)).map(lambda sizes: (*sizes, sizes[1])),
    elements=st.floats(0, 1, width=32),
)


@given(IMAGES, st.integers(1, 5))
def test_shift_is_a_roll_without_what_is_rolled_in(images: Images, pixels: int) -> None:
    side = images.shape[-1]
    left, right, up, down = (
        np.roll(images, by, axis) for axis in (2, 1) for by in (-pixels, pixels)
    )
    left[:, :, max(side - pixels, 0) :] = 0
    right[:, :, :pixels] = 0
    up[:, max(side - pixels, 0) :, :] = 0
    down[:, :pixels, :] = 0
    found = list(shifted(images, pixels))
    np.testing.assert_array_equal(found, [left, right, up, down])


@given(IMAGES)
def test_rotation_by_right_angles_is_exact(images: Images) -> None:
    for degrees, turns in ((90, 1), (180, 2)):
        one, other = rotated(images, degrees)
        np.testing.assert_allclose(one, np.rot90(images, -turns, axes=(1, 2)), atol=1e-6)
        np.testing.assert_allclose(other, np.rot90(images, turns, axes=(1, 2)), atol=1e-6)


def test_rotation_goes_both_ways_and_keeps_size_and_range() -> None:
    image = np.zeros((1, 28, 28), np.float32)
    image[:, 4:24, 13:15] = 1
    one, other = rotated(image, 15)
    assert one.shape == image.shape
    assert one.dtype == np.float32
    assert 0 <= one.min() <= one.max() <= 1
    # A stroke that is its own mirror image, turned either way.
    np.testing.assert_allclose(one, other[:, :, ::-1], atol=1e-6)
    assert np.abs(one - other).max() > 0.5


@given(IMAGES)
def test_slant_moves_each_row_by_its_height_above_the_middle(images: Images) -> None:
    # By two pixels per row, every row of an image of odd or even height moves by whole pixels.
    height = images.shape[1]
    for sign, found in zip((-1, 1), slanted(images, 2), strict=True):
        for row in range(height):
            moved = np.zeros_like(images[:, row])
            for column in range(height):
                source = column + sign * (2 * row - (height - 1))
                if 0 <= source < height:
                    moved[:, column] = images[:, row, source]
            np.testing.assert_allclose(found[:, row], moved, atol=1e-6)


@given(IMAGES, st.sampled_from([0.25, 0.5, 0.75]))
def test_contrast_takes_the_same_share_from_every_pixel(images: Images, lost: float) -> None:
    (found,) = faint(images, lost)
    np.testing.assert_allclose(found, (1 - lost) * images, atol=1e-7)


def plainly_thickened(image: NDArray[np.float32], *, thicker: bool) -> NDArray[np.float32]:
    """Return the brightest, or darkest, of each pixel and its neighbours, one after the other."""
    result = np.empty_like(image)
    for row, column in np.ndindex(image.shape):
        result[row, column] = (max if thicker else min)(
            image[row + down, column + right]
            for down, right in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
            if 0 <= row + down < len(image) and 0 <= column + right < len(image)
        )
    return result


@given(IMAGES, st.sampled_from([-1, 1]))
def test_stroke_takes_the_brightest_or_darkest_neighbour(images: Images, pixels: int) -> None:
    (whole,) = thickened(images, pixels)
    expected = [plainly_thickened(image, thicker=pixels > 0) for image in images]
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    (half,) = thickened(images, pixels / 2)
    np.testing.assert_allclose(half, (images + whole) / 2, atol=1e-6)


def test_stroke_gains_a_pixel_on_each_side() -> None:
    image = np.zeros((1, 7, 7), np.float32)
    image[:, :, 3] = 1
    (thicker,) = thickened(image, 1)
    assert thicker[0, 3].tolist() == [0, 0, 1, 1, 1, 0, 0]
    (thinner,) = thickened(thicker, -1)
    np.testing.assert_array_equal(thinner, image)


def test_noise_is_normal_cut_to_what_a_pixel_can_be_and_always_the_same() -> None:
    grey = np.full((10, 28, 28), 0.5, np.float32)
    (found,) = noisy(grey, 0.1)
    assert found.dtype == np.float32
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert found.std() == pytest.approx(0.1, rel=0.05)
    (again,) = noisy(grey, 0.1)
    np.testing.assert_array_equal(found, again)
    (strong,) = noisy(grey, 0.4)
    assert (strong.min(), strong.max()) == (0, 1)
    # The same noise, only stronger: it is the strength that curves compare.
    inside = (strong > 0) & (strong < 1)
    np.testing.assert_allclose((strong - grey)[inside], 4 * (found - grey)[inside], atol=1e-6)


def test_images_stay_images_of_their_size_and_are_not_written_to() -> None:
    for perturbation, side in product(PERTURBATIONS.values(), (1, 2, 3, 28)):
        images = np.random.default_rng(0).random((2, side, side), dtype=np.float32)
        images.setflags(write=False)
        for strength in perturbation.strengths:
            for changed in perturbation.variants(images, strength):
                assert changed.shape == images.shape
                assert changed.dtype == np.float32
                assert np.isfinite(changed).all()
                assert -1e-6 <= changed.min() <= changed.max() <= 1 + 1e-6


def as_dictionary(found: pd.DataFrame) -> dict[str, dict[float, float]]:
    return {
        str(name): dict(zip(rows["strength"], rows["accuracy"], strict=True))
        for name, rows in found.groupby("perturbation", sort=False)
    }


def two_classes(second: list[bool]) -> NDArray[np.float32]:
    """Return the probabilities of a network that is sure of the first or the second class."""
    return np.array([[not sure, sure] for sure in second], np.float32)


def test_network_that_knows_the_answers_is_never_wrong() -> None:
    labels = np.array([2, 0, 1], np.int32)
    found = accuracies(
        np.zeros((3, 2, 2), np.float32), labels, lambda _: np.eye(3, dtype=np.float32)[labels]
    )
    assert (found["accuracy"] == 1).all()
    assert {name: list(by) for name, by in as_dictionary(found).items()} == {
        "shift": [0, 1, 2, 3, 4],
        "rotation": [0, 5, 10, 15, 20, 30],
        "slant": [0, 0.1, 0.2, 0.3, 0.5],
        "stroke": [-1, -0.5, 0, 0.5, 1],
        "contrast": [0, 0.25, 0.5, 0.75],
        "noise": [0, 0.1, 0.2, 0.3, 0.4],
    }


def test_network_that_knows_only_the_images_themselves_fails_where_they_are_changed() -> None:
    images = np.zeros((4, 5, 5), np.float32)
    images[0, 1, 2] = 1  # the other three are empty, which only noise changes

    def predict(changed: Images) -> NDArray[np.float32]:
        return two_classes([np.array_equal(*pair) for pair in zip(changed, images, strict=True)])

    found = accuracies(images, np.ones(4, np.int32), predict)
    for name, by_strength in as_dictionary(found).items():
        changed = 0.0 if name == "noise" else 0.75
        for strength, accuracy in by_strength.items():
            assert accuracy == (changed if strength else 1.0), (name, strength)


def test_accuracy_is_the_mean_over_directions() -> None:
    images = np.zeros((2, 3, 3), np.float32)
    images[0, 1, 1] = images[1, 0, 0] = 1  # one in the centre, one in a corner

    def predict(changed: Images) -> NDArray[np.float32]:
        return two_classes([bool(image.any()) for image in changed])

    found = accuracies(images, np.ones(2, np.int32), predict)
    # The centre survives one step in any direction, the corner up to two in two of four.
    assert as_dictionary(found)["shift"] == {0: 1, 1: 0.75, 2: 0.25, 3: 0, 4: 0}


def test_metrics_name_strengths_and_leave_out_the_images_as_they_are() -> None:
    found = pd.DataFrame(
        [("shift", 0, 1.0), ("shift", 1, 0.9), ("stroke", -0.5, 0.8), ("stroke", 0, 1.0)],
        columns=["perturbation", "strength", "accuracy"],
    )
    assert robustness_metrics(found) == {"shift": {"1": 0.9}, "stroke": {"-0.5": 0.8}}
