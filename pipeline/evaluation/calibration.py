"""Calibration: make confidence agree with accuracy by one temperature, and measure how well.

Temperature scaling is fitted here and not by scikit-learn, whose own wants an estimator around it.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from pipeline.evaluation.statistics import wilson_interval

BINS = 15  # of equal width, as Guo et al. (2017) have them
COLDEST, HOTTEST = 0.1, 10.0  # temperatures; a network that is never wrong would have none
LEAST = np.finfo(np.float32).tiny  # a probability that the network rounds to 0 counts as this


def scaled(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Return probabilities after temperature scaling: the logits divided by a temperature.

    One number makes all of them more or less extreme, and no image changes its class (Guo, Pleiss,
    Sun and Weinberger, 2017).

    Args:
        probabilities: Shape (n, classes).
        temperature: 1 leaves them as they are.
    """
    return np.exp(_log_scaled(probabilities, temperature))


def _log_scaled(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    logarithms = np.log(np.maximum(probabilities.astype(np.float64), LEAST))
    return np.asarray(log_softmax(logarithms / temperature, axis=1))


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int32]) -> float:
    """Return the temperature, 0.1 to 10, that makes labels most likely, to four decimals.

    Args:
        probabilities: Shape (n, classes), of images that the network was not trained with.
        labels: Shape (n,).
    """

    def loss(logarithm: float) -> float:
        return negative_log_likelihood(probabilities, labels, float(np.exp(logarithm)))

    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    # Where all classes are equally probable, every temperature is as good as any other.
    return round(float(np.exp(found.x)), 4) if found.fun < loss(0.0) else 1.0


def confidences(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the highest probability of each image, to nine decimals.

    They are rounded before anything is decided by them, as they are stored, so that a decision
    from the stored values is the same.

    Args:
        probabilities: Shape (n, classes).
    """
    return np.asarray(np.round(probabilities.max(axis=1), 9))


def negative_log_likelihood(
    probabilities: NDArray[np.float32], labels: NDArray[np.int32], temperature: float
) -> float:
    """Return the mean of -log(probability of the label) at a temperature, in nats.

    It is computed from logarithms: a probability clipped where it becomes too small for a float
    would be worth no more than the clip, and a network might seem best where it is overconfident.
    """
    logarithms = _log_scaled(probabilities, temperature)
    return float(-logarithms[np.arange(len(labels)), labels].mean())


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> float:
    """Return the expected calibration error: |accuracy - confidence|, averaged over 15 bins.

    After Naeini, Cooper and Hauskrecht (2015).
    """
    bins = reliability_table(confidence, correct)
    distances = (bins["accuracy"] - bins["confidence"]).abs()
    return float((distances * bins["images"]).sum() / len(confidence))


def reliability_table(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> pd.DataFrame:
    """Return what share of answers is right, by confidence.

    Args:
        confidence: Shape (n,), in [0, 1].
        correct: Which answers are right, shape (n,).

    Returns:
        A row for each of the 15 bins that holds any image: images, confidence (their mean),
        accuracy, and low and high, the accuracy's 95% interval (Wilson, 1927).
    """
    edges = np.linspace(0, 1, BINS + 1)[1:-1]
    table = pd.DataFrame({"bin": np.digitize(confidence, edges, right=True)})
    table["confidence"], table["accuracy"] = confidence, correct.astype(float)
    groups = table.groupby("bin")
    bins = groups.mean()
    bins.insert(0, "images", groups.size())
    right = groups["accuracy"].sum().astype(int)
    intervals = [wilson_interval(*counts) for counts in zip(right, bins["images"], strict=True)]
    bins[["low", "high"]] = intervals
    return bins.reset_index(drop=True)
