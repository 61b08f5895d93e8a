"""Pieces of ink: one digit or a field of them, in reading order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.lines import lines_of_digits, slant_of
from pipeline.reading.pieces import MOST_PARTS, connected_parts, one_digit

SHAPE = (300, 500)
Box = tuple[int, int, int, int]


def mask_of(*boxes: Box, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


def lines_in(*boxes: Box) -> list[list[Box]]:
    mask = mask_of(*boxes)
    _, parts = connected_parts(mask)
    return [
        [(one.left, one.top, one.right, one.bottom) for one in line]
        for line in lines_of_digits(parts, SHAPE)
    ]


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    data=st.data(),
)
def test_digits_are_read_line_by_line_from_left_to_right(
    counts: list[int], data: st.DataObject
) -> None:
    lines = []
    for number, count in enumerate(counts):
        line = []
        for place in range(count):
            left = 20 + place * 75 + data.draw(st.integers(0, 15))
            top = 15 + number * 95 + data.draw(st.integers(0, 12))
            width, height = data.draw(st.integers(12, 45)), data.draw(st.integers(50, 70))
            line.append((left, top, left + width, top + height))
        lines.append(line)
    boxes = [box for line in lines for box in line]
    assert lines_in(*data.draw(st.permutations(boxes))) == lines


def test_pieces_of_a_broken_digit_are_one() -> None:
    roof, rest = (105, 100, 140, 106), (100, 110, 135, 160)
    assert lines_in((30, 100, 70, 160), roof, rest, (200, 100, 240, 160)) == [
        [(30, 100, 70, 160), (100, 100, 140, 160), (200, 100, 240, 160)]
    ]


def test_specks_dots_dashes_and_what_is_cut_off_are_no_digits() -> None:
    digits = [(60, 100, 100, 160), (150, 100, 190, 160), (240, 100, 280, 160)]
    others = [
        (120, 150, 127, 158),  # a point
        (205, 128, 232, 134),  # a dash
        (300, 50, 303, 53),  # a speck
        (100, 0, 140, 20),  # the foot of a digit of the line above
        (0, 40, 6, 300),  # the edge of the sheet
        (350, 280, 390, 300),  # the head of one of the line below
    ]
    assert lines_in(*digits, *others) == [digits]


def test_one_digit_is_the_largest_piece_and_what_is_near() -> None:
    mask = mask_of((200, 100, 240, 200), (245, 100, 300, 110), (20, 20, 30, 30), (495, 0, 500, 300))
    _, parts = connected_parts(mask)
    found = one_digit(parts, SHAPE)
    assert (found.left, found.top, found.right, found.bottom) == (200, 100, 300, 200)


def test_of_a_million_specks_the_largest_are_kept() -> None:
    mask = np.zeros((1400, 1400), bool)
    mask[::2, ::2] = True
    mask[100:400, 100:200] = True
    labels, parts = connected_parts(mask)
    assert len(parts) == MOST_PARTS
    assert max(part.area for part in parts) >= 300 * 100
    assert set(np.unique(labels)) == set(range(MOST_PARTS + 1))


@given(slant=st.floats(-0.25, 0.75))
def test_slant_of_upright_bars_that_were_sheared_is_found(slant: float) -> None:
    rows = np.arange(100)
    mask = np.zeros((100, 600), bool)
    for column in (120, 200, 280, 360, 440):
        for row in rows:
            start = round(column - slant * (row - 50))
            mask[row, start : start + 6] = True
    found = slant_of(mask)
    assert abs(found - slant) < 0.06 or (found == 0 and abs(slant) < 0.11)


def test_slant_of_nothing_is_none() -> None:
    assert slant_of(np.zeros((10, 10), bool)) == 0
