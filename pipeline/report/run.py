"""The results of a run: everything that its page shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import FiniteFloat
from typing_extensions import TypedDict


class Interval(TypedDict):
    """Of 95% confidence."""

    low: FiniteFloat
    high: FiniteFloat


class Scores(TypedDict):
    """How well confidence agrees with accuracy; 0 is perfect."""

    expected_calibration_error: FiniteFloat
    negative_log_likelihood: FiniteFloat
    brier_score: FiniteFloat


class Calibration(TypedDict):
    """Before and after the temperature."""

    before: Scores
    after: Scores


class Decision(TypedDict):
    """The share of images that a threshold decides, the errors in it, and their share (risk)."""

    coverage: FiniteFloat
    errors: int
    risk: NotRequired[FiniteFloat]
    risk_interval: NotRequired[Interval]


class Metrics(TypedDict):
    """What ``evaluate`` measures, as far as it is shown; ``rejection`` is by target error."""

    accuracy: FiniteFloat
    accuracy_interval: Interval
    errors: int
    parameters: int
    calibration: Calibration
    rejection: dict[str, Decision]


class OperatingPoints(TypedDict):
    """What ``evaluate`` sets; ``thresholds`` are by target error."""

    temperature: FiniteFloat
    certainty: FiniteFloat
    validation_images: int
    thresholds: dict[str, FiniteFloat | None]


@dataclass(frozen=True)
class Run:
    """The results of a run, as the stages write them.

    Attributes:
        images: Of the test set, shape (n, height, width), in [0, 1].
        predictions: Of those images.
        metrics: Of those predictions.
        points: The operating points.
        by_class: Precision, recall, F1 and support.
        reliability: Accuracy by confidence, before and after calibration.
        risk_coverage: Errors among the images decided, by their share.
        robustness: Accuracy by perturbation and strength.
        curves: The learning curves.
        parameters: Sections of the parameter file.
        environment: What the network was trained on.
    """

    images: NDArray[np.float32]
    predictions: pd.DataFrame
    metrics: Metrics
    points: OperatingPoints
    by_class: pd.DataFrame
    reliability: pd.DataFrame
    risk_coverage: pd.DataFrame
    robustness: pd.DataFrame
    curves: pd.DataFrame
    parameters: Mapping[str, Any]
    environment: Mapping[str, Any]
