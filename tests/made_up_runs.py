"""Runs of networks that nobody trained: what they answer is made up, the rest follows from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from conftest import ROOT
from numpy.typing import NDArray

from pipeline.evaluation.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.evaluation.calibration import reliability_table
from pipeline.evaluation.classification import class_table, classification_metrics
from pipeline.evaluation.predictions import predictions_table, write_predictions
from pipeline.evaluation.rejection import risk_coverage
from pipeline.evaluation.results import write_json, write_table
from pipeline.evaluation.robustness import accuracies
from pipeline.report.run import Run
from pipeline.runtime.params import load_section
from pipeline.stages.plot import shown_parameters

PARAMETERS = ROOT / "params.yaml"
ENVIRONMENT = {"packages": {"keras": "3"}, "device": "CPU"}
VALIDATION_IMAGES = 5000
PICTURES = ("learning_curves", "confusion", "gallery", "reliability", "risk_coverage")


def probabilities_of(
    predicted: NDArray[np.int64], confidence: NDArray[np.float64], classes: int = 10
) -> NDArray[np.float32]:
    """Return the answers of a network that predicts these classes with these confidences.

    Args:
        predicted: Shape (n,).
        confidence: Shape (n,), each more than that of any other class.
        classes: What it can tell apart, the rest of the confidence being shared among the others.
    """
    rest = (1 - confidence) / max(classes - 1, 1)
    answers = np.tile(rest[:, None], (1, classes))
    answers[np.arange(len(predicted)), predicted] = confidence
    return answers.astype(np.float32)


def made_up_run(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> Run:
    """Return a run of a network that gives these answers to images of noise with these labels.

    On its validation images, which are more, it does as well.
    """
    params = load_section("evaluate", EvaluateParams, PARAMETERS)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28))
    images = (pixels / 255).astype(np.float32)
    test = Answers(probabilities, labels.astype(np.int32))
    times = -(-VALIDATION_IMAGES // len(labels))
    points = operating_points(Answers(*(np.concatenate([part] * times) for part in test)), params)
    confidence = test.confidences(points["temperature"])
    table = predictions_table(test.labels, probabilities, confidence)
    steps = np.array([1.0, 2.0, 3.0])
    return Run(
        images=images,
        predictions=table,
        metrics=classification_metrics(table) | {"parameters": 109_946} | assessment(test, points),
        points=points,
        by_class=class_table(table),
        reliability=pd.concat(
            reliability_table(values, test.correct).assign(calibration=name)
            for name, values in (("before", table["confidence"].to_numpy()), ("after", confidence))
        )[["calibration", "images", "confidence", "accuracy", "low", "high"]],
        risk_coverage=risk_coverage(confidence, test.correct),
        robustness=accuracies(images, test.labels, lambda _: probabilities),
        curves=pd.DataFrame(
            {
                "epoch": steps,
                "loss": 1 / steps,
                "accuracy": 1 - 0.5 / steps,
                "val_loss": 1.5 / steps,
                "val_accuracy": 1 - 0.75 / steps,
            }
        ),
        parameters=shown_parameters(PARAMETERS),
        environment=ENVIRONMENT,
    )


def written(run: Run, folder: Path) -> dict[str, Any]:
    """Write a run as the stages do, and return the paths that ``plot`` is given, by argument."""
    tables = {
        "by_class": run.by_class,
        "reliability": run.reliability,
        "risk_coverage_curve": run.risk_coverage,
        "robustness_curves": run.robustness,
    }
    inputs = {
        "test_images": folder / "test_images.npy",
        **{
            name: folder / f"{name}.json" for name in ("operating_points", "environment", "metrics")
        },
        **{name: folder / f"{name}.csv" for name in ("learning_curves", "predictions", *tables)},
    }
    folder.mkdir()
    np.save(inputs["test_images"], run.images.reshape(len(run.images), -1))
    write_json(inputs["operating_points"], dict(run.points))
    write_json(inputs["metrics"], dict(run.metrics))
    write_json(inputs["environment"], dict(run.environment))
    run.curves.astype({"epoch": int}).to_csv(inputs["learning_curves"], index=False)
    write_predictions(inputs["predictions"], run.predictions)
    for name, table in tables.items():
        write_table(inputs[name], table)
    return {
        **inputs,
        "parameters": PARAMETERS,
        "template": ROOT / "pipeline/report/page.html",
        "page": folder / "index.html",
        **{f"{name}_picture": folder / f"{name}.png" for name in PICTURES},
    }
