"""Measure the trained network on the test set: metrics, and a prediction for every image.

Temperature and thresholds are set on the validation set; the test set only judges them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.evaluation.calibration import reliability_table
from pipeline.evaluation.classification import class_table, classification_metrics
from pipeline.evaluation.predictions import predictions_table, write_predictions
from pipeline.evaluation.rejection import risk_coverage
from pipeline.evaluation.results import write_json, write_table
from pipeline.evaluation.robustness import accuracies, robustness_metrics
from pipeline.evaluation.wording import accuracy_sentence, rejection_sentence
from pipeline.model.backend import pin
from pipeline.model.file import load_model
from pipeline.runtime.command import run_stage
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples, as_squares, load_examples


def evaluate(
    params: EvaluateParams,
    *,
    model_file: Path = Path("data/model/model.keras"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    operating_points_file: Path = Path("data/model/operating_points.json"),
    metrics: Path = Path("reports/metrics.json"),
    robustness: Path = Path("reports/robustness.json"),
    predictions: Path = Path("reports/predictions.csv"),
    by_class: Path = Path("reports/by_class.csv"),
    reliability: Path = Path("reports/reliability.csv"),
    risk_coverage_curve: Path = Path("reports/risk_coverage.csv"),
    robustness_curves: Path = Path("reports/robustness.csv"),
) -> None:
    """Write the metrics and the predictions, and tables of what follows from them.

    Raises:
        PipelineError: The model does not fit the images, or a metric is not finite.
    """
    pin(params.threads)
    validation = load_examples(validation_images, validation_labels)
    test = load_examples(test_images, test_labels)
    model = load_model(model_file)
    check_fit(model, str(model_file), validation, str(validation_images))
    check_fit(model, str(model_file), test, str(test_images))

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = images.reshape(len(images), -1)
        found: NDArray[np.float32] = model.predict(flat, batch_size=params.batch_size, verbose=0)
        if not np.allclose(found.sum(axis=1), 1, atol=1e-3):  # nor are NaN close to it
            raise PipelineError(f"{model_file} gives numbers that are no probabilities")
        return found

    loss, _ = model.evaluate(*test, batch_size=params.batch_size, verbose=0)
    answers = Answers(predict(test.images), test.labels)
    points = operating_points(Answers(predict(validation.images), validation.labels), params)
    confidence = answers.confidences(points["temperature"])
    table = predictions_table(answers.labels, answers.probabilities, confidence)
    figures = {
        **classification_metrics(table),
        "loss": loss,
        "parameters": model.count_params(),
        **assessment(answers, points),
    }
    perturbed = accuracies(as_squares(test.images, str(test_images)), test.labels, predict)

    # First what may be refused.
    write_json(metrics, figures)
    write_predictions(predictions, table)
    write_json(robustness, robustness_metrics(perturbed))
    write_json(operating_points_file, points)
    write_table(by_class, class_table(table))
    write_table(reliability, reliability_tables(table))
    write_table(risk_coverage_curve, risk_coverage(confidence, answers.correct))
    write_table(robustness_curves, perturbed)
    print(accuracy_sentence(figures, len(table)))
    for target in points["thresholds"]:
        print(rejection_sentence(target, figures["rejection"][target], points))


def check_fit(model: Any, model_name: str, examples: Examples, name: str) -> None:
    """Make sure that a model can be shown these images, which messages call ``name``.

    Raises:
        PipelineError: It cannot.
    """
    if model.input_shape != (None, examples.images.shape[1]):
        raise PipelineError(
            f"{model_name} expects images of {model.input_shape[1:]} pixels, "
            f"{name} has {examples.images.shape[1:]}"
        )
    classes = model.output_shape[1]
    low, high = int(examples.labels.min()), int(examples.labels.max())
    if not 0 <= low <= high < classes:
        raise PipelineError(
            f"{model_name} knows the classes 0 to {classes - 1}, "
            f"the labels of {name} are {low} to {high}"
        )


def reliability_tables(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy by confidence, before and after calibration."""
    correct = (predictions["actual"] == predictions["predicted"]).to_numpy()
    stages = {"before": "confidence", "after": "calibrated_confidence"}
    tables = [
        reliability_table(predictions[column].to_numpy(np.float64), correct).assign(
            calibration=calibration
        )
        for calibration, column in stages.items()
    ]
    table = pd.concat(tables)
    return table[["calibration", *table.columns.drop("calibration")]]


if __name__ == "__main__":
    run_stage(evaluate, EvaluateParams)
