"""List the images whose label is in doubt: networks not trained with them see something else.

It writes label_doubts.csv, the worst first, and label_doubts.json. It also measures the share of
test images that these networks can decide alone, with thresholds set on all training images.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from pipeline.data.raw_examples import PreprocessParams, read_raw
from pipeline.evaluation.assessment import (
    Answers,
    EvaluateParams,
    assessment,
    operating_points,
    read_answers,
)
from pipeline.evaluation.results import write_json
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_study
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import PIPELINE_PARAMS, Section, load_section
from pipeline.studies.results.label_doubts import (
    LABEL_DOUBTS_FILE,
    estimated_label_errors,
    label_doubts,
)

TOP = 50  # test images, the worst, among which known errors are counted


class KnownTestErrors(Section):
    """Test images of a data set whose label is known to be wrong; other data have others."""

    test_labels_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    images: list[Annotated[int, Field(ge=0)]]


class FindLabelDoubtsParams(Section):
    """Section ``find_label_doubts`` of ``studies/params.yaml``."""

    listed: Annotated[int, Field(ge=TOP)]
    known_test_errors: KnownTestErrors


def find_label_doubts(
    params: FindLabelDoubtsParams,
    evaluation: EvaluateParams,
    preprocessing: PreprocessParams,
    *,
    held_out: Path = Path("folds/held_out.npy"),
    tested: Path = Path("folds/test.npy"),
    raw_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    raw_test_labels: Path = Path("data/raw/t10k-labels-idx1-ubyte.gz"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    table: Path = Path(LABEL_DOUBTS_FILE),
    summary: Path = Path("label_doubts.json"),
) -> None:
    """Write the doubtful labels of training and test images, and how many there are.

    Raises:
        PipelineError: The answers are damaged or of other images.
        OSError: A file cannot be read or written.
    """
    by_networks = load_array(tested, np.float32)
    train = read_answers(held_out, read_raw(raw_images, raw_labels, preprocessing).labels)
    test = Answers(by_networks.mean(axis=0), load_array(test_labels, np.int32))
    parts = {"train": train, "test": test}
    doubts = {
        part: label_doubts(answers.labels, answers.probabilities, params.listed)
        for part, answers in parts.items()
    }
    facts = {part: counts(answers) for part, answers in parts.items()}
    found = hashlib.sha256(raw_test_labels.read_bytes()).hexdigest()
    if found == params.known_test_errors.test_labels_sha256:
        known = set(params.known_test_errors.images)
        facts["test"]["known_label_errors"] = len(known)
        facts["test"][f"known_in_top_{TOP}"] = len(known & set(doubts["test"]["image"][:TOP]))
    facts |= decided_alone(train, by_networks, test.labels, evaluation)
    rows = pd.concat([rows.assign(part=part) for part, rows in doubts.items()])
    columns = ["part", *doubts["test"].columns]
    write_text(table, rows[columns].to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_json(summary, facts)


def counts(answers: Answers) -> dict[str, Any]:
    """Return the numbers of images, of disagreements and of probably wrong labels."""
    return {
        "images": len(answers.labels),
        "disagreements": int((~answers.correct).sum()),
        "estimated_label_errors": estimated_label_errors(answers.labels, answers.probabilities),
    }


def decided_alone(
    held_out: Answers,
    by_networks: NDArray[np.float32],
    labels: NDArray[np.int32],
    evaluation: EvaluateParams,
) -> dict[str, Any]:
    """Return operating points set on the held-out images, and the test images decided with them.

    Each network decides the test images by itself; coverage and errors are their means. The
    target error is kept by all networks together: over digits that each go to one of them, drawn
    at random.

    Args:
        held_out: Answers for each training image by the network that was not trained with it.
        by_networks: Probabilities of the test images by each network, shape (folds, n, classes).
        labels: Of the test images, shape (n,).
        evaluation: The target errors, and the certainty with which they are to be kept.
    """
    points = operating_points(held_out, evaluation)
    found = [assessment(Answers(one, labels), points)["rejection"] for one in by_networks]
    return {
        "operating_points": points,
        "rejection": {
            target: {
                name: float(np.mean([one[target][name] for one in found]))
                for name in ("coverage", "errors")
            }
            for target in points["thresholds"]
        },
    }


if __name__ == "__main__":
    run_study(
        find_label_doubts,
        lambda: (
            load_section("find_label_doubts", FindLabelDoubtsParams),
            load_section("evaluate", EvaluateParams, PIPELINE_PARAMS),
            load_section("preprocess", PreprocessParams, PIPELINE_PARAMS),
        ),
    )
