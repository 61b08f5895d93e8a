"""Measure every run of the study from its answers, as `evaluate` measures a network.

It writes runs/RECIPE-SEED.json, with the accuracy, the calibration and the share of images that
the network can decide alone, and runs/RECIPE-SEED.csv, with the test images that it gets wrong.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.assessment import (
    EvaluateParams,
    assessment,
    operating_points,
    read_answers,
)
from pipeline.evaluation.results import read_json, write_json, write_table
from pipeline.runtime.command import run_study
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.studies.results.study import StudyParams


def assess(
    params: StudyParams,
    evaluation: EvaluateParams,
    *,
    answers: Path = Path("answers"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    runs: Path = Path("runs"),
) -> None:
    """Write the measures and the errors of every run of the study.

    Raises:
        PipelineError: Answers are damaged, of another run, or not of these images.
        OSError: Answers are missing, or a file cannot be written.
    """
    labels = {
        "validation": load_array(validation_labels, np.int32),
        "test": load_array(test_labels, np.int32),
    }
    for recipe in params.recipes:
        for seed in params.seeds:
            name = f"{recipe}-{seed}"
            facts, errors = assessed(answers / name, labels, evaluation)
            write_table(runs / f"{name}.csv", errors)
            write_json(runs / f"{name}.json", facts)
            print(f"{name}: {facts['test_accuracy']:.2%} of the test images", flush=True)


def assessed(
    folder: Path, labels: dict[str, NDArray[np.int32]], evaluation: EvaluateParams
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the measures of a run, as JSON types, and the test images that it gets wrong.

    Args:
        folder: The run's answers.
        labels: By ``validation`` and ``test``, the labels of these images, shape (n,).
        evaluation: The target errors, and the certainty with which they are to be kept.

    Returns:
        The measures; and columns image (from 0), actual and predicted, a row for each wrong image.
    """
    training = read_json(folder / "training.json")
    validation, test = (
        read_answers(folder / f"{part}.npy", labels[part]) for part in ("validation", "test")
    )
    points = operating_points(validation, evaluation)
    predicted = test.probabilities.argmax(axis=1)
    (wrong,) = np.nonzero(~test.correct)
    errors = {"image": wrong, "actual": test.labels[wrong], "predicted": predicted[wrong]}
    facts = {
        "recipe": training["recipe"],
        "seed": training["seed"],
        "parameters": training["parameters"],
        "validation_accuracy": training["validation_accuracy"],
        "test_accuracy": (len(predicted) - len(wrong)) / len(predicted),
        "test_images": len(predicted),
        "operating_points": points,
        **assessment(test, points),
        "environment": training["environment"],
    }
    return facts, pd.DataFrame(errors)


if __name__ == "__main__":
    run_study(
        assess,
        lambda: (
            load_section("study", StudyParams),
            load_section("evaluate", EvaluateParams, PIPELINE_PARAMS),
        ),
    )
