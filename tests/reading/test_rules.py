"""Ruled lines go, digits stay."""

import numpy as np
import pytest
from numpy.typing import NDArray
from paper import Sheet, row_of_digits

from pipeline.reading.rules import without_rules
from pipeline.tools.demo import digits

DIGITS = digits()[0][:60].astype(np.float32) / 255
SIZE = 60


def sheet(number: int = 0) -> Sheet:
    """Return white paper with five digits in black."""
    paper = Sheet(100, 400, paper=(1, 1, 1), ink=(0, 0, 0))
    row_of_digits(paper, DIGITS[number : number + 5], top=20, left=30, size=SIZE, gap=20)
    return paper


def ink(paper: Sheet) -> NDArray[np.bool_]:
    return np.asarray(paper.picture[..., 0] < 0.5)


def cleaned(paper: Sheet) -> NDArray[np.bool_]:
    return without_rules(ink(paper), np.asarray(paper.picture[..., 0] < 0.75))


@pytest.mark.parametrize("number", range(0, 55, 5))
def test_digits_without_rules_stay_as_they_are(number: int) -> None:
    paper = sheet(number)
    np.testing.assert_array_equal(cleaned(paper), ink(paper))


def box(paper: Sheet, thickness: float, tilt: float) -> None:
    for row in (10, 90):
        paper.line(row=row, thickness=thickness, tilt=tilt, colour=(0, 0, 0))
    for column in (8, 392):
        paper.line(column=column, thickness=thickness, colour=(0, 0, 0))


def cells(paper: Sheet, thickness: float, tilt: float) -> None:
    box(paper, thickness, tilt)
    paper.line(column=370, thickness=thickness, start=10, stop=90, colour=(0, 0, 0))


def under_them(paper: Sheet, thickness: float, tilt: float) -> None:
    paper.line(row=75, thickness=thickness, tilt=tilt, colour=(0, 0, 0))


@pytest.mark.parametrize("rule", [box, cells, under_them])
@pytest.mark.parametrize("thickness", [1, 2, 4])
@pytest.mark.parametrize("tilt", [0, 5, -12])
@pytest.mark.parametrize("number", [0, 20])
def test_rules_go_and_digits_stay(rule: object, thickness: int, tilt: int, number: int) -> None:
    plain, ruled = sheet(number), sheet(number)
    assert callable(rule)
    rule(ruled, thickness, tilt)
    lines = ink(ruled) & ~ink(plain)
    assert lines.sum() > 300
    found = cleaned(ruled)
    assert (found & lines).sum() < 0.08 * lines.sum()
    # Of strokes that cross a line, some is lost.
    assert (found & ink(plain)).sum() > 0.95 * ink(plain).sum()


def test_faint_line_goes_with_what_is_seen_of_it() -> None:
    plain, ruled = sheet(), sheet()
    ruled.line(row=88, thickness=3, colour=(0.6, 0.6, 0.6))
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.12, (100, 400))
    seen = ruled.picture[..., 0] + noise
    lines = (seen < 0.5) & ~ink(plain)
    found = without_rules(seen < 0.5, seen < 0.75)
    assert lines[80:95].sum() > 50
    assert (found & lines)[80:95].sum() < 0.4 * lines[80:95].sum()


def test_ones_are_no_rules() -> None:
    paper = Sheet(100, 300, paper=(1, 1, 1), ink=(0, 0, 0))
    for column in (60, 120, 180, 240):
        paper.line(column=column, start=2, stop=98, thickness=5, colour=(0, 0, 0))
    np.testing.assert_array_equal(cleaned(paper), ink(paper))


def test_nothing_is_no_fault() -> None:
    for shape in ((1, 1), (5, 400), (400, 5), (100, 100)):
        for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
            assert without_rules(mask, mask).shape == shape
