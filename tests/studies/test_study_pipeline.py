"""The study as users run it: a DVC project of its own beside the pipeline's, on small data."""

import gzip
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, finish
from dvc.repo import Repo
from filelock import FileLock
from ruamel.yaml import YAML

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import check_inputs
from pipeline.studies import (
    assess,
    cross_validate,
    find_label_doubts,
    plot_distortions,
    plot_label_doubts,
    summarise,
    train,
)

SEEDS = [0, 1]
LISTED = 60
KNOWN = [3, 50, 199]  # test images; nothing is wrong with them
TARGETS = ["0.005", "0.001"]
RUNS = [f"train@original-{seed}" for seed in SEEDS]
ASSESSMENT = {"assess", "summarise"}
LABEL_DOUBTS = {"find_label_doubts", "plot_label_doubts"}
PICTURES = {"summarise", "plot_distortions", "plot_label_doubts"}
EVALUATION = {*ASSESSMENT, *LABEL_DOUBTS, "plot_distortions"}
TRAINING = {*RUNS, "cross_validate", "plot_distortions"}
ALL = EVALUATION | TRAINING


@pytest.fixture(scope="module")
def done(original: tuple[Project, list[str]]) -> tuple[Project, list[str]]:
    """The project with a study of one recipe and two seeds, run and committed, and what ran.

    All processes of the tests share it, as they share the project: the first makes it. Nobody
    changes it.
    """
    source, _ = original
    folder = source.folder.with_name("studied")
    project, stages = Project(folder, source.home), folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not stages.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            shutil.copytree(source.folder, folder, symlinks=True)

            def make_small(params: Any) -> None:
                params["study"].update(recipes=["original"], seeds=SEEDS)
                params["cross_validate"]["folds"] = 2
                params["find_label_doubts"].update(listed=LISTED, known_test_errors=KNOWN)

            project.edit_params(make_small, "studies/params.yaml")
            ran = project.studies.repro()
            project.commit("Results of the study")
            stages.write_text(json.dumps(ran))
    return project, json.loads(stages.read_text())


@pytest.fixture
def study(done: tuple[Project, list[str]]) -> Path:
    """The folder of the study that has run, to read."""
    return done[0].studies.folder


