"""Measure the trained network on the test set: metrics, and a prediction for every image."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, PositiveInt
from sklearn.metrics import precision_recall_fscore_support

from pipeline.backend import pin
from pipeline.command import run_stage
from pipeline.examples import load_examples
from pipeline.model_file import load_model
from pipeline.predictions import predictions_table, write_predictions
from pipeline.stage import PipelineError, Section
from pipeline.statistics import wilson_interval

LARGEST_DISAGREEMENT = 0.001


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``."""

    batch_size: PositiveInt
    threads: Annotated[int, Field(ge=1, le=1024)]


def evaluate(
    params: EvaluateParams,
    *,
    model_file: Path = Path("data/model/model.keras"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    metrics: Path = Path("reports/metrics.json"),
    predictions: Path = Path("reports/predictions.csv"),
) -> None:
    """Write the metrics and the predictions.

    Raises:
        PipelineError: The model does not fit the images, or a metric is not finite.
    """
    pin(params.threads)
    test = load_examples(test_images, test_labels)
    model = load_model(model_file)
    if model.input_shape != (None, test.images.shape[1]):
        raise PipelineError(
            f"{model_file} expects images of {model.input_shape[1:]} pixels, "
            f"{test_images} has {test.images.shape[1:]}"
        )
    loss, accuracy = model.evaluate(*test, batch_size=params.batch_size, verbose=0)
    probabilities = model.predict(test.images, batch_size=params.batch_size, verbose=0)
    table = predictions_table(test.labels, probabilities)
    figures = classification_metrics(table, classes=model.output_shape[1])
    # Not to the last image: evaluate() and predict() are compiled apart, and there may be ties.
    allowed = max(LARGEST_DISAGREEMENT, 1.5 / len(table))
    if abs(accuracy - figures["accuracy"]) > allowed:
        raise PipelineError(
            f"Keras's evaluate() gives an accuracy of {accuracy}, "
            f"its predict() one of {figures['accuracy']}"
        )
    text = metrics_text(figures | {"loss": loss, "parameters": model.count_params()})
    write_predictions(predictions, table)
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(text, encoding="utf-8", newline="\n")
    low, high = figures["accuracy_interval"].values()
    print(
        f"{figures['accuracy']:.2%} of {len(table)} test images classified correctly "
        f"(95% interval {low:.2%} to {high:.2%})"
    )


def classification_metrics(predictions: pd.DataFrame, classes: int) -> dict[str, Any]:
    """Return accuracy with its interval, number of errors, and precision, recall and F1 by class.

    The interval is Wilson's (1927), of 95% confidence. A class that is never predicted or never
    occurs counts as 0 where its figure would be 0/0.
    """
    correct = int((predictions["actual"] == predictions["predicted"]).sum())
    low, high = wilson_interval(correct, len(predictions))
    by_class = precision_recall_fscore_support(
        predictions["actual"], predictions["predicted"], labels=range(classes), zero_division=0
    )[:3]
    return {
        "accuracy": correct / len(predictions),
        "accuracy_interval": {"low": low, "high": high},
        "errors": len(predictions) - correct,
        "macro_f1": float(np.mean(by_class[2])),
        "by_class": {
            str(label): dict(zip(("precision", "recall", "f1"), map(float, figures), strict=True))
            for label, figures in enumerate(zip(*by_class, strict=True))
        },
    }


def metrics_text(metrics: dict[str, Any]) -> str:
    """Return metrics as JSON.

    Raises:
        PipelineError: One of them is infinite or not a number, which JSON has no words for.
    """
    for name, value in pd.json_normalize(metrics).iloc[0].items():
        if not math.isfinite(value):
            raise PipelineError(f"metric {name} is not a finite number but {value}")
    return json.dumps(metrics, indent=2, allow_nan=False) + "\n"


if __name__ == "__main__":
    run_stage(evaluate, EvaluateParams)
