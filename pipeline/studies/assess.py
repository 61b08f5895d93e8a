"""Assess the runs of the seed study, as `evaluate` assesses a network, from their answers.

It writes runs/RECIPE-SEED.json, with the accuracy on validation and test images and what the
network can decide alone, and runs/RECIPE-SEED.csv, with the test images that it gets wrong.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from pipeline.evaluation.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.evaluation.results import read_metrics
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import load_section
from pipeline.studies.results.study import StudyParams

PIPELINE_PARAMS = Path("../params.yaml")


class TrainingFacts(TypedDict):
    """What `train` writes of a run beside its answers."""

    recipe: str
    seed: int
    parameters: int
    validation_accuracy: FiniteFloat
    environment: dict[str, Any]


def assess(
    params: StudyParams,
    evaluation: EvaluateParams,
    *,
    answers: Path = Path("answers"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    runs: Path = Path("runs"),
) -> None:
    """Write what every run of the study came to.

    Raises:
        PipelineError: Answers are damaged, or are not those of this run or of these images.
        OSError: Answers are missing.
    """
    labels = {
        "validation": load_array(validation_labels, np.int32),
        "test": load_array(test_labels, np.int32),
    }
    for recipe in params.recipes:
        for seed in params.seeds:
            name = f"{recipe}-{seed}"
            facts, wrong = assessed(answers / name, labels, evaluation)
            if (facts["recipe"], facts["seed"]) != (recipe, seed):
                raise PipelineError(f"{answers / name}: not the answers of this run")
            write_text(runs / f"{name}.csv", wrong.to_csv(index=False, lineterminator="\n"))
            write_text(runs / f"{name}.json", json.dumps(facts, indent=2) + "\n")
            print(f"{name}: {facts['test_accuracy']:.2%} of the test images", flush=True)


def assessed(
    folder: Path, labels: dict[str, NDArray[np.int32]], evaluation: EvaluateParams
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what a run came to, as JSON types, and its errors.

    Args:
        folder: Of the run's answers.
        labels: Of the validation and of the test images, shape (n,).
        evaluation: How they are assessed.

    Returns:
        The facts; and columns image (from 0), actual and predicted, a row for each wrong image.
    """
    made = read_metrics(folder / "training.json", TrainingFacts)
    validation, test = (read_answers(folder / f"{part}.npy", labels[part]) for part in labels)
    points = operating_points(validation, evaluation)
    (wrong,) = np.nonzero(~test.correct)
    predicted = test.probabilities.argmax(axis=1)
    errors = {"image": wrong, "actual": test.labels[wrong], "predicted": predicted[wrong]}
    facts = {
        "recipe": made["recipe"],
        "seed": made["seed"],
        "parameters": made["parameters"],
        "validation_accuracy": made["validation_accuracy"],
        "test_accuracy": (len(predicted) - len(wrong)) / len(predicted),
        "test_images": len(predicted),
        "operating_points": points,
        **assessment(test, points),
        "environment": made["environment"],
    }
    return facts, pd.DataFrame(errors)


def read_answers(path: Path, labels: NDArray[np.int32]) -> Answers:
    """Return the answers in an .npy file, with the labels of their images.

    Raises:
        PipelineError: The file is damaged, or is not of as many images as there are labels.
    """
    probabilities = load_array(path, np.float32)
    if probabilities.shape[:-1] != labels.shape:
        raise PipelineError(f"{path}: expected {len(labels)} images, found {probabilities.shape}")
    return Answers(probabilities, labels)


def main() -> None:
    """Parse the command line, which knows only ``--help``, and assess."""
    stage_parser("assess", "study").parse_args()

    def load() -> tuple[StudyParams, EvaluateParams]:
        evaluation = load_section("evaluate", EvaluateParams, PIPELINE_PARAMS)
        return load_section("study", StudyParams), evaluation

    run_checked("assess", assess, load)


if __name__ == "__main__":
    main()
