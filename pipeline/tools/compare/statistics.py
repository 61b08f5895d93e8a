"""Statistics of two classifiers on the same images: is the difference more than chance?

Only discordant images tell them apart, those that one classifies correctly and the other does
not: ``gains`` counts those that only the second classifies correctly, ``losses`` those that only
the first does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, binomtest, norm, t

from pipeline.evaluation.statistics import ALPHA


def mcnemar_p_values(losses: int, gains: int) -> tuple[float, float]:
    """Return the exact p-value and the mid-p-value of McNemar's test, both two-sided.

    Under the null hypothesis, that both classifiers are equally good, a discordant image is a
    gain with probability one half. The exact test keeps its level whatever the counts. The
    mid-p test is less conservative and nearly always keeps it (Fagerland, Lydersen and Laake,
    2013).
    """
    discordant = losses + gains
    if not discordant:
        return 1.0, 1.0
    exact = float(binomtest(gains, discordant).pvalue)
    point = float(binom.pmf(gains, discordant, 0.5))
    return exact, exact - (point / 2 if losses == gains else point)


def paired_bootstrap_interval(losses: int, gains: int, images: int) -> tuple[float, float]:
    """Return the 95% percentile interval of the difference in accuracy, a share.

    The difference in a resample of the images is a sum of independent draws of -1, 0 and 1. Its
    distribution over *all* resamples follows from a power of the characteristic function, so
    nothing is drawn and no seed is needed.

    Half an image is added to each cell of the 2 x 2 table (Agresti and Min, 2005). Without that,
    the interval contains the true difference too seldom when few images are discordant, and has
    no width when none is.
    """
    loss, gain = (losses + 0.5) / (images + 2), (gains + 0.5) / (images + 2)
    sums = np.arange(-images, images + 1)
    frequencies = np.arange(images + 1) * (2 * np.pi / len(sums))
    one = (1 - loss - gain) + gain * np.exp(-1j * frequencies) + loss * np.exp(1j * frequencies)
    # Position k of the inverse transform holds the sum k modulo the number of sums.
    probabilities = np.roll(np.fft.irfft(one**images, len(sums)), images)
    low = np.searchsorted(np.cumsum(probabilities), ALPHA / 2)
    high = np.searchsorted(np.cumsum(probabilities[::-1]), ALPHA / 2)
    return float(sums[low] / images), float(-sums[high] / images)


def smallest_significant_difference(discordant: int, images: int) -> float | None:
    """Return the smallest difference in accuracy, a share, that the exact test finds significant.

    None if no difference is, with so few discordant images: with five, even five gains and no
    loss have p = 0.0625.
    """
    losses = int(binom.ppf(ALPHA / 2, discordant, 0.5)) - 1  # the most that is still significant
    return (discordant - 2 * losses) / images if losses >= 0 else None


def two_way_bootstrap_interval(
    base: NDArray[np.bool_], revision: NDArray[np.bool_], resamples: int = 10_000
) -> tuple[float, float]:
    """Return the 95% percentile interval of the difference in mean accuracy of two recipes.

    Each resample draws seeds of either recipe and, the same for both, images. So the interval is
    for other seeds and other images of the same kind. This is the pigeonhole bootstrap (Owen,
    2007). It counts three times the variance that comes neither from the seed nor from the image
    alone, which makes the interval rather too wide. For few seeds it would be too narrow, so the
    deviations between seeds are scaled as in Student's t interval.

    Args:
        base: Which images the runs of a recipe get right, shape (seeds, images), two or more.
        revision: The same of the other recipe, for the same images; the number of seeds may
            differ.
        resamples: How many; they are drawn with a fixed seed.
    """
    random = np.random.default_rng(0)
    # Images with the same column are interchangeable: each column once, with its count.
    patterns, counts = np.unique(np.vstack([base, revision]), axis=1, return_counts=True)
    images = base.shape[1]
    drawn = random.multinomial(images, counts / images, resamples)
    correct = drawn @ patterns.T / images  # (resamples, runs): accuracy of each run
    means = []
    for runs in (correct[:, : len(base)], correct[:, len(base) :]):
        seeds = runs.shape[1]
        times = random.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
        centre = runs.mean(axis=1)
        student = t.ppf(1 - ALPHA / 2, seeds - 1) / norm.ppf(1 - ALPHA / 2)
        stretch = student * np.sqrt(seeds / (seeds - 1))
        means.append(centre + stretch * ((runs * times).sum(axis=1) / seeds - centre))
    low, high = np.quantile(means[1] - means[0], [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)
