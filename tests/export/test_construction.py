"""The form of MNIST, against its own images and against what its makers wrote of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pipeline.export.construction import mnist_image, mnist_images, stroke_width
from pipeline.export.resampling import averaged, resized, sheared
from pipeline.tools.demo import digits

DIGITS = digits()[0][::50].astype(np.float32) / 255


def enlarged(digit: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    picture = Image.fromarray(np.uint8(digit * 255)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float32) / np.float32(255)


@pytest.mark.parametrize("side", [28, 56, 140, 500])
def test_mnists_own_digits_come_out_as_they_are(side: int) -> None:
    # But for edges, which are found anew in them: in the original they were still black and white.
    apart = [
        min(
            float(np.abs(np.roll(mnist_image(enlarged(digit, side)), shift, (0, 1)) - digit).mean())
            for shift in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
        )
        for digit in DIGITS
    ]
    assert np.median(apart) < 0.04
    assert max(apart) < 0.1  # an image of nothing is 0.13 away, one of another digit 0.2


@pytest.mark.parametrize("digit", DIGITS[:30])
def test_digit_fills_a_square_of_20_pixels_and_its_mass_is_in_the_middle(
    digit: NDArray[np.float32],
) -> None:
    for found in mnist_images(digit):
        assert (found.shape, found.dtype) == ((28, 28), np.float32)
        assert 0 <= found.min() <= found.max() <= 1
        rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        for middle in ndimage.center_of_mass(found):
            assert 13.5 < middle <= 14.5 or {0, 27} & {*rows, *columns}


@given(
    top=st.integers(0, 90),
    left=st.integers(0, 90),
    number=st.integers(0, len(DIGITS) - 1),
    scale=st.sampled_from([2, 3, 5]),
)
def test_place_and_size_do_not_matter(top: int, left: int, number: int, scale: int) -> None:
    digit = np.kron(DIGITS[number] > 0.5, np.ones((scale, scale))).astype(np.float32)
    margins = ((top, 3), (left, 50))
    found, moved = mnist_image(digit), mnist_image(np.pad(digit, margins))
    np.testing.assert_array_equal(found, moved)


@pytest.mark.parametrize("width", [1, 2, 5, 9, 16, 30])
def test_strokes_become_as_wide_as_those_of_mnist(width: int) -> None:
    paper = np.ones((160, 160), bool)
    paper[80, 20:140] = paper[20:140, 80] = False
    cross = ndimage.distance_transform_edt(paper) <= width / 2
    found = mnist_image(cross.astype(np.float32))
    row = found[found.any(axis=1)][2]  # of the upper arm
    assert 1.7 <= row.sum() <= 4.7


def test_stroke_width_is_that_of_a_bar() -> None:
    for width in (1, 2, 3, 8, 15):
        bar = np.zeros((60, 100), bool)
        bar[20 : 20 + width, 10:90] = True
        assert stroke_width(bar) == pytest.approx(width, abs=1)


@pytest.mark.parametrize("old", [1, 3, 20, 27])
@pytest.mark.parametrize("new", [1, 4, 20, 61])
def test_size_changes_and_the_brightness_stays(old: int, new: int) -> None:
    image = np.random.default_rng(0).random((old, old), dtype=np.float32)
    found = resized(image, (new, new))
    assert found.shape == (new, new)
    if new <= old:
        assert found.mean() == pytest.approx(image.mean(), abs=1e-5)
    np.testing.assert_allclose(resized(np.ones_like(image), (new, new)), 1, atol=1e-5)


def test_smaller_by_a_whole_number_is_pillows_box() -> None:
    image = np.random.default_rng(0).random((40, 60), dtype=np.float32)
    expected = np.asarray(Image.fromarray(image).resize((15, 10), Image.Resampling.BOX))
    np.testing.assert_allclose(resized(image, (10, 15)), expected, atol=1e-5)
    np.testing.assert_allclose(averaged(image, 4), expected, atol=1e-5)
    assert averaged(image[:39, :58], 4).shape == (10, 15)


@given(slant=st.floats(-0.8, 0.8))
def test_shearing_moves_rows_and_loses_no_ink(slant: float) -> None:
    image = (np.random.default_rng(0).random((30, 20)) > 0.7).astype(np.float32)
    found = sheared(image, slant)
    np.testing.assert_array_equal(found.sum(axis=1), image.sum(axis=1))
    upper, lower = (int(np.flatnonzero(found[row])[0]) for row in (0, 29))
    first, last = (int(np.flatnonzero(image[row])[0]) for row in (0, 29))
    assert (lower - last) - (upper - first) == pytest.approx(29 * slant, abs=1)
