import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.split import stratified_choice
from pipeline.runtime.errors import PipelineError


@given(st.lists(st.integers(0, 3), min_size=8, max_size=300), st.data())
def test_split_gives_each_class_its_share_rounded_and_at_least_one(
    labels: list[int], data: st.DataObject
) -> None:
    array = np.array(labels, np.uint8)
    size = data.draw(st.integers(1, len(array) - 1))
    counts = np.bincount(array, minlength=5)
    shares = counts * size / len(array)
    try:
        mask = stratified_choice(array, size, classes=5, seed=0)
    except PipelineError:
        # Only where some class would be on one side alone.
        assert size < (counts > 1).sum() or len(array) - size < (counts > 0).sum()
        return
    chosen = np.bincount(array[mask], minlength=5)
    assert chosen.sum() == size
    assert (chosen[counts > 1] > 0).all()
    assert (chosen[counts > 0] < counts[counts > 0]).all()
    if (shares[counts > 0] >= 1).all() and (shares <= counts - 1)[counts > 0].all():
        assert (abs(chosen - shares) < 1).all()


def test_seed_decides_which_are_held_out_and_nothing_else() -> None:
    labels = np.arange(200, dtype=np.uint8) % 10
    first, same, other = (stratified_choice(labels, 50, 10, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert np.bincount(labels[other]).tolist() == [5] * 10
