"""The curve against plain loops, the guarantee against populations whose risk is known."""

from collections.abc import Callable
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from pipeline.evaluation import rejection
from pipeline.evaluation.rejection import (
    CURVE_POINTS,
    Decided,
    choose_threshold,
    decide,
    decided_facts,
    fewest_images,
    risk_coverage,
)
from pipeline.evaluation.statistics import wilson_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rule = Callable[[Floats, Bools, float, float], float | None]

SPLITS = 1000
MANY, FEW = 100_000, 40  # levels of confidence: nearly without ties, and with 25 or more at each
CASES = [
    (1000, 0.05, 0.95),
    pytest.param(5000, 0.005, 0.9, marks=pytest.mark.slow),
    pytest.param(5000, 0.001, 0.9, marks=pytest.mark.slow),
]
ANSWERS = st.lists(
    st.tuples(st.sampled_from([0.25, 0.5, 0.75, 0.9, 1.0]), st.booleans()), min_size=1, max_size=40
)

remembered = cache(fewest_images)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute once what is the same for all splits."""
    monkeypatch.setattr(rejection, "fewest_images", remembered)


def plain_curve(confidence: Floats, correct: Bools) -> list[tuple[float, int, int]]:
    """Return threshold, decided and errors for each confidence that occurs, the highest first."""
    answers = list(zip(confidence.tolist(), correct.tolist(), strict=True))
    rows = []
    for threshold in sorted(set(confidence.tolist()), reverse=True):
        decided = [right for value, right in answers if value >= threshold]
        rows.append((threshold, len(decided), decided.count(False)))
    return rows


def unzipped(answers: list[tuple[float, bool]]) -> tuple[Floats, Bools]:
    confidence, correct = map(np.array, zip(*answers, strict=True))
    return confidence, correct


@given(ANSWERS)
def test_curve_equals_a_plain_loop_over_thresholds(answers: list[tuple[float, bool]]) -> None:
    curve = risk_coverage(*unzipped(answers))
    expected = [
        (threshold, decided / len(answers), errors / decided, *wilson_interval(errors, decided))
        for threshold, decided, errors in plain_curve(*unzipped(answers))
    ]
    assert list(curve.itertuples(index=False, name=None)) == expected


def test_long_curve_is_thinned_and_keeps_its_ends() -> None:
    random = np.random.default_rng(0)
    confidence, correct = random.random(5000), random.random(5000) < 0.9
    curve = risk_coverage(confidence, correct)
    assert len(curve) == CURVE_POINTS
    assert curve["threshold"].iloc[0] == confidence.max()
    assert curve["coverage"].iloc[-1] == 1
    assert curve["risk"].iloc[-1] == (~correct).mean()
    thinner = curve.iloc[::100]
    sure = [confidence >= threshold for threshold in thinner["threshold"]]
    assert thinner["coverage"].tolist() == [kept.mean() for kept in sure]
    assert thinner["risk"].tolist() == [(~correct[kept]).mean() for kept in sure]


def test_curve_of_constant_confidence_is_one_point() -> None:
    for confidence, right in product((0.1, 1.0), (True, False)):
        curve = risk_coverage(np.full(50, confidence), np.full(50, right))
        assert len(curve) == 1
        point = curve.iloc[0][["threshold", "coverage", "risk"]].tolist()
        assert point == [confidence, 1, not right]
        assert not curve.isna().any(axis=None)


@given(ANSWERS, st.floats(0, 1))
def test_decided_are_those_of_at_least_the_threshold(
    answers: list[tuple[float, bool]], threshold: float
) -> None:
    sure = [right for value, right in answers if value >= threshold]
    expected = Decided(len(answers), len(sure), sure.count(False))
    assert decide(*unzipped(answers), threshold) == expected


def test_facts_are_coverage_and_risk_with_its_interval() -> None:
    low, high = wilson_interval(3, 80)
    assert decided_facts(Decided(images=100, decided=80, errors=3)) == {
        "coverage": 0.8,
        "errors": 3,
        "risk": 3 / 80,
        "risk_interval": {"low": low, "high": high},
    }
    nothing = decide(np.ones(3), np.array([True, True, False]), None)
    assert nothing == Decided(images=3, decided=0, errors=0)
    assert decided_facts(nothing) == {"coverage": 0.0, "errors": 0}


@settings(max_examples=30)
@given(ANSWERS, st.sampled_from([0.1, 0.3, 0.6]), st.sampled_from([0.5, 0.8]))
def test_threshold_is_the_lowest_with_enough_images_for_its_errors(
    answers: list[tuple[float, bool]], target: float, certainty: float
) -> None:
    fewest = fewest_images(len(answers), target, certainty).tolist()
    enough = [
        threshold
        for threshold, decided, errors in plain_curve(*unzipped(answers))
        if errors < len(fewest) and decided >= fewest[errors]
    ]
    expected = min(enough, default=None)
    assert choose_threshold(*unzipped(answers), target, certainty) == expected


def test_classifier_without_errors_decides_all_and_one_that_is_always_wrong_nothing() -> None:
    for levels in (1, FEW, MANY):
        confidence = np.random.default_rng(0).integers(levels, size=500) / levels
        found = choose_threshold(confidence, np.ones(500, bool), 0.05, 0.9)
        assert found == confidence.min()
        assert choose_threshold(confidence, np.zeros(500, bool), 0.1, 0.9) is None


def test_too_few_images_prove_nothing() -> None:
    for count in (1, 2, 45):  # 0.95^45 is just less than 0.1, and 0.95^44 more
        found = choose_threshold(np.ones(count), np.ones(count, bool), 0.05, 0.9)
        assert found == (1.0 if count == 45 else None)


def test_images_of_equal_confidence_are_decided_together_or_not_at_all() -> None:
    confidence = np.repeat([1.0, 0.5], [100, 100])
    correct = np.repeat([True, False], [150, 50])
    assert choose_threshold(confidence, correct, 0.1, 0.9) == 1.0
    # Were they told apart, the first half of the unsure ones would be decided too.
    ranked = confidence - np.arange(200) * 1e-6
    assert choose_threshold(ranked, correct, 0.1, 0.9) == pytest.approx(0.5, abs=1e-3)


@settings(max_examples=10)
@given(st.integers(1, 400), st.floats(0.01, 0.5), st.floats(0.5, 0.99))
def test_more_errors_need_more_images(images: int, target: float, certainty: float) -> None:
    fewest = fewest_images(images, target, certainty)
    assert (np.diff(fewest) > 0).all()
    assert (fewest <= images).all()


@pytest.mark.parametrize(("target", "certainty"), [(0.001, 0.9), (0.01, 0.95), (0.05, 0.99)])
def test_a_single_test_is_the_exact_binomial_one(target: float, certainty: float) -> None:
    """Of Clopper and Pearson, where there are images for no more than one."""
    images = int(np.log(1 - certainty) / np.log(1 - target)) + 2
    (least,) = fewest_images(images, target, certainty)
    for count in (least, least - 1):
        test = binomtest(0, count, target, alternative="less")
        shown = test.proportion_ci(certainty, method="exact").high <= target
        assert shown == (test.pvalue <= 1 - certainty) == (count == least)


def crossing_probability(fewest: NDArray[np.int64], images: int, target: float) -> float:
    """Return how probable it is, image by image, that errors are few enough for their number."""
    going_on = np.zeros(len(fewest) + 1)  # by errors so far; the last stands for all beyond
    going_on[0], crossed = 1.0, 0.0
    for count in range(1, images + 1):
        wrong = going_on * target
        going_on -= wrong
        going_on[1:] += wrong[:-1]
        going_on[-1] += wrong[-1]
        few_enough = np.searchsorted(fewest, count, side="right")
        crossed += going_on[:few_enough].sum()
        going_on[:few_enough] = 0
    return float(crossed)


@pytest.mark.parametrize(("images", "target", "certainty"), [*CASES, (200, 0.1, 0.8)])
def test_all_tests_together_err_as_often_as_they_may(
    images: int, target: float, certainty: float
) -> None:
    found = crossing_probability(fewest_images(images, target, certainty), images, target)
    assert 0.97 * (1 - certainty) < found <= 1 - certainty


def likely_counts(probability: float, trials: int = SPLITS) -> range:
    """Return how often something of that probability happens, in all but one of 1,000 cases."""
    low, high = binom.ppf([0.0005, 0.9995], trials, probability).astype(int)
    return range(low, high + 1)


def simulated(
    rule: Rule, errors: Floats, images: int, target: float, certainty: float
) -> tuple[Floats, Floats]:
    """Return what a rule's thresholds are truly worth, for 1,000 draws of images.

    Args:
        rule: Chooses a threshold.
        errors: The probability of an error by level of confidence, from the lowest on. All levels
            are equally probable.
        images: How many are drawn each time.
        target: The risk.
        certainty: That it is kept.

    Returns:
        Coverage and risk of each, shape (1000,); both 0 where no threshold is chosen.
    """
    random = np.random.default_rng(0)
    levels = len(errors)
    risks = errors[::-1].cumsum()[::-1] / np.arange(levels, 0, -1)
    worth = np.zeros((SPLITS, 2))
    for row in worth:
        level = random.integers(levels, size=images)
        correct = random.random(images) >= errors[level]
        threshold = rule(level / levels, correct, target, certainty)
        if threshold is not None:
            chosen = round(threshold * levels)
            row[:] = 1 - chosen / levels, risks[chosen]
    return worth[:, 0], worth[:, 1]


def naive(confidence: Floats, correct: Bools, target: float, _: float) -> float | None:
    """Return the lowest threshold whose risk among these very images is at most the target."""
    order = np.argsort(-confidence)
    decided = np.arange(1, len(order) + 1)
    (kept,) = np.nonzero((~correct[order]).cumsum() <= target * decided)
    return float(confidence[order][kept[-1]]) if len(kept) else None


def each_on_its_own(
    confidence: Floats, correct: Bools, target: float, certainty: float
) -> float | None:
    """Return the lowest threshold that an exact test speaks for, as if it were the only one."""
    order = np.argsort(-confidence)
    decided = np.arange(1, len(order) + 1)
    shown = binom.cdf((~correct[order]).cumsum(), decided, target) <= 1 - certainty
    return float(confidence[order][shown][-1]) if shown.any() else None


def rising(levels: int, target: float) -> Floats:
    """Return errors that rise smoothly as confidence falls, with the target reached at 80%."""
    doubt = 1 - (np.arange(levels) + 0.5) / levels
    return np.asarray(target * 5 / 0.8**4 * doubt**4)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("levels", [MANY, FEW])
@pytest.mark.parametrize(("images", "target", "certainty"), CASES)
def test_errors_just_above_the_target_are_let_through_as_seldom_as_promised(
    images: int, target: float, certainty: float, levels: int
) -> None:
    errors = np.full(levels, 1.0001 * target)
    _, risk = simulated(choose_threshold, errors, images, target, certainty)
    broken = int((risk > target).sum())
    # Here the promise is just kept, so that among 1,000 splits chance may have it either way.
    if levels == MANY:
        assert broken in likely_counts(1 - certainty)
    else:
        assert broken <= likely_counts(1 - certainty)[-1]


@pytest.mark.parametrize("rule", [naive, each_on_its_own])
@pytest.mark.parametrize(("images", "target", "certainty"), CASES)
def test_simulation_finds_out_a_rule_that_breaks_the_promise(
    rule: Rule, images: int, target: float, certainty: float
) -> None:
    errors = np.full(MANY, 1.0001 * target)
    _, risk = simulated(rule, errors, images, target, certainty)
    assert (risk > target).sum() > likely_counts(1 - certainty)[-1]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("levels", [MANY, FEW])
@pytest.mark.parametrize(("images", "target", "certainty"), CASES)
def test_errors_that_rise_as_confidence_falls_are_kept_below_the_target(
    images: int, target: float, certainty: float, levels: int
) -> None:
    errors = rising(levels, target)
    coverage, risk = simulated(choose_threshold, errors, images, target, certainty)
    assert (risk > target).mean() <= 1 - certainty
    assert np.median(coverage) > 0.6 * 0.8
    # MNIST has wrong labels among the surest images: more than the proof presumes.
    errors[-levels // 10 :] = 1.5 * target
    _, risk = simulated(choose_threshold, errors, images, target, certainty)
    assert 0 < (risk > target).mean() <= 1 - certainty
