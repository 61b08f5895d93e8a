"""The statistics against published examples, other libraries, plain arithmetic and simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap, norm
from statsmodels.stats.contingency_tables import mcnemar

from pipeline.tools.compare.statistics import (
    mcnemar_p_values,
    paired_bootstrap_interval,
    smallest_significant_difference,
    two_way_bootstrap_interval,
)

counts = st.integers(0, 60)


@pytest.mark.parametrize(
    ("losses", "gains", "exact", "mid"),
    [
        # Fagerland, Lydersen and Laake (2013), tables 1 and 2: the data of Bentur et al. and of
        # Cavo et al., with the p-values that the text gives for them.
        (1, 7, 0.0703, 0.0391),
        (6, 16, 0.0525, 0.0347),
    ],
)
def test_p_values_are_those_of_published_examples(
    losses: int, gains: int, exact: float, mid: float
) -> None:
    assert mcnemar_p_values(losses, gains) == pytest.approx((exact, mid), abs=0.00005)


@settings(deadline=None)
@given(counts, counts)
def test_p_values_are_those_of_exact_arithmetic(losses: int, gains: int) -> None:
    discordant, fewer = losses + gains, min(losses, gains)
    point = Fraction(math.comb(discordant, fewer), 2**discordant)
    tail = sum(Fraction(math.comb(discordant, k), 2**discordant) for k in range(fewer + 1))
    # Mid-p counts what was observed half; without discordant images there is nothing to count.
    exact = min(2 * tail, Fraction(1))
    mid = 1 - point / 2 if losses == gains else 2 * tail - point
    expected = (1.0, 1.0) if discordant == 0 else (float(exact), float(mid))
    assert mcnemar_p_values(losses, gains) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)
@given(counts, counts)
def test_exact_p_value_is_that_of_statsmodels(losses: int, gains: int) -> None:
    if losses + gains:
        expected = mcnemar([[0, losses], [gains, 0]], exact=True).pvalue
        assert mcnemar_p_values(losses, gains)[0] == pytest.approx(min(expected, 1), rel=1e-9)


@settings(deadline=None)
@given(counts, counts, st.integers(0, 200))
def test_interval_of_a_difference_is_that_of_repeated_convolution(
    losses: int, gains: int, concordant: int
) -> None:
    images = losses + gains + concordant
    if images == 0:
        return
    loss, gain = (losses + 0.5) / (images + 2), (gains + 0.5) / (images + 2)
    sums = np.ones(1)
    for _ in range(images):
        sums = np.convolve(sums, [loss, 1 - loss - gain, gain])
    values = np.arange(-images, images + 1) / images
    low = values[np.cumsum(sums) >= 0.025][0]
    high = values[np.cumsum(sums[::-1])[::-1] >= 0.025][-1]
    assert paired_bootstrap_interval(losses, gains, images) == pytest.approx((low, high))


@pytest.mark.parametrize(("losses", "gains"), [(93, 89), (120, 60), (512, 57), (40, 45)])
def test_interval_of_a_difference_is_that_of_resampling_images(losses: int, gains: int) -> None:
    images = 10_000
    outcomes = np.repeat([-1.0, 1.0, 0.0], [losses, gains, images - losses - gains])
    found = bootstrap(
        (outcomes,), np.mean, n_resamples=2000, batch=200, method="percentile", rng=0
    ).confidence_interval
    # Two thousand resamples leave the bounds uncertain by a few images.
    assert paired_bootstrap_interval(losses, gains, images) == pytest.approx(found, abs=3e-4)


@settings(deadline=None)
@given(counts, counts, st.integers(1, 10_000))
def test_exchanging_the_classifiers_mirrors_everything(
    losses: int, gains: int, concordant: int
) -> None:
    images = losses + gains + concordant
    low, high = paired_bootstrap_interval(losses, gains, images)
    assert paired_bootstrap_interval(gains, losses, images) == (-high, -low)
    assert mcnemar_p_values(gains, losses) == pytest.approx(mcnemar_p_values(losses, gains))


def test_no_discordant_image_is_no_proof_of_equality() -> None:
    assert paired_bootstrap_interval(0, 0, 200) == (-0.01, 0.01)


@pytest.mark.parametrize("discordant", [*range(12), 50, 99, 100, 150, 183, 250])
def test_smallest_significant_difference_is_where_the_exact_test_turns(discordant: int) -> None:
    significant = [
        2 * gains - discordant
        for gains in range(discordant + 1)
        if 2 * gains > discordant and mcnemar_p_values(discordant - gains, gains)[0] < 0.05
    ]
    expected = min(significant) / 10_000 if significant else None
    assert smallest_significant_difference(discordant, 10_000) == expected
    assert (expected is None) == (discordant < 6)


@settings(deadline=None)
@given(st.integers(1, 2000))
def test_exact_test_errs_at_most_once_in_twenty_however_many_images_are_discordant(
    discordant: int,
) -> None:
    """Not simulated: the chance of each outcome of a fair coin, where the test calls it unfair."""
    least = smallest_significant_difference(discordant, discordant)
    if least is not None:
        losses = round(discordant * (1 - least) / 2)
        outcomes = sum(math.comb(discordant, k) for k in range(losses + 1))
        assert Fraction(2 * outcomes, 2**discordant) < Fraction(1, 20)


PAIRS = 2000


# The lead is the better one's share of the discordant images, above half.
@pytest.mark.slow
@pytest.mark.parametrize(("discordant", "lead"), [(0.02, 0.0), (0.01, 0.2)])
def test_interval_covers_the_truth_in_95_of_100_pairs(discordant: float, lead: float) -> None:
    random = np.random.default_rng(0)
    loss, gain = discordant * (0.5 - lead / 2), discordant * (0.5 + lead / 2)
    pairs = random.multinomial(10_000, [loss, gain, 1 - discordant], size=PAIRS)
    covered = sum(
        low <= gain - loss <= high
        for low, high in (
            paired_bootstrap_interval(int(losses), int(gains), 10_000) for losses, gains, _ in pairs
        )
    )
    assert 0.93 * PAIRS <= covered <= 0.97 * PAIRS


def test_interval_of_few_images_covers_the_truth_too() -> None:
    """Where the bare bootstrap covers it in half of all pairs."""
    random = np.random.default_rng(0)
    pairs = random.multinomial(200, [0.0015, 0.0035, 0.995], size=PAIRS)
    intervals = [paired_bootstrap_interval(int(a), int(b), 200) for a, b, _ in pairs]
    assert sum(low <= 0.002 <= high for low, high in intervals) >= 0.95 * PAIRS


def simulated_recipe(
    random: np.random.Generator, difficulty: NDArray[np.float64], seeds: int, skill: float
) -> NDArray[np.bool_]:
    """Return which images each of ``seeds`` runs gets right, of runs that differ in skill too."""
    skills = skill + 0.1 * random.standard_normal((seeds, 1))
    return skills + random.standard_normal((seeds, len(difficulty))) > difficulty


@pytest.mark.slow
def test_two_way_interval_covers_the_true_difference_as_often_as_it_promises() -> None:
    random = np.random.default_rng(0)
    skills, covered = (2.0, 2.1), 0
    # Of an image drawn anew, judged by a run drawn anew: skill - difficulty + noise is normal.
    spread = math.sqrt(1 + 0.5**2 + 0.1**2)
    first, second = (norm.cdf(skill / spread) for skill in skills)
    for _ in range(400):
        difficulty = 0.5 * random.standard_normal(500)
        base, recipe = (simulated_recipe(random, difficulty, 10, skill) for skill in skills)
        low, high = two_way_bootstrap_interval(base, recipe, resamples=400)
        covered += low <= second - first <= high
    # Rather too wide than too narrow (Owen, 2007); two standard errors of the count below 95%.
    assert covered >= 371


def test_two_way_interval_is_that_of_resampling_the_table_itself() -> None:
    random = np.random.default_rng(1)
    difficulty = 0.5 * random.standard_normal(300)
    base = simulated_recipe(random, difficulty, 40, 1.0)
    recipe = simulated_recipe(random, difficulty, 60, 1.2)  # so many that t is nearly normal
    differences = []
    for _ in range(4000):
        images = random.integers(0, 300, 300)
        left = base[random.integers(0, 40, 40)][:, images]
        right = recipe[random.integers(0, 60, 60)][:, images]
        differences.append(right.mean() - left.mean())
    expected = np.quantile(differences, [0.025, 0.975])
    # Both sides are simulations of some thousand draws.
    assert two_way_bootstrap_interval(base, recipe) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    "seeds", [2, *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in (3, 10))]
)
def test_two_way_interval_covers_where_seeds_differ_much_and_are_few(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    covered = 0
    for _ in range(300):
        # Whole runs differ more than images do; both recipes are the same one.
        base, recipe = (
            random.random((seeds, 400)) < 0.9 + 0.02 * random.standard_normal((seeds, 1))
            for _ in range(2)
        )
        low, high = two_way_bootstrap_interval(base, recipe, resamples=300)
        covered += low <= 0 <= high
    assert covered >= 277  # two standard errors of the count below 95%


def test_two_way_interval_of_equal_answers_is_zero_and_swaps_with_the_sides() -> None:
    random = np.random.default_rng(3)
    answers = np.tile(random.random(200) < 0.9, (3, 1))
    assert two_way_bootstrap_interval(answers, answers) == (0, 0)
    other = simulated_recipe(random, random.standard_normal(200), 3, 1.0)
    low, high = two_way_bootstrap_interval(answers, other)
    swapped_low, swapped_high = two_way_bootstrap_interval(other, answers)
    assert (swapped_low, swapped_high) == pytest.approx((-high, -low), abs=0.02)
