import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix

from pipeline.runtime.errors import PipelineError
from pipeline.tools.compare.comparison import Comparison, compare_predictions

NO_WORSE = "no worse than the margin"
rows = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=60)


def columns(triples: list[tuple[int, int, int]]) -> tuple[list[int], list[int], list[int]]:
    actual, base, revision = (list(column) for column in zip(*triples, strict=True))
    return actual, base, revision


def tables(
    actual: list[int], base: list[int], revision: list[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    one, other = (
        pd.DataFrame({"actual": actual, "predicted": predicted, "confidence": 0.5})
        for predicted in (base, revision)
    )
    return one, other


def compared(
    correct: int = 9000, gains: int = 0, losses: int = 0, *, margin: float = 0.2
) -> Comparison:
    """Return a comparison of 10,000 images of which so many are classified alike, the rest not."""
    wrong = 10_000 - correct - gains - losses
    base = [0] * correct + [1] * gains + [0] * losses + [1] * wrong
    revision = [0] * correct + [0] * gains + [1] * losses + [1] * wrong
    return compare_predictions(*tables([0] * 10_000, base, revision), margin)


@given(rows)
def test_figures_are_those_of_scikit_learn(triples: list[tuple[int, int, int]]) -> None:
    actual, base, revision = columns(triples)
    found = compare_predictions(*tables(actual, base, revision), 0.2)
    assert found.base.share == accuracy_score(actual, base)
    assert found.revision.share == accuracy_score(actual, revision)
    assert found.difference == pytest.approx(found.revision.share - found.base.share)
    expected = confusion_matrix(actual, revision, labels=range(5)) - confusion_matrix(
        actual, base, labels=range(5)
    )
    padding = 5 - len(found.confusion_change)
    np.testing.assert_array_equal(np.pad(found.confusion_change, (0, padding)), expected)


@given(rows)
def test_classes_add_up(triples: list[tuple[int, int, int]]) -> None:
    actual, base, revision = columns(triples)
    found = compare_predictions(*tables(actual, base, revision), 0.2)
    assert found.by_class["class"].tolist() == sorted(set(actual))
    for label, images, right, wrong in found.by_class.itertuples(index=False):
        own = [triple for triple in triples if triple[0] == label]
        assert images == len(own)
        assert right == sum(one != label == other for _, one, other in own)
        assert wrong == sum(one == label != other for _, one, other in own)
    assert found.newly_right == sum(one != label == other for label, one, other in triples)
    assert found.newly_wrong == sum(one == label != other for label, one, other in triples)


OPPOSITE = {"better": "worse", "worse": "better"}


@given(rows)
def test_exchanging_the_revisions_mirrors_everything(triples: list[tuple[int, int, int]]) -> None:
    actual, base, revision = columns(triples)
    there = compare_predictions(*tables(actual, base, revision), 50)
    back = compare_predictions(*tables(actual, revision, base), 50)
    assert (there.base, there.revision) == (back.revision, back.base)
    assert (there.low, there.high) == (-back.high, -back.low)
    assert there.difference == -back.difference
    assert (there.exact_p, there.mid_p) == pytest.approx((back.exact_p, back.mid_p))
    assert (there.newly_right, there.newly_wrong) == (back.newly_wrong, back.newly_right)
    assert there.smallest_significant == back.smallest_significant
    assert there.is_equivalent == back.is_equivalent
    np.testing.assert_array_equal(there.confusion_change, -back.confusion_change)
    if there.verdict in OPPOSITE:
        assert back.verdict == OPPOSITE[there.verdict]


@given(rows, st.randoms(use_true_random=False))
def test_order_of_rows_matters_not(triples: list[tuple[int, int, int]], random: object) -> None:
    shuffled = list(triples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (compare_predictions(*tables(*columns(some)), 0.2) for some in (triples, shuffled))
    pd.testing.assert_frame_equal(one.by_class, other.by_class)
    np.testing.assert_array_equal(one.confusion_change, other.confusion_change)
    assert one.sentence == other.sentence
    assert (one.base, one.revision, one.low, one.high) == (
        other.base,
        other.revision,
        other.low,
        other.high,
    )


@given(rows)
def test_comparing_with_itself_says_so(triples: list[tuple[int, int, int]]) -> None:
    actual, base, _ = columns(triples)
    found = compare_predictions(*tables(actual, base, base), 0)
    assert found.verdict == "identical"
    assert found.sentence.startswith("Identical: ")
    assert found.is_no_worse
    assert found.is_equivalent


def test_other_errors_are_not_identical() -> None:
    """Both are wrong, but not in the same way."""
    found = compare_predictions(*tables([0] * 10_000, [1] * 10_000, [2] * 10_000), 0.2)
    assert found.verdict == "no worse than the margin"
    assert found.smallest_significant is None


@pytest.mark.parametrize(
    ("counts", "verdict", "words", "least"),
    [
        ((130, 80), "better", "Better: 90.80% → 91.30%, +0.50 (+0.22 to +0.79)", 0.30),
        ((80, 130), "worse", "Worse: 91.30% → 90.80%, −0.50 (−0.79 to −0.22)", 0.30),
        (
            (0, 8),
            "worse",
            "Worse, though by less than MARGIN: 90.08% → 90.00%, −0.08 (−0.14 to −0.03)",
            0.08,
        ),
        (
            (30, 30),
            NO_WORSE,
            "Within noise, and no worse than MARGIN: 90.30% → 90.30%, +0.00 (−0.15 to +0.15)",
            0.18,
        ),
        (
            (100, 100),
            "within noise",
            "Within noise: 91.00% → 91.00%, +0.00 (−0.28 to +0.28)",
            0.30,
        ),
        (
            (2, 1),
            NO_WORSE,
            "Within noise, and no worse than MARGIN: 90.01% → 90.02%, +0.01 (−0.03 to +0.05)",
            None,
        ),
    ],
)
def test_sentence_says_verdict_figures_and_the_smallest_significant_difference(
    counts: tuple[int, int], verdict: str, words: str, least: float | None
) -> None:
    gains, losses = counts
    found = compared(gains=gains, losses=losses)
    assert found.verdict == verdict
    words = words.replace("MARGIN", "the margin of 0.2 points")
    figures = words.replace(" (", " points (95% interval ")
    significant = (
        f"the smallest significant difference on these 10,000 images is {least:.2f} points."
        if least
        else f"only {sum(counts)} of these 10,000 images tell the two apart, too few for a "
        "significant difference."
    )
    assert found.sentence == f"{figures}; {significant}"


def test_bound_on_the_margin_is_not_above_it() -> None:
    found = compared(gains=100, losses=100)
    bound = -100 * found.low
    assert bound == pytest.approx(0.28)
    assert not compared(gains=100, losses=100, margin=0.28).is_no_worse
    assert compared(gains=100, losses=100, margin=0.2801).is_no_worse


def test_much_better_is_no_worse_but_not_equivalent() -> None:
    found = compared(gains=300, losses=10)
    assert found.is_no_worse
    assert not found.is_equivalent


def test_other_test_sets_are_refused() -> None:
    one, other = tables([0, 1], [0, 1], [0, 1])
    with pytest.raises(PipelineError, match="not the same test set: 2 images there, 1 here"):
        compare_predictions(one, other[:1], 0.2)
    with pytest.raises(PipelineError, match="1 of 2 images are of another class"):
        compare_predictions(one, other.assign(actual=[0, 2]), 0.2)
