"""The studies, run by the real ``dvc`` on small data; with JAX, which is imported faster."""

import gzip
import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, Project, finish

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import load_section
from pipeline.studies.plot_label_doubts import depict
from pipeline.studies.search import as_row
from pipeline.training.loop import TrainParams

JAX = "jax"
SEEDS = [0, 1, 2]
LISTED = 60
KNOWN = [3, 50, 199]  # test images; nothing is wrong with them
TARGETS = ["0.005", "0.001"]
RUNS = [f"repeat@{recipe}-{seed}" for recipe in ("original", "champion") for seed in SEEDS]
AFTER_RUNS = ["summarise", "illustrate", "doubt", "depict"]


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
        params["doubt"].update(folds=2, listed=LISTED, known_test_errors=KNOWN)
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
    assert set(ran) == {*RUNS, *AFTER_RUNS}
    assert ran.index("doubt") < ran.index("depict")
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
    doubts = metrics[""]["data"]["studies/label_doubts.json"]["data"]
    assert doubts["train"]["images"] == 1300
    assert (tmp_path / "clone/studies/label_doubts.png").exists()
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


def test_what_can_be_decided_alone_is_what_the_runs_say(studied: Project) -> None:
    folder = studied.folder / "studies"
    summary = json.loads((folder / "summary.json").read_text())
    table = pd.read_csv(folder / "rejection.csv")
    assert len(table) == len(RUNS) * len(TARGETS)
    rows = iter(table.to_dict("records"))
    for recipe in ("original", "champion"):
        runs = [json.loads((folder / f"runs/{recipe}-{n}.json").read_text()) for n in SEEDS]
        for run in runs:
            for target in TARGETS:
                row, found = next(rows), run["rejection"][target]
                assert (row["recipe"], row["seed"]) == (recipe, run["seed"])
                assert row["target_error"] == float(target)
                assert row["coverage"] == found["coverage"]
                assert row["errors"] == found["errors"]
                threshold = run["operating_points"]["thresholds"][target]
                wanted = np.nan if threshold is None else threshold
                assert row["threshold"] == pytest.approx(wanted, nan_ok=True)
        temperatures = [run["operating_points"]["temperature"] for run in runs]
        calibration = summary[recipe]["calibration"]
        assert calibration["temperature"] == pytest.approx(np.mean(temperatures))
        assert list(summary[recipe]["rejection"]) == TARGETS
        # 100 validation images are too few for any threshold.
        assert summary[recipe]["rejection"]["0.001"] == {
            "runs_with_threshold": 0,
            "mean_coverage": 0,
            "minimum_coverage": 0,
            "maximum_coverage": 0,
        }


