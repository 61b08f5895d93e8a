"""The studies, run by the real ``dvc`` on small data; with JAX, which is imported faster."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, finish

JAX = "jax"
SEEDS = [0, 1, 2]
RUNS = [f"repeat@{recipe}-{seed}" for recipe in ("original", "champion") for seed in SEEDS]


def study(project: Project) -> list[str]:
    """Run what is stale of the studies and return its stages."""
    output = project.run("dvc", "repro", "studies/dvc.yaml", KERAS_BACKEND=JAX)
    running = [line for line in output.splitlines() if line.startswith("Running stage")]
    return [line.split("'")[1].removeprefix("studies/dvc.yaml:") for line in running]


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, original: tuple[Project, list[str]]
) -> tuple[Project, list[str]]:
    """The project with studies of small recipes and three seeds, run and committed."""
    source, _ = original
    folder = tmp_path_factory.mktemp("studied") / "project"
    shutil.copytree(source.folder, folder, symlinks=True)
    project = Project(folder, source.home)
    (folder / "studies").mkdir()
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(ROOT / "studies" / name, folder / "studies" / name)

    def make_small(params: Any) -> None:
        params["summarise"]["seeds"] = SEEDS
        params["search"].update(seeds=[0, 1], settings=[{}, {"distortion": {"elastic": 0.0}}])

    project.edit_params(make_small, "studies/params.yaml")
    project.commit("Studies")
    ran = study(project)
    project.commit("Results of the studies")
    return project, ran


@pytest.fixture
def studied(done: tuple[Project, list[str]], tmp_path: Path) -> Project:
    """A copy of the studied project to do as one likes with."""
    source, _ = done
    shutil.copytree(source.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", source.home)


def test_first_run_trains_every_recipe_with_every_seed_and_the_second_none(
    done: tuple[Project, list[str]], studied: Project
) -> None:
    _, ran = done
    assert set(ran) == {*RUNS, "summarise", "illustrate"}
    assert study(studied) == []
    assert "up to date" in studied.run("dvc", "status")


def test_default_run_of_the_pipeline_leaves_the_studies_alone(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"]["champion"].update(epochs=2))
    assert studied.repro() == []
    assert "repeat@champion-1" in studied.run("dvc", "status")


def test_clone_without_data_has_the_results_of_the_studies(
    studied: Project, tmp_path: Path
) -> None:
    studied.run("git", "clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", studied.home)
    metrics = json.loads(clone.run("dvc", "metrics", "show", "--json"))
    found = metrics[""]["data"]["studies/summary.json"]["data"]
    assert list(found) == ["original", "champion"]
    assert found["champion"]["seeds"] == 3
    assert (tmp_path / "clone/studies/runs/champion-2.csv").exists()


def test_summary_is_what_the_runs_say(studied: Project) -> None:
    folder = studied.folder / "studies"
    summary = json.loads((folder / "summary.json").read_text())
    labels = np.load(studied.folder / "data/processed/test_labels.npy")
    for recipe in ("original", "champion"):
        accuracies = []
        for seed in SEEDS:
            run = json.loads((folder / f"runs/{recipe}-{seed}.json").read_text())
            errors = pd.read_csv(folder / f"runs/{recipe}-{seed}.csv")
            assert (labels[errors["image"]] == errors["actual"]).all()
            assert (errors["actual"] != errors["predicted"]).all()
            assert run["test_accuracy"] == (200 - len(errors)) / 200
            assert (run["recipe"], run["seed"], run["parameters"]) == (recipe, seed, 109_946)
            assert run["environment"]["backend"] == "jax"
            accuracies.append(run["test_accuracy"])
        found = summary[recipe]["test"]
        assert found["mean"] == pytest.approx(np.mean(accuracies))
        assert found["standard_deviation"] == pytest.approx(np.std(accuracies, ddof=1))
        assert (found["minimum"], found["maximum"]) == (min(accuracies), max(accuracies))
        reach = 4.302653 * np.std(accuracies, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees
        assert found["mean_interval"]["high"] == pytest.approx(np.mean(accuracies) + reach)


def test_run_with_the_pipelines_seed_is_the_pipelines_result(studied: Project) -> None:
    run = json.loads((studied.folder / "studies/runs/original-0.json").read_text())
    studied.repro("--force", "--single-item", "train", KERAS_BACKEND=JAX)
    studied.repro("--single-item", "evaluate", KERAS_BACKEND=JAX)
    metrics = json.loads((studied.folder / "reports/metrics.json").read_text())
    assert metrics["accuracy"] == run["test_accuracy"]


def test_killed_study_goes_on_with_the_run_that_it_was_at(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"]["champion"].update(epochs=4))
    process = studied.start("setsid", "dvc", "repro", "studies/dvc.yaml", KERAS_BACKEND=JAX)
    assert process.stdout
    started = []
    for line in process.stdout:
        if line.startswith("Running stage"):
            started.append(line.split("'")[1].removeprefix("studies/dvc.yaml:"))
        if len(started) == 2 and line.startswith("Epoch"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert set(started) < set(RUNS)
    (studied.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
    rest = study(studied)
    assert [run for run in rest if run.startswith("repeat")] == [
        run for run in RUNS if "champion" in run and run != started[0]
    ]
    assert "summarise" in rest
    assert study(studied) == []


def test_study_again_gives_the_same_bytes(studied: Project) -> None:
    studied.run("dvc", "repro", "--force", "studies/dvc.yaml", KERAS_BACKEND=JAX)
    assert studied.run("git", "status", "--porcelain") == ""


def test_code_edited_while_a_run_trains_fails_the_run(studied: Project) -> None:
    studied.edit_params(lambda params: params["recipes"]["champion"].update(epochs=500))
    process = studied.start("dvc", "repro", "studies/dvc.yaml", KERAS_BACKEND=JAX)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Epoch"):
            break
    studied.append("pipeline/network.py", "# A comment.\n")
    output = finish(process, 255)
    assert "repeat: pipeline/network.py changed while the stage ran" in output
    assert "`dvc commit studies/dvc.yaml:repeat` takes the results as they are" in output


def test_missing_run_is_named(studied: Project) -> None:
    (studied.folder / "studies/runs/champion-1.csv").unlink()
    output = studied.run("python", "-m", "pipeline.studies.summarise", status=1)
    assert output.startswith("summarise: [Errno 2] No such file or directory: ")
    assert "champion-1.csv" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["repeat", "amateur", "0"], "train.recipe: expected one of .*, found 'amateur'"),
        (["repeat", "champion", "-1"], "train.seed: .* greater than or equal to 0, found -1"),
        (["illustrate", "original"], "illustrate: the recipe has no distortion"),
    ],
)
def test_what_cannot_be_run_is_a_message(
    studied: Project, arguments: list[str], message: str
) -> None:
    verb, *rest = arguments
    output = studied.run(
        "python", "-m", f"pipeline.studies.{verb}", *rest, status=1, KERAS_BACKEND=JAX
    )
    (line,) = output.splitlines()
    assert re.search(message, line)


def test_plots_of_the_studies_are_dvcs_too(studied: Project) -> None:
    plots = json.loads(studied.run("dvc", "plots", "show", "--json"))["data"]
    (runs,) = (plots[name] for name in plots if name.endswith("runs"))
    assert len(runs[0]["content"]["data"]["values"]) == 2 * len(RUNS)


def test_search_adds_a_row_a_run_and_goes_on_where_it_was(studied: Project) -> None:
    search = ["python", "-m", "pipeline.studies.search"]
    table = studied.folder / "studies/search.csv"
    studied.run(*search, KERAS_BACKEND=JAX)
    whole = table.read_text()
    rows = pd.read_csv(table)
    assert rows["elastic"].tolist() == [0.7, 0.7, 0.0, 0.0]
    assert rows["seed"].tolist() == [0, 1, 0, 1]
    # Nothing of it has read the test images.
    for name in ("test_images", "test_labels"):
        (studied.folder / f"data/processed/{name}.npy").unlink()
    table.write_text("".join(whole.splitlines(keepends=True)[:3]))
    output = studied.run(*search, KERAS_BACKEND=JAX)
    assert [line.split(":")[0] for line in output.splitlines() if " of 4: " in line] == [
        "3 of 4",
        "4 of 4",
    ]
    assert table.read_text() == whole
