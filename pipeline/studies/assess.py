"""Measure every run of the study from its answers, as `evaluate` measures a network.

It writes runs/RECIPE-SEED.json, with the accuracy, the calibration and the share of images that
the network can decide alone, and runs/RECIPE-SEED.csv, with the test images that it gets wrong.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from pipeline.evaluation.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.evaluation.results import read_metrics, write_metrics, write_table
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.studies.results.study import StudyParams


class TrainingFacts(TypedDict):
    """What ``train`` writes of a run beside its answers."""

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
            if (facts["recipe"], facts["seed"]) != (recipe, seed):
                raise PipelineError(
                    f"{answers / name}: expected the answers of this run, "
                    f"found those of {facts['recipe']}-{facts['seed']}"
                )
            write_table(runs / f"{name}.csv", errors)
            write_metrics(runs / f"{name}.json", facts)
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
    training = read_metrics(folder / "training.json", TrainingFacts)
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


def main() -> None:
    """Parse the command line, which knows only ``--help``, and measure."""
    stage_parser("assess", "study").parse_args()

    def load() -> tuple[StudyParams, EvaluateParams]:
        evaluation = load_section("evaluate", EvaluateParams, PIPELINE_PARAMS)
        return load_section("study", StudyParams), evaluation

    run_checked("assess", assess, load)


if __name__ == "__main__":
    main()
