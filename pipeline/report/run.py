"""The results of a run: everything that its page shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


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
    metrics: Mapping[str, Any]
    points: Mapping[str, Any]
    by_class: pd.DataFrame
    reliability: pd.DataFrame
    risk_coverage: pd.DataFrame
    robustness: pd.DataFrame
    curves: pd.DataFrame
    parameters: Mapping[str, Any]
    environment: Mapping[str, Any]

    def name(self, label: int) -> str:
        """Return the name of a class: its number, unless the parameters have another."""
        names = self.parameters["preprocess"].get("class_names")
        return names[label] if names else str(label)