def test_doubts_are_of_images_of_either_part_with_the_labels_that_they_have(
    studied: Project,
) -> None:
    folder = studied.folder / "studies"
    raw = studied.folder / "data/raw"
    table = pd.read_csv(folder / "label_doubts.csv")
    facts = json.loads((folder / "label_doubts.json").read_text())
    for part, prefix, images in (("train", "train", 1300), ("test", "t10k", 200)):
        content = gzip.decompress((raw / f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
        labels = np.frombuffer(content, np.uint8, offset=8)
        mine = table[table["part"] == part]
        assert facts[part]["images"] == len(labels) == images
        assert len(mine) == min(LISTED, facts[part]["disagreements"])
        assert mine["image"].is_unique
        assert (labels[mine["image"]] == mine["label"]).all()
        assert (mine["label"] != mine["suggestion"]).all()
        margin = mine["suggestion_probability"] - mine["label_probability"]
        assert (margin > 0).all()
        assert margin.is_monotonic_decreasing
    top = set(table[table["part"] == "test"]["image"][:50])
    assert facts["test"]["known_label_errors"] == len(KNOWN)
    assert facts["test"]["known_in_top_50"] == len(top & set(KNOWN))
    assert facts["operating_points"]["validation_images"] == 1300
    assert list(facts["rejection"]) == TARGETS


def test_changed_list_of_known_errors_reruns_the_doubts_alone(studied: Project) -> None:
    studied.edit_params(
        lambda params: params["doubt"].update(known_test_errors=[]), "studies/params.yaml"
    )
    before = (studied.folder / "studies/label_doubts.csv").read_bytes()
    # The table is the same as before, so the picture has not to be drawn again.
    assert study(studied) == ["doubt"]
    assert (studied.folder / "studies/label_doubts.csv").read_bytes() == before
    facts = json.loads((studied.folder / "studies/label_doubts.json").read_text())
    assert facts["test"]["known_in_top_50"] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table"),
        ("{header}\n", "expected rows of the columns part, image"),
        ("{header}\ntrain,1300,1,2,0.1,0.9\n", "lists images that the train images have not got"),
        ("{header}\ntest,-1,1,2,0.1,0.9\n", "lists images that the test images have not got"),
        ("{header}\ntest,one,1,2,0.1,0.9\n", "expected finite numbers in image"),
    ],
)
def test_damaged_table_of_doubts_is_a_message(
    done: tuple[Project, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str,
    message: str,
) -> None:
    folder = done[0].folder
    header = (folder / "studies/label_doubts.csv").read_text().splitlines()[0]
    table = tmp_path / "label_doubts.csv"
    table.write_text(content.format(header=header))
    monkeypatch.chdir(folder)
    with pytest.raises(PipelineError, match=rf"label_doubts\.csv: {message}"):
        depict(table=table, picture=tmp_path / "label_doubts.png")
    assert not (tmp_path / "label_doubts.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known_test_errors": [200]}, "doubt.known_test_errors: an index beyond the last test"),
        ({"folds": 1}, "studies/params.yaml: doubt.folds: .* greater than or equal to 2"),
        ({"listed": 0}, "studies/params.yaml: doubt.listed: "),
    ],
)
def test_doubt_that_cannot_be_run_is_a_message(
    studied: Project, change: dict[str, Any], message: str
) -> None:
    studied.edit_params(lambda params: params["doubt"].update(change), "studies/params.yaml")
    output = studied.run(
        "python", "-m", "pipeline.studies.doubt", "champion", status=1, KERAS_BACKEND=JAX
    )
    (line,) = output.splitlines()
    assert re.match(rf"doubt: {message}", line)


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
    rest = study(studied)
    assert [run for run in rest if run.startswith("repeat")] == [
        run for run in RUNS if "champion" in run and run != started[0]
    ]
    assert "summarise" in rest
    assert study(studied) == []


def test_study_again_gives_the_same_bytes(studied: Project) -> None:
    stages = ["repeat@original-1", "repeat@champion-2", *AFTER_RUNS]
    targets = [f"studies/dvc.yaml:{stage}" for stage in stages]
    studied.run("dvc", "repro", "--force", "--single-item", *targets, KERAS_BACKEND=JAX)
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
        (
            ["repeat", "amateur", "0"],
            "train.recipe: expected the name of a recipe .*, found 'amateur'",
        ),
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
    (runs,) = (plots[name] for name in plots if name.endswith("test_accuracy_of_runs"))
    content = runs[0]["content"]
    shown = [(row["recipe"], int(row["seed"])) for row in content["data"]["values"]]
    assert shown == [(recipe, seed) for recipe in ("original", "champion") for seed in SEEDS]
    assert all(0 <= float(row["test_accuracy"]) <= 1 for row in content["data"]["values"])
    assert content["facet"]["column"]["field"] == "recipe"
    assert "<DVC" not in json.dumps(content)


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


def test_search_tries_anew_what_was_tried_of_another_network(studied: Project) -> None:
    search = ["python", "-m", "pipeline.studies.search"]
    settings = {"base": "original", "seeds": [0], "settings": [{}, {}]}
    studied.edit_params(lambda params: params["search"].update(settings), "studies/params.yaml")
    studied.run(*search, KERAS_BACKEND=JAX)
    studied.edit_params(lambda params: params["train"].update(hidden_units=[8]))
    output = studied.run(*search, KERAS_BACKEND=JAX)
    rows = pd.read_csv(studied.folder / "studies/search.csv", dtype=str)
    assert rows["hidden_units"].tolist() == ["128-64-16", "8"]
    assert output.count("seeds") == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([{"epoch": 3}], "search.settings.0.epoch: Extra inputs are not permitted"),
        ([{}, {"distortion": 5}], "search.settings.1.distortion: Input should be a valid dict"),
        ([{"distortion": {"elastic": -1.0}}], "search.settings.0.distortion.elastic: "),
        ([], "search.settings: List should have at least 1 item"),
    ],
)
def test_setting_that_is_no_recipe_is_named(
    studied: Project, settings: list[dict[str, Any]], message: str
) -> None:
    def change(params: Any) -> None:
        params["search"]["settings"] = settings

    studied.edit_params(change, "studies/params.yaml")
    output = studied.run("python", "-m", "pipeline.studies.search", status=1, KERAS_BACKEND=JAX)
    assert output.startswith(f"search: studies/params.yaml: {message}")


