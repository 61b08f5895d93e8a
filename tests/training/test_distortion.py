"""Distortions against NumPy's turns and shifts, SciPy's interpolation, laws of random numbers."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import kstest

from pipeline.model.backend import keras
from pipeline.runtime.errors import PipelineError
from pipeline.training.distortion import (
    BUMPS,
    Coefficients,
    Source,
    Strength,
    bumps,
    distort,
    draw_coefficients,
    prepare,
)

SMOOTHNESS = 2.5
DRAWS = 20_000
# In standard errors: a right mean or deviation is missed once in two million by 5, and of the
# thousands of pixels one once in half a billion by 6.
NEAR, NEAR_EVERYWHERE = 5, 6

# Rotations stay well below the 45 degrees up to which a matrix says what it was made of.
DEVIATIONS = {"rotation": 8.0, "scale": 0.1, "shear": 0.2, "shift": 2.0}
MEASURED = {
    "rotation": ["rotation"],
    "scale": ["across", "down"],
    "shear": ["shear"],
    "shift": ["shift_x", "shift_y"],
}


def strength(smoothness: float = SMOOTHNESS, **deviations: float) -> Strength:
    nothing = dict.fromkeys(Strength.model_fields, 0.0)
    return Strength.model_validate(nothing | {"smoothness": smoothness} | deviations)


def random_images(count: int, side: int, seed: int = 0) -> NDArray[np.float32]:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, side * side))
    # As the preprocess stage divides them.
    return (pixels / np.float32(255)).astype(np.float32)


def affine_only(matrix: list[list[float]], count: int) -> Coefficients:
    affine = np.tile(np.array(matrix, np.float32), (count, 1, 1))
    flat = np.zeros((count, 2, BUMPS * BUMPS), np.float32)
    return Coefficients(affine, flat, np.zeros((count, 1), np.float32))


def tensors(images: NDArray[np.float32], smoothness: float = SMOOTHNESS) -> Source:
    return Source(*map(keras.ops.convert_to_tensor, prepare(images, smoothness)))


def distorted(
    images: NDArray[np.float32],
    coefficients: Coefficients,
    index: list[int] | None = None,
    function: Callable[..., Any] = distort,
) -> NDArray[np.float32]:
    chosen = np.array(range(len(images)) if index is None else index, np.int32)
    found: NDArray[np.float32] = keras.ops.convert_to_numpy(
        function(
            tensors(images),
            keras.ops.convert_to_tensor(chosen),
            Coefficients(*map(keras.ops.convert_to_tensor, coefficients)),
        )
    )
    assert found.dtype == np.float32
    return found


def compiled_functions() -> list[Callable[..., Any]]:
    if keras.config.backend() == "jax":
        import jax

        return [jax.jit(distort)]
    import tensorflow as tf

    # The trainer uses XLA on a GPU and goes without it on a CPU.
    return [tf.function(distort, jit_compile=xla, autograph=False) for xla in (False, True)]


def expected_bumps(side: int, smoothness: float) -> NDArray[np.float64]:
    """Return the definition, in whole: Gaussians over the plane, divided by what they sum up to."""
    centres = [(side - 1) * number / (BUMPS - 1) for number in range(BUMPS)]
    y, x = np.indices((side, side))
    field = np.array(
        [
            np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * smoothness**2))
            for centre_y in centres
            for centre_x in centres
        ]
    )
    scaled: NDArray[np.float64] = field / np.sqrt((field**2).sum(axis=0))
    return scaled.reshape(BUMPS * BUMPS, side * side)


def interpolated(images: NDArray[np.float32], coefficients: Coefficients) -> NDArray[np.float64]:
    """Return what SciPy makes of the same coordinates, in double precision; strokes as they are."""
    side = round(images.shape[1] ** 0.5)
    centre = (side - 1) / 2
    y, x = np.indices((side, side)).reshape(2, -1) - centre
    pixels = np.stack([np.ones_like(x), x, y])
    places = coefficients.affine.astype(float) @ pixels
    places += coefficients.elastic.astype(float) @ expected_bumps(side, SMOOTHNESS)
    return np.array(
        [
            # Of SciPy's two modes with a constant, the one that interpolates to it at the border.
            map_coordinates(
                image.reshape(side, side).astype(float),
                place[::-1] + centre,
                order=1,
                mode="grid-constant",
                cval=0,
            )
            for image, place in zip(images, places, strict=True)
        ]
    )


def numbers(*shape: int) -> st.SearchStrategy[NDArray[np.float32]]:
    return arrays(np.float32, shape, elements=st.floats(-30, 30, width=32))


def any_coefficients(count: int) -> st.SearchStrategy[Coefficients]:
    no_stroke = st.just(np.zeros((count, 1), np.float32))
    bumps = numbers(count, 2, BUMPS * BUMPS)
    return st.builds(Coefficients, numbers(count, 2, 3), bumps, no_stroke)


@pytest.mark.parametrize(
    "side", [28, pytest.param(8, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)]
)
def test_zero_strength_leaves_every_bit_as_it_is(side: int) -> None:
    images = random_images(40, side)
    coefficients = draw_coefficients(40, strength(), np.random.default_rng(0))
    for function in [distort, *compiled_functions()]:
        np.testing.assert_array_equal(distorted(images, coefficients, None, function), images)


def test_quarter_turns_and_mirror_image_equal_numpys() -> None:
    for side in (28, 8, 5):
        images = random_images(6, side)
        squares = images.reshape(6, side, side)
        for cosine, sine, turns in ((0, 1, 1), (-1, 0, 2), (0, -1, 3)):
            found = distorted(images, affine_only([[0, cosine, -sine], [0, sine, cosine]], 6))
            expected = np.rot90(squares, turns, axes=(1, 2))
            np.testing.assert_array_equal(found.reshape(6, side, side), expected)
        found = distorted(images, affine_only([[0, -1, 0], [0, 0, 1]], 6))
        np.testing.assert_array_equal(found.reshape(6, side, side), squares[:, :, ::-1])


@settings(max_examples=40)
@given(st.integers(-12, 12), st.integers(-12, 12))
def test_shift_by_whole_pixels_equals_numpys_with_zeros(right: int, down: int) -> None:
    images = random_images(3, 8)
    found = distorted(images, affine_only([[right, 1, 0], [down, 0, 1]], 3))
    framed = np.pad(images.reshape(3, 8, 8), ((0, 0), (12, 12), (12, 12)))
    expected = framed[:, 12 + down : 20 + down, 12 + right : 20 + right]
    np.testing.assert_array_equal(found.reshape(3, 8, 8), expected)


def test_image_shifted_out_of_sight_is_gone() -> None:
    images = np.ones((3, 64), np.float32)
    for right, down in ((8, 0), (0, -8), (1e6, -1e6)):
        assert not distorted(images, affine_only([[right, 1, 0], [down, 0, 1]], 3)).any()


def test_image_fades_over_one_pixel_beyond_its_border() -> None:
    images = np.ones((1, 64), np.float32)
    found = distorted(images, affine_only([[0.25, 1, 0], [0, 0, 1]], 1)).reshape(8, 8)
    np.testing.assert_array_equal(found[0], [1, 1, 1, 1, 1, 1, 1, 0.75])


@settings(max_examples=50)
@given(any_coefficients(3))
def test_any_distortion_equals_scipys_interpolation(coefficients: Coefficients) -> None:
    black_or_white = np.random.default_rng(0).integers(0, 2, (3, 64)).astype(np.float32)
    found = distorted(black_or_white, coefficients)
    np.testing.assert_allclose(found, interpolated(black_or_white, coefficients), atol=1e-4)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("stroke", [-1, -0.25, 0, 0.5, 1])
def test_stroke_goes_from_the_lowest_to_the_highest_of_four_pixels(stroke: float) -> None:
    images = random_images(2, 8)
    moved = affine_only([[0.25, 1, 0], [0.75, 0, 1]], 2)
    plain = interpolated(images, moved)
    found = distorted(images, moved._replace(stroke=np.full((2, 1), stroke, np.float32)))
    framed = np.pad(images.reshape(2, 8, 8), ((0, 0), (0, 1), (0, 1)))
    four = np.lib.stride_tricks.sliding_window_view(framed, (2, 2), (1, 2)).reshape(2, 64, 4)
    towards = four.max(axis=2) if stroke > 0 else four.min(axis=2)
    expected = plain + abs(stroke) * (towards - plain)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_strokes_are_drawn_as_normal_numbers_that_are_cut_off() -> None:
    drawn = draw_coefficients(DRAWS, strength(stroke=0.7), np.random.default_rng(0)).stroke
    expected = np.clip(0.7 * np.random.default_rng(1).standard_normal(DRAWS), -1, 1)
    assert drawn.shape == (DRAWS, 1)
    assert (np.abs(drawn) == 1).any()
    assert kstest(drawn[:, 0], expected).pvalue > 1e-6


@pytest.mark.parametrize(
    ("times", "side"),
    [
        (3, 8),
        *(
            pytest.param(times, side, marks=pytest.mark.slow)
            for times, side in product((1, 3, 10), (28, 8, 5))
            if (times, side) != (3, 8)
        ),
    ],
)
def test_drawn_distortions_equal_scipys_interpolation(times: int, side: int) -> None:
    images = random_images(50, side)
    deviations = {name: times * value for name, value in DEVIATIONS.items()}
    drawn = strength(**deviations | {"scale": 0.3, "shear": 0.5, "elastic": times * 0.8})
    coefficients = draw_coefficients(50, drawn, np.random.default_rng(times))
    expected = interpolated(images, coefficients)
    for function in [distort, *compiled_functions()]:
        found = distorted(images, coefficients, None, function)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_distorted_image_does_not_depend_on_its_batch() -> None:
    images = random_images(5, 8)
    everything = strength(**DEVIATIONS, elastic=1.0)
    coefficients = draw_coefficients(7, everything, np.random.default_rng(0))
    index = [3, 0, 4, 0, 2, 3, 3]
    together = distorted(images, coefficients, index)
    for number, image in enumerate(index):
        own = Coefficients(*(one[number : number + 1] for one in coefficients))
        alone = distorted(images[image : image + 1], own)
        np.testing.assert_allclose(together[number : number + 1], alone, atol=1e-5)


def measured(affine: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return what matrices are made of, each a shear, then a rotation, then a scaling."""
    shift_x, shift_y = affine[:, :, 0].T.astype(float)
    matrix = affine[:, :, 1:].astype(float)
    determinant = np.linalg.det(matrix)
    # The first column is (across * cosine, down * sine), and the determinant across * down.
    turn = np.arcsin(2 * matrix[:, 0, 0] * matrix[:, 1, 0] / determinant) / 2
    cosine, sine = np.cos(turn), np.sin(turn)
    across = matrix[:, 0, 0] / cosine
    down = determinant / across
    # Scaled and turned back, the second column is (shear, 1).
    column = matrix[:, 0, 1] / across, matrix[:, 1, 1] / down
    np.testing.assert_allclose(cosine * column[1] - sine * column[0], 1, rtol=1e-4)
    return {
        "rotation": np.rad2deg(turn),
        "across": np.log(across),
        "down": np.log(down),
        "shear": cosine * column[0] + sine * column[1],
        "shift_x": shift_x,
        "shift_y": shift_y,
    }


