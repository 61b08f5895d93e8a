import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.split import stratified_choice
from pipeline.runtime.errors import PipelineError


@given(st.lists(st.integers(0, 3), min_size=8, max_size=300), st.data())
def test_split_gives_each_class_its_share_rounded(labels: list[int], data: st.DataObject) -> None:
    array = np.array(labels, np.uint8)
    size = data.draw(st.integers(1, len(array) - 1))
    try:
        chosen = stratified_choice(array, size, classes=4, seed=0)
    except PipelineError:
        # Only where a class has fewer images than one on either side would take.
        counts = np.bincount(array, minlength=4)
        shares = counts * size / len(array)
        assert ((shares < 1) | (shares > counts - 1)).any()
        return
    assert chosen.sum() == size
    for label in range(4):
        of_class = array == label
        assert abs(chosen[of_class].sum() - of_class.sum() * size / len(array)) < 1


def test_seed_decides_which_are_held_out_and_nothing_else() -> None:
    labels = np.arange(200, dtype=np.uint8) % 10
    first, same, other = (stratified_choice(labels, 50, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert np.bincount(labels[other]).tolist() == [5] * 10