@pytest.fixture
def studied(done: tuple[Project, list[str]], tmp_path: Path) -> Project:
    """A copy of the project with its study to do as one likes with."""
    source, _ = done
    shutil.copytree(source.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", source.home)


@pytest.fixture(scope="module")
def copied(done: tuple[Project, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Project:
    source, _ = done
    folder = tmp_path_factory.mktemp("edited") / "project"
    shutil.copytree(source.folder, folder, symlinks=True)
    return Project(folder, source.home)


@pytest.fixture
def edited(copied: Project) -> Iterator[Project]:
    """A copy of the project with its study, in which to edit files that are in Git."""
    yield copied
    copied.run("git", "checkout", "--quiet", ".")


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
        (comment("pipeline/studies/results/study.py"), EVALUATION),
        (comment("pipeline/studies/assess.py"), {"assess"}),
        (comment("pipeline/studies/search.py"), set()),
        (comment("pipeline/tools/compare/comparison.py"), set()),
        (comment("pipeline/history/changes.py"), set()),
        (comment("pipeline/stages/train.py"), set()),
        (comment("pipeline/training/loop.py"), TRAINING),
        (comment("pipeline/model/network.py"), TRAINING),
        (comment("pipeline/runtime/errors.py"), ALL),
        (comment("pipeline/data/idx.py"), {"cross_validate", *LABEL_DOUBTS}),
        (change("recipes.original", epochs=2), set(RUNS)),
        (change("recipes.champion", epochs=2), {"cross_validate"}),
        (
            change("recipes.champion.distortion", elastic=0.1),
            {"cross_validate", "plot_distortions"},
        ),
        (change("train", seed=5), {"cross_validate", "plot_distortions"}),
        (change("train", hidden_units=[8]), {*RUNS, "cross_validate"}),
        (change("train", recipe="champion", checkpoint_every=1), set()),
        (change("evaluate", certainty=0.8), {"assess", "find_label_doubts"}),
        (change("plot", dpi=10), set()),
        (change_study("study", seeds=[0, 1, 2]), {"train@original-2", *ASSESSMENT}),
        (
            change_study("study", recipes=["original", "champion"]),
            {"train@champion-0", "train@champion-1", *ASSESSMENT},
        ),
        (change_study("cross_validate", seed=1), {"cross_validate"}),
        (change_study("find_label_doubts", known_test_errors=[]), {"find_label_doubts"}),
        (change_study("search", seeds=[5]), set()),
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


def test_edit_of_the_evaluation_is_assessed_anew_without_any_training(studied: Project) -> None:
    studied.append("pipeline/evaluation/rejection.py", "# A comment.\n")
    ran = studied.studies.repro("summarise", "find_label_doubts")
    assert ran == ["assess", "summarise", "find_label_doubts"]
    changed = studied.run("git", "status", "--porcelain").split()
    assert changed == ["M", "pipeline/evaluation/rejection.py", "M", "studies/dvc.lock"]


def test_commands_in_the_pipelines_folder_leave_the_study_alone(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"]["original"].update(epochs=2))
    pipeline = set(YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"])
    assert set(json.loads(studied.run("dvc", "status", "--json"))) < pipeline
    for arguments in (["--all-pipelines"], ["--pipeline", "train"]):
        ran = studied.repro("--dry", *arguments)
        assert "train" in ran
        assert set(ran) < pipeline
    assert set(json.loads(studied.studies.run("dvc", "status", "--json"))) == set(RUNS)


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
    for name in ("answers/original-0", "answers/original-1", "folds"):
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
            *("test.npy", "training.json", "validation.npy")
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


def test_doubts_are_of_images_of_either_part_with_the_labels_that_they_have(study: Path) -> None:
    table = pd.read_csv(study / "label_doubts.csv")
    facts = json.loads((study / "label_doubts.json").read_text())
    for part, prefix, answers in (("train", "train", "held_out"), ("test", "t10k", "test")):
        content = (study / f"data/raw/{prefix}-labels-idx1-ubyte.gz").read_bytes()
        labels = np.frombuffer(gzip.decompress(content), np.uint8, offset=8)
        mine = table[table["part"] == part]
        assert np.load(study / f"folds/{answers}.npy").shape[-2:] == (len(labels), 10)
        assert facts[part]["images"] == len(labels)
        assert len(mine) == min(LISTED, facts[part]["disagreements"])
        assert (labels[mine["image"]] == mine["label"]).all()
    assert list(facts["rejection"]) == TARGETS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table"),
        ("{header}\n", "expected rows of the columns part, image"),
        ("{header}\ntrain,1300,1,2,0.1,0.9\n", "lists images beyond the last train image"),
        ("{header}\ntest,-1,1,2,0.1,0.9\n", "lists images beyond the last test image"),
        ("{header}\ntest,one,1,2,0.1,0.9\n", "expected finite numbers in image"),
    ],
)
def test_damaged_table_of_doubts_is_a_message(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    header = (study / "label_doubts.csv").read_text().splitlines()[0]
    table = tmp_path / "label_doubts.csv"
    table.write_text(content.format(header=header))
    monkeypatch.chdir(study)
    with pytest.raises(PipelineError, match=rf"label_doubts\.csv: {message}"):
        plot_label_doubts.plot_label_doubts(table=table, picture=tmp_path / "label_doubts.png")
    assert not (tmp_path / "label_doubts.png").exists()


@pytest.mark.parametrize(
    ("main", "words", "edit", "message"),
    [
        (
            train.main,
            ["amateur", "0"],
            None,
            r"train: \.\./params\.yaml: train\.recipe: expected the name .*, found 'amateur'",
        ),
        (
            train.main,
            ["original", "-1"],
            None,
            r"train: \.\./params\.yaml: train\.seed: .* greater than or equal to 0, found -1",
        ),
        (
            plot_distortions.main,
            ["original"],
            None,
            "plot_distortions: the recipe has no distortio",
        ),
        (
            cross_validate.main,
            ["champion"],
            change_study("cross_validate", folds=1),
            r"cross_validate: params\.yaml: cross_validate\.folds: .* greater than or equal to 2",
        ),
        (
            find_label_doubts.main,
            [],
            change_study("find_label_doubts", listed=0),
            r"find_label_doubts: params\.yaml: find_label_doubts\.listed: .* or equal to 50",
        ),
        (
            assess.main,
            [],
            change_study("study", recipes=[]),
            r"assess: params\.yaml: study\.recipes: List should have at least 1 item",
        ),
        (
            summarise.main,
            [],
            change_study("study", seeds=[0, 1, 1]),
            r"summarise: params\.yaml: study\.seeds: Value error, a value is listed twice",
        ),
    ],
)
def test_what_cannot_be_run_is_a_message_of_one_line(
    edited: Project,
    monkeypatch: pytest.MonkeyPatch,
    *,
    main: Callable[[], None],
    words: list[str],
    edit: Callable[[Project], None] | None,
    message: str,
) -> None:
    if edit:
        edit(edited)
    monkeypatch.chdir(edited.studies.folder)
    monkeypatch.setattr(sys, "argv", ["stage", *words])
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert re.match(message, str(ended.value))
    assert "\n" not in str(ended.value)
    assert edited.run("git", "status", "--porcelain").split() == (
        ["M", "studies/params.yaml"] if edit else []
    )


def test_front_door_runs_a_stage_of_the_study_in_its_folder(studied: Project) -> None:
    (studied.folder / "studies/runs/original-1.csv").unlink()
    command = ("python", "-m", "pipeline", "study", "summarise")
    output = studied.run(*command, status=1)
    assert re.match(r"summarise: \[Errno 2\] No such file or directory: .*original-1\.csv", output)


def rot(file: Path) -> None:
    """Change the last byte of a file, but neither its size nor its time."""
    before, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_rotten_answers_that_dvc_takes_for_unchanged_are_not_assessed(studied: Project) -> None:
    studied.studies.run("dvc", "status", "assess")  # DVC remembers size and time
    rot(studied.studies.folder / "answers/original-1/test.npy")
    assert "up to date" in studied.studies.run("dvc", "status", "assess")
    studied.append("pipeline/evaluation/rejection.py", "# A comment.\n")
    output = studied.studies.run("dvc", "repro", "assess", status=255)
    assert "assess: answers/original-1: not what its stage wrote" in output


def test_rotten_data_of_the_pipeline_are_no_input_of_the_study(
    studied: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(studied.studies.folder)
    inputs = [Path("data/raw"), Path("data/processed"), Path("folds"), Path("pipeline/model")]
    check_inputs(inputs)
    rot(Path("data/processed/train_images.npy"))
    with pytest.raises(PipelineError, match=r"^data/processed: not what its stage wrote"):
        check_inputs(inputs)


def test_plots_of_the_study_are_dvcs_too(studied: Project) -> None:
    plots = json.loads(studied.studies.run("dvc", "plots", "show", "--json"))["data"]
    (runs,) = (plots[name] for name in plots if name.endswith("test_accuracy_of_runs"))
    content = runs[0]["content"]
    rows = content["data"]["values"]
    assert [(row["recipe"], int(row["seed"])) for row in rows] == [("original", n) for n in SEEDS]
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in rows)
    assert content["facet"]["column"]["field"] == "recipe"
    assert "<DVC" not in json.dumps(content)
    for name in ("runs.png", "distortions.png", "label_doubts.png"):
        assert name in plots


def test_comparison_tells_what_changed_after_the_runs_of_a_recipe(studied: Project) -> None:
    def add_champion(lock: Any) -> None:
        """Let the lock know a run of another recipe too."""
        champion = json.loads(json.dumps(lock["stages"]["train@original-0"]))
        params = champion["params"]["../params.yaml"]
        params["recipes.champion"] = params.pop("recipes.original") | {"epochs": 12345}
        champion["outs"][0]["path"] = "answers/champion-0"
        lock["stages"]["train@champion-0"] = champion

    command = ["python", "-m", "pipeline", "compare", "--recipes", "original", "original"]
    studied.edit_params(add_champion, "studies/dvc.lock")
    assert "Out of date" not in studied.run(*command)
    studied.edit_params(lambda params: params["recipes"]["original"].update(epochs=2))
    output = studied.run(*command)
    assert output.count("Out of date: params.yaml changed after the runs of original were") == 2


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


@pytest.mark.slow  # the same fault of the pipeline's own stages is in the fast suite
def test_code_edited_while_a_run_trains_fails_the_run(studied: Project) -> None:
    waited_for = pause_second_run(studied)
    process = studied.studies.start("dvc", "repro", "train@original-1")
    assert process.stdout
    for line in process.stdout:
        if line == "Waiting\n":
            break
    studied.append("pipeline/model/network.py", "# A comment.\n")
    waited_for.unlink()
    output = finish(process, 255)
    assert "train: pipeline/model/network.py changed while the stage ran" in output
    assert re.search(r"`dvc commit train.*` takes the results as they are", output)


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


@pytest.mark.slow  # a repetition: trains with another backend
def test_recipe_added_with_another_backend_is_not_put_together_with_the_runs_there(
    studied: Project,
) -> None:
    studied.edit_params(
        lambda params: params["study"].update(seeds=[0, 1, 2]), "studies/params.yaml"
    )
    output = studied.studies.run("dvc", "repro", "summarise", status=255, KERAS_BACKEND="jax")
    assert "original-2 has other environment than original-0, as 1 runs have" in output
