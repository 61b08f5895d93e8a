"""Touching digits: where to cut, and how to come to a known number of digits."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.reading.touching import Way, ways_to_cut, ways_together

HEIGHT = 60


def blocks(widths: Sequence[int], bridge: int = 6) -> NDArray[np.float32]:
    """Return blocks of ink of these widths, held together by thin bridges."""
    ink = np.zeros((HEIGHT, sum(widths) + bridge * (len(widths) - 1)), np.float32)
    ink[30:33] = 1
    left = 0
    for width in widths:
        ink[:, left : left + width] = 1
        left += width + bridge
    return ink


def squares_are_digits(pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Return how much pieces look like a block 30 pixels wide, as a logarithm."""
    wide = np.array([(piece[:10] > 0).any(axis=0).sum() for piece in pieces])
    return np.asarray(-np.abs(wide - 30) / 3)


@given(st.integers(1, 5))
def test_piece_falls_apart_where_it_is_thin(count: int) -> None:
    ways = ways_to_cut(blocks([30] * count), HEIGHT, squares_are_digits)
    best = max(ways.values(), key=lambda way: way.score)
    assert len(best.digits) == count
    starts, stops = zip(*best.digits, strict=True)
    assert (starts[0], stops[-1]) == (0, 36 * count - 6)
    assert starts[1:] == stops[:-1]
    for number, stop in enumerate(stops[:-1], 1):
        assert 36 * number - 6 <= stop <= 36 * number


@given(st.lists(st.integers(8, 50), min_size=1, max_size=5))
def test_way_of_each_number_covers_the_piece(widths: list[int]) -> None:
    ink = blocks(widths)
    ways = ways_to_cut(ink, HEIGHT, squares_are_digits)
    assert 1 in ways
    for count, way in ways.items():
        edges = [0, *(stop for _, stop in way.digits)]
        assert list(way.digits) == list(pairwise(edges))
        assert (len(way.digits), edges[-1]) == (count, ink.shape[1])


WAYS = st.dictionaries(st.integers(0, 3), st.floats(-9, 0), min_size=1, max_size=3)


@given(st.lists(WAYS, min_size=1, max_size=4), st.integers(0, 8))
def test_ways_together_are_the_best_of_all_combinations(
    scores: list[dict[int, float]], digits: int
) -> None:
    pieces = [
        {count: Way(score, [(0, 1)] * count) for count, score in some.items()} for some in scores
    ]
    sums = [
        sum(way.score for way in chosen)
        for chosen in product(*(some.values() for some in pieces))
        if sum(len(way.digits) for way in chosen) == digits
    ]
    found = ways_together(pieces, digits)
    if found is None:
        assert not sums
        return
    assert sum(len(way.digits) for way in found) == digits
    np.testing.assert_allclose(sum(way.score for way in found), max(sums))
