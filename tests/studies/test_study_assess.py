"""From stored answers to the tables of the study, without a network: NumPy is the oracle."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import NAMES, preprocess_params
from numpy.typing import NDArray
from scipy.special import softmax

from pipeline.data.idx import write_idx
from pipeline.evaluation.assessment import EvaluateParams
from pipeline.runtime.errors import PipelineError
from pipeline.studies.assess import assess
from pipeline.studies.find_label_doubts import (
    FindLabelDoubtsParams,
    KnownTestErrors,
    find_label_doubts,
)
from pipeline.studies.results.study import StudyParams
from pipeline.studies.summarise import summarise

CLASSES = 5
IMAGES = {"validation": 2000, "test": 300}
STUDY = StudyParams(recipes=["plain", "fancy"], seeds=[0, 3])
RUNS = [("plain", 0), ("plain", 3), ("fancy", 0), ("fancy", 3)]
REACHED, BEYOND_REACH = "0.05", "0.0001"
EVALUATE = EvaluateParams(batch_size=1, threads=1, target_errors=[0.05, 0.0001], certainty=0.9)
FOLDS, RAW_IMAGES = 3, 400
TEST_FILE = Path("data/raw/t10k-labels-idx1-ubyte.gz")
LABEL_DOUBTS = FindLabelDoubtsParams(
    listed=60,
    known_test_errors=KnownTestErrors(
        test_labels_sha256=hashlib.sha256(b"labels").hexdigest(), images=[3, 50, 299]
    ),
)
Array = NDArray[np.float32]


def probabilities(labels: NDArray[np.int32], seed: int) -> Array:
    """Return the answers of a network that is right most of the time, and too sure."""
    random = np.random.default_rng(seed)
    sums = random.normal(0, 1.5, (len(labels), CLASSES))
    sums[np.arange(len(labels)), labels] += 4
    found: Array = softmax(3 * sums, axis=1).astype(np.float32)
    return found


@dataclass(frozen=True)
class Made:
    """A study whose answers are made up, in the current folder."""

    labels: dict[str, NDArray[np.int32]]
    answers: dict[tuple[str, int], dict[str, Array]]


def make_up() -> Made:
    """Write labels and answers to the current folder."""
    random = np.random.default_rng(1)
    labels = {
        part: random.integers(0, CLASSES, count).astype(np.int32) for part, count in IMAGES.items()
    }
    processed = Path("data/processed")
    processed.mkdir(parents=True)
    for part, found in labels.items():
        np.save(processed / f"{part}_labels.npy", found)
    answers = {}
    for number, (recipe, seed) in enumerate(RUNS):
        folder = Path(f"answers/{recipe}-{seed}")
        folder.mkdir(parents=True)
        answers[recipe, seed] = {
            part: probabilities(mine, 10 * number + place)
            for place, (part, mine) in enumerate(labels.items())
        }
        for part, array in answers[recipe, seed].items():
            np.save(folder / f"{part}.npy", array)
        facts = {
            "recipe": recipe,
            "seed": seed,
            "parameters": 7,
            "validation_accuracy": 0.5 + number / 10,
            "environment": {"backend": "none", "packages": {"numpy": "2"}},
        }
        (folder / "training.json").write_text(json.dumps(facts))
    return Made(labels, answers)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """A folder with the study made up and assessed."""
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        made = make_up()
        assess(STUDY, EVALUATE)
    return folder, made


@pytest.fixture
def assessed(done: tuple[Path, Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    """The study in the current folder, assessed."""
    folder, made = done
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made


@pytest.fixture
def made(assessed: Made) -> Made:
    """The study in the current folder, not assessed yet."""
    shutil.rmtree("runs")
    return assessed


def calibration(found: Array, labels: NDArray[np.int32], temperature: float) -> dict[str, float]:
    """Return the three measures, computed from their definitions in float64."""
    powers = found.astype(np.float64) ** (1 / temperature)
    scaled = powers / powers.sum(axis=1, keepdims=True)
    confidence, correct = scaled.max(axis=1), scaled.argmax(axis=1) == labels
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    of_label = scaled[np.arange(len(labels)), labels]
    others = np.arange(CLASSES) != labels[:, None]
    return {
        "expected_calibration_error": error,
        "negative_log_likelihood": -np.log(of_label).mean(),
        "brier_score": ((1 - of_label) ** 2).mean() + (scaled**2 * others).sum(axis=1).mean(),
    }


def test_measures_of_a_run_are_those_that_numpy_computes_from_its_answers(assessed: Made) -> None:
    names = {f"{recipe}-{seed}{ending}" for recipe, seed in RUNS for ending in (".json", ".csv")}
    assert {path.name for path in Path("runs").iterdir()} == names
    for number, ((recipe, seed), answers) in enumerate(assessed.answers.items()):
        run = json.loads(Path(f"runs/{recipe}-{seed}.json").read_text())
        test, labels = answers["test"], assessed.labels["test"]
        predicted = test.argmax(axis=1)
        assert (run["recipe"], run["seed"], run["parameters"]) == (recipe, seed, 7)
        assert run["validation_accuracy"] == 0.5 + number / 10
        assert run["environment"] == {"backend": "none", "packages": {"numpy": "2"}}
        assert (run["test_accuracy"], run["test_images"]) == ((predicted == labels).mean(), 300)

        points = run["operating_points"]
        temperature = points["temperature"]
        assert temperature > 1.2, "these networks are too sure"
        assert (points["certainty"], points["validation_images"]) == (0.9, 2000)
        for when, value in (("before", 1.0), ("after", temperature)):
            assert run["calibration"][when] == pytest.approx(calibration(test, labels, value))
        validation = answers["validation"], assessed.labels["validation"]
        best = calibration(*validation, temperature)["negative_log_likelihood"]
        for other in (0.9 * temperature, 1.1 * temperature):
            assert calibration(*validation, other)["negative_log_likelihood"] > best

        powers = test.astype(np.float64) ** (1 / temperature)
        decided = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1) >= points["thresholds"][
            REACHED
        ]
        found = run["rejection"][REACHED]
        assert 0.5 < found["coverage"] == decided.mean()
        assert found["errors"] == (decided & (predicted != labels)).sum()
        assert found["risk"] == found["errors"] / decided.sum()
        # 2,000 images are too few for it.
        assert points["thresholds"][BEYOND_REACH] is None
        assert run["rejection"][BEYOND_REACH] == {"coverage": 0, "errors": 0}

        (wrong,) = np.nonzero(predicted != labels)
        errors = pd.read_csv(f"runs/{recipe}-{seed}.csv")
        assert list(errors) == ["image", "actual", "predicted"]
        assert errors.to_numpy().tolist() == [
            [image, labels[image], predicted[image]] for image in wrong
        ]


def test_run_without_an_error_has_an_empty_table(made: Made) -> None:
    right = np.eye(CLASSES, dtype=np.float32)[made.labels["test"]]
    np.save("answers/plain-0/test.npy", right)
    assess(STUDY, EVALUATE)
    assert Path("runs/plain-0.csv").read_text() == "image,actual,predicted\n"
    summarise(STUDY)
    assert json.loads(Path("summary.json").read_text())["plain"]["test"]["maximum"] == 1


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def of_one_image_less(path: Path) -> None:
    np.save(path, np.load(path)[1:])


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (cut_off, "test.npy", r"damaged \.npy file"),
        (of_one_image_less, "validation.npy", r"expected shape \(2000, classes\), found \(1999,"),
    ],
)
def test_answers_that_are_damaged_or_of_other_images_are_refused(
    made: Made, damage: Callable[[Path], None], file: str, message: str
) -> None:
    assert made.labels
    damage(Path("answers/plain-0") / file)
    with pytest.raises(PipelineError, match=rf"^answers/plain-0/{file}: {message}"):
        assess(STUDY, EVALUATE)
    assert not Path("runs/plain-0.json").exists()


def test_tables_have_the_runs_of_all_recipes_in_the_order_of_the_parameters(assessed: Made) -> None:
    summarise(STUDY)
    runs = pd.read_csv("runs.csv")
    assert [*zip(runs["recipe"], runs["seed"], strict=True)] == RUNS
    errors = pd.read_csv("errors.csv")
    counts = errors.groupby(["recipe", "seed"], sort=False).size()
    for (recipe, seed), answers in assessed.answers.items():
        wrong = answers["test"].argmax(axis=1) != assessed.labels["test"]
        assert counts[recipe, seed] == wrong.sum()
    rejection = pd.read_csv("rejection.csv")
    assert [*rejection[["recipe", "seed", "target_error"]].itertuples(index=False, name=None)] == [
        (*run, target) for run in RUNS for target in (0.05, 0.0001)
    ]
    summary = json.loads(Path("summary.json").read_text())
    assert [found["seeds"] for found in summary.values()] == [2, 2]
    assert list(summary) == ["plain", "fancy"]
    for found in summary.values():
        reached = {target: row["runs_with_threshold"] for target, row in found["rejection"].items()}
        assert reached == {REACHED: 2, BEYOND_REACH: 0}
    assert Path("runs.png").exists()


def test_runs_of_two_environments_are_not_put_together(assessed: Made) -> None:
    assert assessed.answers
    file = Path("runs/fancy-3.json")
    run = json.loads(file.read_text())
    run["environment"]["backend"] = "tensorflow"
    file.write_text(json.dumps(run))
    with pytest.raises(PipelineError, match="fancy-3 has other environment than plain-0, as 1 "):
        summarise(STUDY)
    assert not Path("summary.json").exists()


@dataclass(frozen=True)
class Folds:
    """A cross-validation whose answers are made up, in the current folder."""

    held_out: Array
    tested: Array
    labels: NDArray[np.int32]
    test_labels: NDArray[np.int32]


@pytest.fixture
def folds(made: Made) -> Folds:
    labels = np.random.default_rng(2).integers(0, CLASSES, RAW_IMAGES).astype(np.int32)
    Path("data/raw").mkdir()
    write_idx(
        Path("data/raw") / NAMES["train_images"], np.zeros((RAW_IMAGES, 4, 4), dtype=np.uint8)
    )
    write_idx(Path("data/raw") / NAMES["train_labels"], labels.astype(np.uint8))
    TEST_FILE.write_bytes(b"labels")
    found = Folds(
        probabilities(labels, 100),
        np.stack([probabilities(made.labels["test"], 101 + fold) for fold in range(FOLDS)]),
        labels,
        made.labels["test"],
    )
    Path("folds").mkdir()
    np.save("folds/held_out.npy", found.held_out)
    np.save("folds/test.npy", found.tested)
    return found


def test_doubts_are_the_disagreements_of_the_networks_not_trained_with_an_image(
    folds: Folds,
) -> None:
    find_label_doubts(LABEL_DOUBTS, EVALUATE, preprocess_params())
    table = pd.read_csv("label_doubts.csv")
    facts = json.loads(Path("label_doubts.json").read_text())
    parts = {
        "train": (folds.held_out, folds.labels),
        "test": (folds.tested.mean(axis=0), folds.test_labels),
    }
    for part, (answers, labels) in parts.items():
        doubted = np.flatnonzero(answers.argmax(axis=1) != labels)
        margin = answers.max(axis=1) - answers[np.arange(len(labels)), labels]
        mine = table[table["part"] == part]
        worst = doubted[np.argsort(-margin[doubted], kind="stable")][:60]
        assert mine["image"].tolist() == worst.tolist()
        assert mine["label"].tolist() == labels[worst].tolist()
        assert mine["suggestion"].tolist() == answers[worst].argmax(axis=1).tolist()
        assert facts[part]["images"] == len(labels)
        assert facts[part]["disagreements"] == len(doubted)
    first = set(table[table["part"] == "test"]["image"][:50])
    assert facts["test"]["known_label_errors"] == 3
    assert facts["test"]["known_in_top_50"] == len(first & {3, 50, 299})


def test_coverage_is_the_mean_over_the_networks_with_thresholds_of_the_held_out_images(
    folds: Folds,
) -> None:
    loose = EVALUATE.model_copy(update={"target_errors": [0.1]})
    find_label_doubts(LABEL_DOUBTS, loose, preprocess_params())
    facts = json.loads(Path("label_doubts.json").read_text())
    points = facts["operating_points"]
    assert points["validation_images"] == RAW_IMAGES
    coverages, errors = [], []
    for answers in folds.tested:
        powers = answers.astype(np.float64) ** (1 / points["temperature"])
        confidence = (powers / powers.sum(axis=1, keepdims=True)).max(axis=1)
        decided = confidence >= points["thresholds"]["0.1"]
        coverages.append(decided.mean())
        errors.append((decided & (answers.argmax(axis=1) != folds.test_labels)).sum())
    assert facts["rejection"] == {
        "0.1": pytest.approx({"coverage": np.mean(coverages), "errors": np.mean(errors)})
    }
    assert np.mean(coverages) > 0.3


def test_folds_of_other_images_are_refused(folds: Folds) -> None:
    assert folds.labels.size
    of_one_image_less(Path("folds/held_out.npy"))
    with pytest.raises(PipelineError, match=r"^folds/held_out\.npy: expected shape \(400, classes"):
        find_label_doubts(LABEL_DOUBTS, EVALUATE, preprocess_params())
    assert not Path("label_doubts.json").exists()


def test_known_errors_of_other_data_are_left_out(folds: Folds) -> None:
    assert folds.labels.size
    TEST_FILE.write_bytes(b"other labels")
    find_label_doubts(LABEL_DOUBTS, EVALUATE, preprocess_params())
    facts = json.loads(Path("label_doubts.json").read_text())
    assert facts["test"].keys() == facts["train"].keys()
