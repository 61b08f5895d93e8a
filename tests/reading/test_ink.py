"""Where the ink is: any colours, any light, and nothing where nothing is written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from paper import Sheet, row_of_digits

from pipeline.reading.ink import find_ink, ink_is_dark, otsu
from pipeline.tools.demo import digits

DIGITS = digits()[0][:30].astype(np.float32) / 255


def written(sheet: Sheet, count: int = 4) -> Sheet:
    row_of_digits(sheet, DIGITS[:count], top=15, left=20, size=70, gap=15)
    return sheet


def where() -> NDArray[np.bool_]:
    """Return where the ink of ``written`` is."""
    sheet = written(Sheet(100, 330, paper=(1, 1, 1), ink=(0, 0, 0)))
    return np.asarray(sheet.picture[..., 0] < 0.5)


COLOURS = {
    "black on white": ((0.97, 0.96, 0.94), (0.1, 0.1, 0.1)),
    "pencil on grey": ((0.7, 0.7, 0.68), (0.45, 0.45, 0.45)),
    "blue on cream": ((0.95, 0.9, 0.75), (0.1, 0.15, 0.6)),
    "yellow on white": ((1.0, 1.0, 1.0), (1.0, 0.95, 0.1)),
    "red on green": ((0.5, 0.75, 0.5), (0.8, 0.2, 0.2)),
    "chalk on a blackboard": ((0.12, 0.2, 0.15), (0.85, 0.85, 0.8)),
    "white on black": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "red on black": ((0.05, 0.05, 0.05), (0.7, 0.1, 0.1)),
}


@pytest.mark.parametrize("colours", COLOURS)
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_ink_is_found_in_any_colours(colours: str, noise: float) -> None:
    paper, ink = COLOURS[colours]
    sheet = written(Sheet(100, 330, paper=paper, ink=ink))
    seen = sheet.photographed(np.random.default_rng(0), noise, 0.7)
    found = find_ink(seen.astype(np.float32)) > 0.5
    assert (found != where()).mean() < 0.02


@pytest.mark.parametrize("darkest", [0.8, 0.5, 0.3])
@pytest.mark.parametrize("strength", [0.0, 0.4])
def test_ink_is_found_in_uneven_light(darkest: float, strength: float) -> None:
    sheet = written(Sheet(100, 330))
    sheet.shaded(darkest)
    sheet.shadow(strength, 150)
    seen = sheet.photographed(np.random.default_rng(0), 0.01, 0.7)
    found = find_ink(seen.astype(np.float32)) > 0.5
    assert (found != where()).mean() < 0.04


@given(
    paper=st.floats(0, 1),
    ink=st.floats(0, 1),
    width=st.integers(1, 8),
    row=st.integers(2, 30),
)
def test_strokes_are_ink_whichever_is_darker(
    paper: float, ink: float, width: int, row: int
) -> None:
    if abs(paper - ink) < 0.1:
        return
    picture = np.full((40, 60, 3), paper, np.float32)
    picture[row : row + width, 5:50] = ink
    np.testing.assert_array_equal(find_ink(picture) > 0.5, picture[..., 0] == np.float32(ink))
    assert ink_is_dark(picture[..., 0]) == (ink < paper)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_nothing_is_written_on_empty_paper(level: float) -> None:
    assert not find_ink(np.full((50, 80, 3), level, np.float32)).any()
    noise = np.random.default_rng(0).normal(level, 0.005, (50, 80, 3)).clip(0, 1)
    assert not find_ink(noise.astype(np.float32)).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 400)])
def test_tiny_pictures_are_no_fault(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0).random((*shape, 3), dtype=np.float32)
    assert find_ink(random).shape == shape


def test_otsus_threshold_leaves_the_least_variance_within() -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0.3, 0.1, 700), random.normal(0.8, 0.05, 300)])

    def within(level: float) -> float:
        parts = (values[values <= level], values[values > level])
        return sum(float(part.var()) * len(part) for part in parts if len(part))

    best = min(within(level) for level in np.linspace(0, 1, 1000))
    assert within(otsu(values.astype(np.float32))) == pytest.approx(best, rel=0.01)
