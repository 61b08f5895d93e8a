"""Set temperature and thresholds on validation images, and judge them on test images."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field
from sklearn.metrics import brier_score_loss

from pipeline.evaluation.calibration import (
    confidences,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    scaled,
)
from pipeline.evaluation.rejection import choose_threshold, decide, decided_facts
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import Section, unique


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``."""

    batch_size: Annotated[int, Field(gt=0, lt=2**31)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    target_errors: Annotated[
        list[Annotated[float, Field(ge=0.0001, le=0.1)]],
        Field(min_length=1),
        AfterValidator(unique),
    ]
    certainty: Annotated[float, Field(ge=0.5, le=0.999)]


class Answers(NamedTuple):
    """A network's probabilities for some images, with the labels of these images.

    Attributes:
        probabilities: Shape (n, classes), float32.
        labels: Shape (n,).
    """

    probabilities: NDArray[np.float32]
    labels: NDArray[np.int32]

    @property
    def correct(self) -> NDArray[np.bool_]:
        """Which images are classified correctly, shape (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1) == self.labels)

    def confidences(self, temperature: float) -> NDArray[np.float64]:
        """Return the calibrated confidences, shape (n,)."""
        return confidences(scaled(self.probabilities, temperature))


def read_answers(path: Path, labels: NDArray[np.int32]) -> Answers:
    """Return the answers in an .npy file, with the labels of their images, shape (n,).

    Raises:
        PipelineError: The file is damaged, or does not have an answer for each label.
        OSError: The file cannot be opened.
    """
    probabilities = load_array(path, np.float32)
    if probabilities.ndim != 2 or len(probabilities) != len(labels):  # noqa: PLR2004
        raise PipelineError(
            f"{path}: expected shape ({len(labels)}, classes), found {probabilities.shape}"
        )
    return Answers(probabilities, labels)


def operating_points(validation: Answers, params: EvaluateParams) -> dict[str, Any]:
    """Return the temperature, and the threshold of each target error, as JSON types.

    The threshold is one of calibrated confidence; None where none is sure to reach the target.

    Args:
        validation: Answers for images that the network was not trained with.
        params: The target errors, and the certainty with which they are to be kept.
    """
    temperature = fit_temperature(*validation)
    confidence, correct = validation.confidences(temperature), validation.correct
    return {
        "temperature": temperature,
        "certainty": params.certainty,
        "validation_images": len(correct),
        "thresholds": {
            f"{target:g}": choose_threshold(confidence, correct, target, params.certainty)
            for target in params.target_errors
        },
    }


def assessment(test: Answers, points: dict[str, Any]) -> dict[str, Any]:
    """Return how well operating points do on other images, as JSON types.

    Args:
        test: Answers for images that neither the network nor the operating points have seen.
        points: As ``operating_points`` returns them.
    """
    temperature = points["temperature"]
    confidence, correct = test.confidences(temperature), test.correct
    return {
        "calibration": {
            "before": _calibration(test, 1.0),
            "after": _calibration(test, temperature),
        },
        "rejection": {
            target: decided_facts(decide(confidence, correct, threshold))
            for target, threshold in points["thresholds"].items()
        },
    }


def _calibration(answers: Answers, temperature: float) -> dict[str, float]:
    probabilities = scaled(answers.probabilities, temperature)
    return {
        "expected_calibration_error": expected_calibration_error(
            confidences(probabilities), answers.correct
        ),
        "negative_log_likelihood": negative_log_likelihood(*answers, temperature),
        "brier_score": float(
            brier_score_loss(
                answers.labels,
                probabilities,
                labels=range(probabilities.shape[1]),
                scale_by_half=False,
            )
        ),
    }