def draw(drawn: Strength, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    return measured(draw_coefficients(DRAWS, drawn, np.random.default_rng(seed)).affine)


def assert_normal(values: NDArray[np.float64], deviation: float, name: str) -> None:
    error = deviation / DRAWS**0.5
    assert abs(values.mean()) < NEAR * error, name
    assert abs(values.std() - deviation) < NEAR * error / 2**0.5, name
    assert kstest(values / deviation, "norm").pvalue > 1e-5, name


@pytest.mark.parametrize("kind", DEVIATIONS)
def test_one_kind_of_distortion_has_its_strength_and_the_others_rest(kind: str) -> None:
    for name, values in draw(strength(**{kind: DEVIATIONS[kind]})).items():
        if name in MEASURED[kind]:
            assert_normal(values, DEVIATIONS[kind], name)
        else:
            np.testing.assert_allclose(values, 0, atol=1e-5)


def test_all_kinds_together_have_their_strengths_and_are_drawn_independently() -> None:
    found = draw(strength(**DEVIATIONS, elastic=1.0))
    for kind, names in MEASURED.items():
        for name in names:
            assert_normal(found[name], DEVIATIONS[kind], name)
    correlations = np.corrcoef(list(found.values()))
    np.testing.assert_allclose(correlations, np.eye(6), atol=NEAR / DRAWS**0.5)


@pytest.mark.parametrize("side", [28, 5])
def test_every_pixel_is_bent_by_the_elastic_strength_along_each_side(side: int) -> None:
    draws, deviation = 5000, 0.7
    coefficients = draw_coefficients(draws, strength(elastic=0.7), np.random.default_rng(0))
    displacements = coefficients.elastic @ bumps(side, SMOOTHNESS)
    assert displacements.shape == (draws, 2, side * side)
    error = deviation / draws**0.5
    np.testing.assert_allclose(displacements.mean(axis=0), 0, atol=NEAR_EVERYWHERE * error)
    np.testing.assert_allclose(
        displacements.std(axis=0), deviation, atol=NEAR_EVERYWHERE * error / 2**0.5
    )


def test_both_sides_are_bent_independently_and_the_rest_is_left_alone() -> None:
    coefficients = draw_coefficients(5000, strength(elastic=1.0), np.random.default_rng(0))
    across, down = (coefficients.elastic @ bumps(8, SMOOTHNESS)).transpose(1, 0, 2)
    correlations = (across * down).mean(axis=0)
    np.testing.assert_allclose(correlations, 0, atol=NEAR_EVERYWHERE / 5000**0.5)
    unmoved = affine_only([[0, 1, 0], [0, 0, 1]], 5000).affine
    np.testing.assert_array_equal(coefficients.affine, unmoved)


def test_seed_decides_every_byte_of_the_coefficients() -> None:
    everything = strength(**DEVIATIONS, elastic=1.0, stroke=0.1)
    first, same, other = (
        draw_coefficients(100, everything, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert first.affine.shape == (100, 2, 3)
    assert first.elastic.shape == (100, 2, BUMPS * BUMPS)
    for mine, again, others in zip(first, same, other, strict=True):
        assert mine.dtype == np.float32
        assert mine.tobytes() == again.tobytes()
        assert not np.isclose(mine, others).any()


def test_bumps_are_gaussians_on_a_grid() -> None:
    for side, smoothness in product((28, 8, 5), (0.5, SMOOTHNESS, 100.0)):
        found = bumps(side, smoothness)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected_bumps(side, smoothness), rtol=1e-5, atol=1e-7)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(PipelineError, match=r"expected square images, .* found 2 of 63 pixels"):
        prepare(np.zeros((2, 63), np.float32), SMOOTHNESS)


def test_more_pixels_than_32_bits_can_count_are_refused() -> None:
    # A view of one number, which takes no memory.
    images = np.broadcast_to(np.float32(0), (2**31 // 900 + 1, 784))
    with pytest.raises(PipelineError, match=r"at most 2,147,483,648 pixels .* found 2386093 of"):
        prepare(images, SMOOTHNESS)
