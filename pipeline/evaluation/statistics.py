"""Wilson's interval, and the level of all intervals and tests."""

from scipy.stats import binomtest

ALPHA = 0.05  # 1 - confidence of every interval, and the level of every test


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """Return the 95% interval of a share (Wilson, 1927)."""
    interval = binomtest(correct, images).proportion_ci(1 - ALPHA, method="wilson")
    return float(interval.low), float(interval.high)
