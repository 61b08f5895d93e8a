"""The verdict, on locks made by hand; test_verify.py has those of real runs."""

import pandas as pd
import pytest

from pipeline.history.changes import Change
from pipeline.runtime.lock import Lock, LockedStage
from pipeline.tools.compare.comparison import Comparison, compare_predictions
from pipeline.tools.verify.reproduction import Reproduction

ENVIRONMENT = "reports/environment.json"
OTHER = [Change("device", "CPU", "GPU")]


def lock(**md5: str) -> Lock:
    """Return a lock of three stages, its outputs' hashes their names unless given."""

    def hashed(*paths: str) -> dict[str, str]:
        return {path: md5.get(path.split(".")[0].split("/")[-1], path) for path in paths}

    return {
        "prepare": LockedStage(
            hashed("prepare.py"), {"params.yaml": {"prepare": 1}}, hashed("data.npy")
        ),
        "train": LockedStage(
            hashed("train.py", "data.npy"),
            {"params.yaml": {"train": md5.get("params", "1")}},
            hashed("model", ENVIRONMENT),
        ),
        "plot": LockedStage(hashed("plot.py", "model"), {}, hashed("figure.png")),
    }


def comparison(gains: int = 0, losses: int = 0) -> Comparison:
    actual = [0] * 10_000
    base = [1] * gains + [0] * (10_000 - gains)
    revision = [0] * (10_000 - losses) + [1] * losses
    one, other = (pd.DataFrame({"actual": actual, "predicted": each}) for each in (base, revision))
    return compare_predictions(one, other, margin=0.6)


def reproduction(
    reproduced: Lock,
    *,
    environment: list[Change] | None = None,
    gains: int = 0,
    losses: int = 0,
    claimed_accuracy: float | None = None,
) -> Reproduction:
    return Reproduction(
        lock(), reproduced, environment or [], comparison(gains, losses), claimed_accuracy
    )


def test_equal_bytes_are_reproduced_whatever_the_environment() -> None:
    for environment in ([], OTHER):
        found = reproduction(lock(), environment=environment)
        assert found.verdict == "reproduced"
        assert found.sentence == "Reproduced: all 4 outputs are the same to the byte."
        assert found.first_difference is None


def test_other_bytes_in_another_environment_with_like_predictions_are_consistent() -> None:
    found = reproduction(lock(model="x", environment="x"), environment=OTHER, gains=90, losses=95)
    assert found.sentence == (
        "Consistent: 2 of 4 outputs differ, but so does the environment; the data are the same, "
        "and the predictions agree within the margin."
    )
    # Metrics that agree with their predictions are no objection.
    claimed = reproduction(lock(model="x"), environment=OTHER, claimed_accuracy=0.99999999)
    assert found.verdict == claimed.verdict == "consistent"


@pytest.mark.parametrize(
    ("found", "stage", "reason"),
    [
        (reproduction(lock(model="x", figure="x")), "train", "the environment is the same"),
        (reproduction(lock(figure="x")), "plot", "the environment is the same"),
        (
            reproduction(lock(data="x", model="x"), environment=OTHER),
            "prepare",
            "it does not come from the stage that records the environment",
        ),
        (
            reproduction(lock(model="x"), environment=OTHER, losses=90),
            "train",
            "the predictions do not agree within the margin",
        ),
        # Better is not the same either.
        (
            reproduction(lock(model="x"), environment=OTHER, gains=90),
            "train",
            "the predictions do not agree within the margin",
        ),
        (
            Reproduction(lock(), lock(model="x"), OTHER, None, None),
            "train",
            "the predictions cannot be compared",
        ),
        (
            reproduction(lock(model="x"), environment=OTHER, claimed_accuracy=0.9765),
            "train",
            "claim an accuracy of 97.65%, but the predictions beside them have 100.00%",
        ),
    ],
)
def test_anything_else_is_not_reproduced(found: Reproduction, stage: str, reason: str) -> None:
    assert found.verdict == "not reproduced"
    assert found.first_difference == stage
    assert f"first of stage {stage!r}, whose inputs are the same" in found.sentence
    assert reason in found.sentence


def test_stage_beside_training_has_no_excuse_in_the_environment() -> None:
    def beside(md5: str) -> Lock:
        stage = LockedStage({"data.npy": "data.npy"}, {}, {"statistics.txt": md5})
        return {**lock(model="x" if md5 == "b" else "model"), "describe": stage}

    # Nor is an environment one that no stage records.
    def silent(md5: str) -> Lock:
        return {"train": LockedStage({"train.py": "a"}, {}, {"model": md5})}

    for made in (beside, silent):
        found = Reproduction(made("a"), made("b"), OTHER, comparison(), None)
        assert found.verdict == "not reproduced"


def test_file_of_a_folder_that_differs_is_no_change_during_the_run() -> None:
    """A folder has one hash, and a file in it another."""

    def folder(md5: str) -> Lock:
        return {
            "prepare": LockedStage({"prepare.py": "a"}, {}, {"d": f"{md5}.dir"}),
            "train": LockedStage({"d/x.txt": md5}, {}, {"model": md5}),
        }

    found = Reproduction(folder("b"), folder("c"), [], None, None)
    assert found.changed_meanwhile is None
    assert found.first_difference == "prepare"


@pytest.mark.parametrize(
    ("reproduced", "path"),
    [
        # Code with other bytes than those that the run began with.
        ({"train": "x"}, "train.py"),
        ({"params": "2"}, "params.yaml"),
    ],
)
def test_what_changed_during_the_run_is_named(reproduced: dict[str, str], path: str) -> None:
    found = reproduction(lock(**reproduced))
    assert found.verdict == "not reproduced"
    assert found.changed_meanwhile == (path, "train")
    assert f"{path}, on which stage 'train' depends, changed during the run" in found.sentence


def test_data_that_their_reader_changed_are_named() -> None:
    changed = dict(lock())
    train = changed["train"]
    changed["train"] = LockedStage(dict(train.deps) | {"data.npy": "x"}, train.params, train.outs)
    found = reproduction(changed)
    assert found.changed_meanwhile == ("data.npy", "train")
    assert found.verdict == "not reproduced"
