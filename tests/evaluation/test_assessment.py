"""Temperature and thresholds together: what they promise, and predictors of all kinds."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline.evaluation import rejection
from pipeline.evaluation.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.evaluation.calibration import (
    confidences,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_table,
    scaled,
)
from pipeline.evaluation.rejection import choose_threshold, fewest_images, risk_coverage
from pipeline.evaluation.results import write_json
from pipeline.evaluation.wording import rejection_sentence

CLASSES = 10
SPLITS = 1000


def params(*target_errors: float, certainty: float = 0.9) -> EvaluateParams:
    return EvaluateParams(
        batch_size=100, threads=1, target_errors=list(target_errors), certainty=certainty
    )


def kinds(count: int, classes: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the true probabilities of kinds of images, and what a network too sure makes of them.

    The more sums differ, the surer is the class: from images that show nothing to clear ones.
    """
    random = np.random.default_rng(seed)
    sums = random.normal(size=(count, classes)) * np.linspace(0.5, 12, count)[:, None]
    return softmax(sums, axis=1), softmax(2.5 * sums, axis=1).astype(np.float32)


def drawn(
    true: NDArray[np.float64], said: NDArray[np.float32], images: int, random: np.random.Generator
) -> Answers:
    """Return answers for images drawn from all kinds alike, with labels of their probabilities."""
    kind = random.integers(len(true), size=images)
    shares = true[kind].cumsum(axis=1)[:, :-1]
    labels = (shares < random.random((images, 1))).sum(axis=1).astype(np.int32)
    return Answers(said[kind], labels)


def test_points_are_a_temperature_and_the_threshold_of_each_target() -> None:
    validation = drawn(*kinds(1000, CLASSES, 0), 2000, np.random.default_rng(0))
    points = operating_points(validation, params(0.1, 0.05, 0.0001))
    assert list(points) == ["temperature", "certainty", "validation_images", "thresholds"]
    assert (points["certainty"], points["validation_images"]) == (0.9, 2000)
    assert points["temperature"] == pytest.approx(2.5, rel=0.1)
    assert list(points["thresholds"]) == ["0.1", "0.05", "0.0001"]
    assert points["thresholds"]["0.0001"] is None
    confidence = validation.confidences(points["temperature"])
    for target in (0.1, 0.05):
        expected = choose_threshold(confidence, validation.correct, target, 0.9)
        assert points["thresholds"][f"{target:g}"] == expected
    assert points["thresholds"]["0.1"] < points["thresholds"]["0.05"]


def test_other_images_are_judged_with_the_points_as_they_are() -> None:
    test = drawn(*kinds(1000, CLASSES, 0), 2000, np.random.default_rng(1))
    points = {"temperature": 2.0, "thresholds": {"0.05": 0.9, "0.001": None}}
    found = assessment(test, points)
    for name, temperature in (("before", 1.0), ("after", 2.0)):
        likely = scaled(test.probabilities, temperature)
        assert found["calibration"][name] == {
            "expected_calibration_error": expected_calibration_error(
                confidences(likely), test.correct
            ),
            "negative_log_likelihood": negative_log_likelihood(*test, temperature),
            "brier_score": pytest.approx(
                ((likely - np.eye(CLASSES)[test.labels]) ** 2).sum(axis=1).mean()
            ),
        }
    for name, before in found["calibration"]["before"].items():
        assert found["calibration"]["after"][name] < before, name
    sure = scaled(test.probabilities, 2.0).max(axis=1) >= 0.9
    assert found["rejection"]["0.05"]["coverage"] == sure.mean()
    assert found["rejection"]["0.05"]["errors"] == (sure & ~test.correct).sum()
    assert found["rejection"]["0.001"] == {"coverage": 0.0, "errors": 0}


@pytest.mark.parametrize("target", [0.05, pytest.param(0.1, marks=pytest.mark.slow)])
def test_risk_exceeds_the_target_as_seldom_as_promised_with_the_temperature_of_the_same_images(
    monkeypatch: pytest.MonkeyPatch, target: float
) -> None:
    # The same for all splits.
    monkeypatch.setattr(rejection, "fewest_images", cache(fewest_images))
    random = np.random.default_rng(0)
    true, said = kinds(1000, 3, 0)
    error = 1 - true[range(1000), said.argmax(axis=1)]
    coverage, broken = [], 0
    for _ in range(SPLITS):
        points = operating_points(drawn(true, said, 300, random), params(target))
        (threshold,) = points["thresholds"].values()
        if threshold is not None:
            sure = confidences(scaled(said, points["temperature"])) >= threshold
            coverage.append(sure.mean())
            broken += error[sure].mean() > target
    assert 0 < broken <= 0.1 * SPLITS
    best = (np.sort(error).cumsum() <= target * np.arange(1, 1001)).mean()
    assert len(coverage) > 0.9 * SPLITS
    assert np.median(coverage) > 0.7 * best


LABELS = (np.arange(400) % CLASSES).astype(np.int32)
ONE_CLASS = np.zeros(400, np.int32)
SURE = np.eye(CLASSES, dtype=np.float32)
UNSURE = 0.5 * SURE + np.float32(0.05)
NO_OPINION = np.full((400, CLASSES), 0.1, np.float32)
ALL = "Target: at most 1% wrong (90% sure): 100.00% decided, 0.000% of them wrong"
NONE = "No threshold is sure to reach 1% on 400 images"
TOO_FEW = "No threshold is sure to reach 1% on 1 images"


@pytest.mark.parametrize(
    ("probabilities", "labels", "words"),
    [
        pytest.param(SURE[LABELS], LABELS, ALL, id="perfect"),
        pytest.param(UNSURE[LABELS], LABELS, ALL, id="perfect but unsure"),
        pytest.param(SURE[LABELS % 4], LABELS % 4, ALL, id="perfect where classes are missing"),
        pytest.param(SURE[ONE_CLASS], ONE_CLASS, ALL, id="right about the only class"),
        pytest.param(NO_OPINION, ONE_CLASS, ALL, id="right about the only class by chance"),
        pytest.param(SURE[ONE_CLASS + 1], ONE_CLASS, NONE, id="wrong about the only class"),
        pytest.param(SURE[LABELS - 1], LABELS, NONE, id="always wrong and certain"),
        pytest.param(UNSURE[LABELS - 1], LABELS, NONE, id="always wrong and unsure"),
        pytest.param(SURE[ONE_CLASS], LABELS, NONE, id="certain of one class"),
        pytest.param(NO_OPINION, LABELS, NONE, id="without an opinion"),
        pytest.param(SURE[:1], LABELS[:1], TOO_FEW, id="one image, right"),
        pytest.param(SURE[:1], LABELS[1:2], TOO_FEW, id="one image, wrong"),
    ],
)
def test_predictors_of_all_kinds_have_finite_figures_and_words(
    tmp_path: Path, probabilities: NDArray[np.float32], labels: NDArray[np.int32], words: str
) -> None:
    answers = Answers(probabilities, labels)
    points = operating_points(answers, params(0.01, 0.001))
    figures = assessment(answers, points)
    for name, values in (("points", points), ("figures", figures)):
        write_json(tmp_path / f"{name}.json", values)
    confidence = answers.confidences(points["temperature"])
    for table in (reliability_table, risk_coverage):
        assert not table(confidence, answers.correct).isna().any(axis=None)
    assert rejection_sentence("0.01", figures["rejection"]["0.01"], points) == words
    assert points["thresholds"]["0.001"] is None
