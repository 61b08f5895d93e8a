"""The study as users run it: a DVC project of its own beside the pipeline's, on small data."""

import json
import os
import re
import runpy
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from conftest import ROOT, Project, copied, made_once, preprocess_params
from dvc.repo import Repo
from in_process import call
from ruamel.yaml import YAML
from scripts import tables

from pipeline.evaluation.calibration import scaled
from pipeline.evaluation.robustness import PERTURBATIONS
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import check_inputs
from pipeline.studies.plot_label_doubts import plot_label_doubts
from pipeline.training.distortion import Strength

SEEDS = [0, 1]
LISTED = 60
PARTS = ("images", "labels")
RUNS = [f"train@original-{seed}" for seed in SEEDS]
ASSESSMENT = {"assess", "summarise"}
LABEL_DOUBTS = {"find_label_doubts", "plot_label_doubts"}
PICTURES = {"summarise", "plot_distortions", "plot_label_doubts"}
EVALUATION = {*ASSESSMENT, "export", *LABEL_DOUBTS, "plot_distortions"}
TRAINING = {*RUNS, "cross_validate", "plot_distortions"}
ALL = EVALUATION | TRAINING
DISTORTION = dict.fromkeys(Strength.model_fields, 0.1)


@pytest.fixture(scope="module")
def done(
    original: tuple[Project, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, list[str]]:
    """The project with a study of one recipe and two seeds, run and committed, and what ran.

    Nobody changes it.
    """

    def make_small(params: Any) -> None:
        params["study"].update(recipes=["original"], seeds=SEEDS)
        params["cross_validate"]["folds"] = 2
        params["find_label_doubts"].update(listed=LISTED)

    def examine_original(pipeline: Any) -> None:
        pipeline["vars"][0]["examined"] = "original"

    def make(folder: Path) -> list[str]:
        project = copied(original[0], folder / "project")
        project.edit_params(make_small, "studies/params.yaml")
        project.edit_params(examine_original, "studies/dvc.yaml")
        ran = project.studies.repro()
        project.commit("Results of the study")
        return ran

    folder, ran = made_once(tmp_path_factory, "studied", make)
    return Project(folder / "project", original[0].home), ran


@pytest.fixture
def study(done: tuple[Project, list[str]]) -> Path:
    """The folder of the study that has run, to read."""
    return done[0].studies.folder


@pytest.fixture
def studied(done: tuple[Project, list[str]], tmp_path: Path) -> Project:
    """A copy of the project with its study to do as one likes with."""
    return copied(done[0], tmp_path / "project")


@pytest.fixture(scope="module")
def shared(done: tuple[Project, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copied(done[0], tmp_path_factory.mktemp("edited") / "project")


@pytest.fixture
def edited(shared: Project) -> Iterator[Project]:
    """A copy of the project with its study, in which to edit files that are in Git."""
    yield shared
    shared.run("git", "checkout", "--quiet", ".")


def test_first_run_trains_every_recipe_with_every_seed_and_the_second_none(
    done: tuple[Project, list[str]], studied: Project
) -> None:
    _, ran = done
    assert len(ran) == len(ALL)
    assert set(ran) == ALL
    for chain in (
        [*RUNS, "assess", "summarise"],
        ["cross_validate", "find_label_doubts", "plot_label_doubts"],
    ):
        assert [stage for stage in ran if stage in chain] == chain
    assert studied.studies.repro() == []
    # The answers are DVC's alone, and nothing else is missing in Git.
    assert studied.run("git", "status", "--porcelain") == ""
    kept = studied.run("git", "ls-files", "studies").splitlines()
    assert "studies/runs/original-1.json" in kept
    assert not [name for name in kept if "answers" in name or "folds" in name]


def comment(name: str) -> Callable[[Project], None]:
    return lambda project: project.append(name, "# A comment.\n")


def change(section: str, file: str = "params.yaml", **values: Any) -> Callable[[Project], None]:
    def edit(params: Any) -> None:
        for name in section.split("."):
            params = params[name]
        params.update(values)

    return lambda project: project.edit_params(edit, file)


def change_study(section: str, **values: Any) -> Callable[[Project], None]:
    return change(section, "studies/params.yaml", **values)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (comment("pipeline/evaluation/rejection.py"), EVALUATION),
        (comment("pipeline/report/figures.py"), PICTURES),
        (comment("pipeline/studies/results/study.py"), EVALUATION - {"export"}),
        (comment("pipeline/studies/assess.py"), {"assess"}),
        (comment("pipeline/stages/train.py"), set()),
        (comment("pipeline/export/model_card.md"), {"export"}),
        (comment("pipeline/training/loop.py"), TRAINING),
        (comment("pipeline/runtime/errors.py"), ALL),
        (comment("pipeline/data/idx.py"), {"cross_validate", "export", *LABEL_DOUBTS}),
        (change("recipes.original", epochs=2), {*RUNS, "cross_validate", "export"}),
        (
            change("recipes.original", distortion=DISTORTION),
            {*RUNS, "cross_validate", "export", "plot_distortions"},
        ),
        (change("recipes.champion.distortion", elastic=0.1), set()),
        (change("train", hidden_units=[8]), {*RUNS, "cross_validate"}),
        (change("train", recipe="champion", checkpoint_every=1), set()),
        (change("evaluate", certainty=0.8), {"assess", "export", "find_label_doubts"}),
        (change_study("study", seeds=[0, 1, 2]), {"train@original-2", *ASSESSMENT}),
        (
            change_study("study", recipes=["original", "champion"]),
            {"train@champion-0", "train@champion-1", *ASSESSMENT},
        ),
        (change_study("find_label_doubts", listed=LISTED + 1), {"find_label_doubts"}),
    ],
)
def test_stages_that_an_edit_makes_stale(
    edited: Project,
    edit: Callable[[Project], None],
    expected: set[str],
    own_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert own_home.exists()
    edit(edited)
    monkeypatch.chdir(edited.studies.folder)
    with Repo() as repo:  # in this process: twenty starts of DVC take their time
        assert set(repo.status()) == expected


def test_commands_in_the_pipelines_folder_leave_the_study_alone(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"]["original"].update(epochs=2))
    pipeline = set(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
    assert set(json.loads(studied.run("dvc", "status", "--json"))) < pipeline
    for arguments in (["--all-pipelines"], ["--pipeline", "train"]):
        ran = studied.repro("--dry", *arguments)
        assert "train" in ran
        assert set(ran) < pipeline
    stale = set(json.loads(studied.studies.run("dvc", "status", "--json")))
    assert stale == {*RUNS, "cross_validate", "export"}


def test_clone_has_the_results_and_gets_the_answers_from_a_remote(
    studied: Project, tmp_path: Path
) -> None:
    studied.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", studied.home)
    metrics = json.loads(clone.studies.run("dvc", "metrics", "show", "--json"))[""]["data"]
    assert metrics["summary.json"]["data"]["original"]["seeds"] == 2
    assert metrics["label_doubts.json"]["data"]["train"]["images"] == 1300
    # Without the data, no stage runs and no result is lost.
    output = clone.studies.run("dvc", "repro", status=255)
    assert re.search(r"failed to reproduce 'train@original-0'.*studies/data/processed", output)
    assert clone.run("git", "status", "--porcelain") == ""
    for folder in ("raw", "processed"):
        shutil.copytree(studied.folder / "data" / folder, clone.folder / "data" / folder)
    output = clone.studies.run("dvc", "status")
    for name in ("answers/original-0/test.npy", "answers/original-1/training.json", "folds"):
        assert re.search(rf"not in cache: +{name}$", output, re.MULTILINE)
    assert "no default remote set" in clone.studies.run("dvc", "pull", status=1)

    remote = ("dvc", "remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
    studied.studies.run(*remote)
    studied.studies.run("dvc", "push")
    clone.studies.run(*remote)
    clone.studies.run("dvc", "pull")
    assert clone.studies.repro() == []


def test_run_with_the_pipelines_seed_is_the_pipelines_result(study: Path) -> None:
    run = json.loads((study / "runs/original-0.json").read_text())
    metrics = json.loads((study / "../reports/metrics.json").read_text())
    environment = json.loads((study / "../reports/environment.json").read_text())
    points = json.loads((study / "../data/model/operating_points.json").read_text())
    assert run["test_accuracy"] == metrics["accuracy"]
    assert run["parameters"] == metrics["parameters"] == 109_946
    assert run["calibration"] == metrics["calibration"]
    assert run["rejection"] == metrics["rejection"]
    assert run["operating_points"] == points
    assert run["environment"] == environment
    predictions = pd.read_csv(study / "../reports/predictions.csv")
    errors = predictions[predictions["actual"] != predictions["predicted"]]
    found = pd.read_csv(study / "runs/original-0.csv")
    assert found["image"].tolist() == errors.index.tolist()
    assert found["predicted"].tolist() == errors["predicted"].tolist()


def test_answers_are_probabilities_and_the_accuracies_theirs(study: Path) -> None:
    for seed in SEEDS:
        folder = study / f"answers/original-{seed}"
        assert {path.name for path in folder.iterdir()} == {
            *("model.keras", "test.npy", "training.json", "validation.npy")
        }
        facts = json.loads((folder / "training.json").read_text())
        run = json.loads((study / f"runs/original-{seed}.json").read_text())
        assert (facts["recipe"], facts["seed"]) == ("original", seed)
        for part, images in (("validation", 100), ("test", 200)):
            answers = np.load(folder / f"{part}.npy")
            labels = np.load(study / f"data/processed/{part}_labels.npy")
            assert (answers.shape, answers.dtype) == ((images, 10), np.float32)
            np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
            accuracy = (answers.argmax(axis=1) == labels).mean()
            assert run[f"{part}_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    first, second = (np.load(study / f"answers/original-{seed}/test.npy") for seed in SEEDS)
    assert not np.array_equal(first, second)


def test_exported_network_is_that_of_the_first_seed(study: Path) -> None:
    run = json.loads((study / "runs/original-0.json").read_text())
    points = json.loads((study / "champion/operating_points.json").read_text())
    assert points == run["operating_points"]
    network = onnxruntime.InferenceSession((study / "champion/model.onnx").read_bytes())
    images, labels = (np.load(study / f"data/processed/test_{part}.npy") for part in PARTS)
    (found,) = network.run(["probabilities"], {"pixels": images})
    answers = np.load(study / "answers/original-0/test.npy")
    np.testing.assert_allclose(found, scaled(answers, points["temperature"]), atol=1e-5)
    told = network.get_modelmeta().custom_metadata_map
    assert json.loads(told["operating_points"]) == points
    assert json.loads(told["classes"]) == [str(digit) for digit in range(10)]
    assert json.loads(told["run"]) == "original-0"
    assert json.loads(told["recipe"])["optimizer"] == "adam"

    card = tables((study / "champion/README.md").read_text())
    by_class = card["Results by class"][1:]
    for digit, (name, count, right) in enumerate(by_class):
        mine = answers[labels == digit].argmax(axis=1) == digit
        assert (name, int(count)) == (str(digit), len(mine))
        assert right.startswith(f"{mine.mean():.2%} (")
    perturbed = card["Results by perturbation"][1:]
    assert len(perturbed) == sum(len(one.strengths) for one in PERTURBATIONS.values())


def test_recipe_can_be_removed_as_contributing_says(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"].pop("champion"))
    listed = studied.studies.run("dvc", "stage", "list")
    assert "champion" not in listed
    assert "train@original-" in listed
    # Here `examined` names the other one already.
    assert studied.studies.repro() == []


def test_damaged_table_of_doubts_is_a_message(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = (study / "label_doubts.csv").read_text().splitlines()[0]
    table, picture = tmp_path / "label_doubts.csv", tmp_path / "label_doubts.png"
    monkeypatch.chdir(study)
    for content, message in (
        ("", "not a table"),
        (f"{header}\ntrain,1300,1,2,0.1,0.9\n", "lists images beyond the last train image"),
    ):
        table.write_text(content)
        with pytest.raises(PipelineError, match=rf"label_doubts\.csv: {message}"):
            plot_label_doubts(preprocess_params(), table=table, picture=picture)
        assert not picture.exists()


@pytest.mark.parametrize(
    ("command", "edit", "message"),
    [
        (
            ["train", "amateur", "0"],
            None,
            r"train: \.\./params\.yaml: train\.recipe: expected the name .*, found 'amateur'",
        ),
        (
            ["cross_validate", "champion"],
            change_study("cross_validate", folds=1),
            r"cross_validate: params\.yaml: cross_validate\.folds: .* greater than or equal to 2",
        ),
        (
            ["summarise"],
            change_study("study", seeds=[0, 1, 1]),
            r"summarise: params\.yaml: study\.seeds: Value error, a value is listed twice",
        ),
    ],
)
def test_what_cannot_be_run_is_a_message_of_one_line(
    edited: Project,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    edit: Callable[[Project], None] | None,
    message: str,
) -> None:
    if edit:
        edit(edited)
    monkeypatch.chdir(edited.studies.folder)
    monkeypatch.setattr(sys, "argv", command)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(f"pipeline/studies/{command[0]}.py", run_name="__main__")
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert re.match(message, str(ended.value))
    assert "\n" not in str(ended.value)
    assert edited.run("git", "status", "--porcelain").split() == (
        ["M", "studies/params.yaml"] if edit else []
    )


def test_front_door_runs_a_stage_of_the_study_in_its_folder(edited: Project) -> None:
    (edited.folder / "studies/runs/original-1.csv").unlink()
    output = edited.run("python", "-m", "pipeline", "study", "summarise", status=1)
    assert re.match(r"summarise: \[Errno 2\] No such file or directory: .*original-1\.csv", output)


def rot(file: Path) -> None:
    """Change the last byte of a file, but neither its size nor its time."""
    before, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_edit_of_the_evaluation_assesses_what_is_not_rotten_without_any_training(
    studied: Project,
) -> None:
    answers = studied.studies.folder / "answers/original-1/test.npy"
    studied.studies.run("dvc", "status", "assess")  # DVC remembers size and time
    rot(answers)
    assert "up to date" in studied.studies.run("dvc", "status", "assess")
    studied.append("pipeline/evaluation/rejection.py", "# A comment.\n")
    output = studied.studies.run("dvc", "repro", "assess", status=255)
    assert "assess: answers/original-1/test.npy: not what its stage wrote" in output
    rot(answers)  # back
    ran = studied.studies.repro("summarise", "find_label_doubts")
    assert set(ran) == {"assess", "summarise", "find_label_doubts"}
    assert ran.index("assess") < ran.index("summarise")
    changed = studied.run("git", "status", "--porcelain").split()
    assert changed == ["M", "pipeline/evaluation/rejection.py", "M", "studies/dvc.lock"]


def test_rotten_data_of_the_pipeline_are_no_input_of_the_study(
    studied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(studied.studies.folder)
    inputs = [Path("data/raw"), Path("data/processed"), Path("folds"), Path("pipeline/model")]
    check_inputs(inputs)
    rot(Path("data/processed/train_images.npy"))
    with pytest.raises(PipelineError, match=r"^data/processed: not what its stage wrote"):
        check_inputs(inputs)


def test_plots_of_the_study_are_dvcs_too(edited: Project) -> None:
    plots = json.loads(edited.studies.run("dvc", "plots", "show", "--json"))["data"]
    (runs,) = (plots[name] for name in plots if name.endswith("test_accuracy_of_runs"))
    content = runs[0]["content"]
    rows = content["data"]["values"]
    assert [(row["recipe"], int(row["seed"])) for row in rows] == [("original", n) for n in SEEDS]
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows)
    assert content["facet"]["column"]["field"] == "recipe"
    assert "<DVC" not in json.dumps(content)
    for name in ("runs.png", "distortions.png", "label_doubts.png"):
        assert name in plots


def test_comparison_tells_what_changed_after_the_runs_of_a_recipe(edited: Project) -> None:
    def add_champion(lock: Any) -> None:
        """Let the lock know a run of another recipe too."""
        champion = json.loads(json.dumps(lock["stages"]["train@original-0"]))
        params = champion["params"]["../params.yaml"]
        params["recipes.champion"] = params.pop("recipes.original") | {"epochs": 12345}
        for out in champion["outs"]:
            out["path"] = out["path"].replace("original", "champion")
        lock["stages"]["train@champion-0"] = champion

    command = ("compare", "--recipes", "original", "original")
    edited.edit_params(add_champion, "studies/dvc.lock")
    assert "Out of date" not in call(edited, *command)
    edited.edit_params(lambda params: params["recipes"]["original"].update(epochs=2))
    output = call(edited, *command)
    assert output.count("Out of date: params.yaml changed after the runs of original were") == 2


@pytest.mark.slow  # two trainings
def test_networks_trained_anew_are_not_judged_by_the_answers_of_those_before(
    studied: Project,
) -> None:
    studied.edit_params(lambda params: params["recipes"]["original"].update(learning_rate=1e-5))
    assert len(studied.studies.repro("train")) == len(SEEDS)
    studied.commit("Trained")
    for revision in ("original", "HEAD:original"):
        output = call(studied, "compare", "--recipes", "HEAD~1:original", revision, status=2)
        assert "stage 'assess' has read another answers than there is" in output
    studied.studies.repro("summarise")
    studied.commit("Assessed")
    assert "Worse" in call(studied, "compare", "--recipes", "HEAD~2:original", "original")


def pause_second_run(project: Project) -> Path:
    """Let the training with seed 1 wait; return the file at whose removal it goes on."""
    file, waited_for = project.folder / "pipeline/studies/train.py", project.folder / "wait"
    pin = "    device = pin(params.threads)\n"
    wait = (
        "    import time\n"
        f"    while params.seed == 1 and Path({str(waited_for)!r}).exists():\n"
        '        print("Waiting", flush=True)\n'
        "        time.sleep(0.1)\n"
    )
    assert pin in file.read_text()
    file.write_text(file.read_text().replace(pin, wait + pin))
    waited_for.touch()
    return waited_for


@pytest.mark.slow  # a fault: two trainings, and one again
def test_killed_study_goes_on_with_the_run_that_it_was_at(studied: Project) -> None:
    waited_for = pause_second_run(studied)
    process = studied.studies.start("dvc", "repro")
    assert process.stdout
    started = []
    for line in process.stdout:
        started += re.findall(r"Running stage '(.*)'", line)
        if line == "Waiting\n":
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert started == RUNS
    waited_for.unlink()
    # The same answers as before: there is nothing to assess.
    assert studied.studies.repro() == RUNS[1:]
    assert studied.studies.repro() == []


@pytest.mark.slow  # a repetition: all of the first run again
def test_study_again_trains_every_run_and_gives_the_same_bytes(studied: Project) -> None:
    studied.append("pipeline/runtime/errors.py", "# A comment.\n")
    assert set(studied.studies.repro()) == ALL
    changed = studied.run("git", "status", "--porcelain").split()
    assert changed == ["M", "pipeline/runtime/errors.py", "M", "studies/dvc.lock"]
    outs = [
        [stage.get("outs") for stage in YAML(typ="safe").load(text)["stages"].values()]
        for text in (
            studied.run("git", "show", "HEAD:studies/dvc.lock"),
            (studied.folder / "studies/dvc.lock").read_text(),
        )
    ]
    assert outs[0] == outs[1]
