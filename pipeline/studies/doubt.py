"""Doubt labels: by cross-validation, list the images whose label the networks disagree with.

All images of the training file are predicted by networks that were not trained with them, the
test images by all these networks together. It writes studies/label_doubts.csv and .json. What the
networks can decide alone is measured too, with thresholds set on as many images as that.
"""

import argparse
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from sklearn.model_selection import StratifiedKFold

from pipeline.assessment import Answers, EvaluateParams, assessment, operating_points
from pipeline.atomic import write_text
from pipeline.backend import pin
from pipeline.command import clear_ending, dependencies_unchanged
from pipeline.examples import Examples, load_examples
from pipeline.label_doubts import LABEL_DOUBTS_FILE, estimated_label_errors, label_doubts
from pipeline.raw_examples import read_raw
from pipeline.stage import PipelineError, Section, load_section
from pipeline.training import TrainParams, train_network

STUDIES_FILE = Path("studies/dvc.yaml")
STUDIES_PARAMS = Path("studies/params.yaml")
TOP = 50


class DoubtParams(Section):
    """Section ``doubt`` of ``studies/params.yaml``."""

    folds: Annotated[int, Field(ge=2, le=100)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    listed: Annotated[int, Field(ge=TOP)]
    known_test_errors: list[Annotated[int, Field(ge=0)]]


def doubt(
    params: DoubtParams,
    training: TrainParams,
    evaluation: EvaluateParams,
    *,
    raw_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    table: Path = Path(LABEL_DOUBTS_FILE),
    summary: Path = Path("studies/label_doubts.json"),
) -> None:
    """Write the doubtful labels of both parts, and what they come to.

    Raises:
        PipelineError: The data do not fit the parameters, or the loss is no longer finite.
    """
    pin(training.threads)
    examples, test = read_raw(raw_images, raw_labels), load_examples(test_images, test_labels)
    if max(params.known_test_errors, default=0) >= len(test.labels):
        raise PipelineError("doubt.known_test_errors: an index beyond the last test image")
    held_out, tested = cross_validated(examples, test, params, training, evaluation.batch_size)
    parts = {"train": (examples, held_out), "test": (test, tested.mean(axis=0))}
    doubts = {
        part: label_doubts(some.labels, probabilities, params.listed)
        for part, (some, probabilities) in parts.items()
    }
    facts = {
        part: {
            "images": len(some.labels),
            "disagreements": int((probabilities.argmax(axis=1) != some.labels).sum()),
            "estimated_label_errors": estimated_label_errors(some.labels, probabilities),
        }
        for part, (some, probabilities) in parts.items()
    }
    known = set(params.known_test_errors)
    facts["test"]["known_label_errors"] = len(known)
    facts["test"][f"known_in_top_{TOP}"] = len(known & set(doubts["test"]["image"][:TOP]))
    facts |= alone(Answers(held_out, examples.labels), tested, test, evaluation)
    rows = pd.concat([rows.assign(part=part) for part, rows in doubts.items()])
    columns = ["part", *doubts["test"].columns]
    write_text(table, rows[columns].to_csv(index=False, lineterminator="\n", float_format="%.6g"))
    write_text(summary, json.dumps(facts, indent=2) + "\n")


def cross_validated(
    examples: Examples,
    test: Examples,
    params: DoubtParams,
    training: TrainParams,
    batch_size: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what the networks of all folds say.

    Returns:
        The probabilities of each example by the network that was not trained with it, shape
        (n, classes); those of the test images by each network, shape (folds, images, classes).
    """
    folds = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
    classes = int(examples.labels.max()) + 1
    held_out, tested = np.empty((len(examples.labels), classes), np.float32), []
    for number, (kept, left) in enumerate(folds.split(examples.images, examples.labels), 1):
        print(f"Fold {number} of {params.folds}", flush=True)
        mine, other = (Examples(*(part[rows] for part in examples)) for rows in (kept, left))
        model, _ = train_network(mine, other, training)
        held_out[left] = model.predict(other.images, batch_size=batch_size, verbose=0)
        tested.append(model.predict(test.images, batch_size=batch_size, verbose=0))
    return held_out, np.array(tested)


def alone(
    held_out: Answers, tested: NDArray[np.float32], test: Examples, evaluation: EvaluateParams
) -> dict[str, Any]:
    """Return operating points set on all held-out images, and what they make of the test images.

    Each network decides the test images by itself; coverage and errors are their means. The
    guarantee is for all networks together: for digits that one of them, drawn at random, decides.
    """
    points = operating_points(held_out, evaluation)
    found = [assessment(Answers(one, test.labels), points)["rejection"] for one in tested]
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


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.studies.doubt",
        description=__doc__,
        epilog=f"Parameters: section 'doubt' of {STUDIES_PARAMS}. Run it in the project's root "
        "folder, or let `dvc repro studies/dvc.yaml:doubt` decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", metavar="RECIPE", help="one of params.yaml")
    recipe = parser.parse_args().recipe

    def load() -> tuple[DoubtParams, TrainParams, EvaluateParams]:
        return (
            load_section("doubt", DoubtParams, STUDIES_PARAMS),
            load_section("train", TrainParams, recipe=recipe),
            load_section("evaluate", EvaluateParams),
        )

    with clear_ending("doubt"), dependencies_unchanged("doubt", load, STUDIES_FILE):
        doubt(*load())


if __name__ == "__main__":
    main()