@pytest.mark.parametrize("damage", ["", "a,b\n1,2\n", "{header}1,2\n", "{header}{row}{row}oops"])
def test_damaged_table_of_the_search_is_left_alone(studied: Project, damage: str) -> None:
    table = studied.folder / "studies/search.csv"
    columns = as_row(load_section("train", TrainParams, ROOT / "params.yaml"))
    header = ",".join([*columns, "val_loss", "val_accuracy"]) + "\n"
    table.write_text(damage.format(header=header, row="1," * len(columns) + "0.5,0.5\n"))
    before = table.read_bytes()
    output = studied.run("python", "-m", "pipeline.studies.search", status=1, KERAS_BACKEND=JAX)
    assert output.startswith("search: studies/search.csv: expected the columns backend, threads,")
    assert table.read_bytes() == before


def test_list_with_a_value_twice_is_refused(studied: Project) -> None:
    studied.edit_params(
        lambda params: params["summarise"].update(seeds=[0, 1, 1]), "studies/params.yaml"
    )
    output = studied.run("python", "-m", "pipeline.studies.summarise", status=1)
    assert "studies/params.yaml: summarise.seeds: Value error, a value is listed twice" in output


def test_runs_of_two_environments_are_not_put_together(studied: Project) -> None:
    file = studied.folder / "studies/runs/champion-2.json"
    run = json.loads(file.read_text())
    run["environment"]["backend"] = "tensorflow"
    file.write_text(json.dumps(run))
    output = studied.run("python", "-m", "pipeline.studies.summarise", status=1)
    assert "champion-2 has other environment than original-0, as 1 runs have" in output


@pytest.mark.parametrize(
    ("damage", "fact"),
    [
        (
            lambda text: text.replace('"coverage": ', '"coverag": '),
            "coverage: Field required",
        ),
        (lambda text: text.replace('"temperature": ', '"temperature": "a", "": '), "temperature"),
        (lambda text: text.replace('"thresholds": {', '"thresholds": {"0.5": 1, '), "this run"),
        (lambda text: text.replace('"seed": 2', '"seed": 1'), "not the file of this run"),
        (lambda _: "[" * 100_000, "JSON: Invalid JSON"),
        (lambda _: "[]", "JSON: Input should be a"),
    ],
)
def test_damaged_run_is_a_message(
    studied: Project, damage: Callable[[str], str], fact: str
) -> None:
    file = studied.folder / "studies/runs/champion-2.json"
    file.write_text(damage(file.read_text()))
    output = studied.run("python", "-m", "pipeline.studies.summarise", status=1)
    assert re.match(rf"summarise: studies/runs/champion-2\.json: .*{fact}", output), output
    assert "Traceback" not in output


def test_rotten_run_that_dvc_takes_for_unchanged_gets_into_no_summary(studied: Project) -> None:
    file = studied.folder / "studies/runs/champion-2.json"
    assert "up to date" in studied.run("dvc", "status", "studies/dvc.yaml:summarise")
    before = file.stat()
    content = file.read_text().replace('"seed": 2', '"seed": 3')
    file.write_text(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "up to date" in studied.run("dvc", "status", "studies/dvc.yaml:summarise")
    studied.append("pipeline/study_figures.py", "# A comment.\n")
    output = studied.run("dvc", "repro", "-s", "studies/dvc.yaml:summarise", status=255)
    assert "studies/runs/champion-2.json: not the file that its stage wrote" in output
    assert not (studied.folder / "studies/summary.json").exists()


def test_runs_that_belong_to_no_recipe_are_named(studied: Project) -> None:
    studied.edit_params(
        lambda params: params["summarise"].update(recipes=["original"]), "studies/params.yaml"
    )
    output = studied.run("python", "-m", "pipeline.studies.summarise")
    assert "to be deleted in studies/runs: champion-0.csv, champion-0.json, champion-1" in output


def test_comparison_tells_what_changed_after_the_runs_of_a_recipe(studied: Project) -> None:
    command = ["python", "-m", "pipeline.tools.compare", "--recipes", "original", "champion"]
    assert "Out of date" not in studied.run(*command)
    studied.edit_params(lambda params: params["recipes"]["champion"].update(epochs=2))
    output = studied.run(*command)
    assert "Out of date: params.yaml changed after the runs of champion were made." in output
    assert output.count("Out of date") == 1
