"""The comparison of recipes as users run it, on a study in a real Git repository."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, Project, copied, copy_project
from in_process import call
from ruamel.yaml import YAML

from pipeline.runtime.lock import md5, md5_of
from pipeline.studies.results.study import ERROR_COLUMNS, RUN_COLUMNS

IMAGES = 1000


def write_study(
    project: Project, errors: dict[str, int], images: int = IMAGES, label: int = 1
) -> None:
    """Write a study of three seeds; each makes so many errors, each seed on other images."""
    runs, wrong = [], []
    for recipe, count in errors.items():
        for seed in range(3):
            runs.append([recipe, seed, 0.9, (images - count) / images, images])
            wrong += [[recipe, seed, seed + 3 * number, label, 3] for number in range(count)]
    folder = project.folder / "studies"
    folder.mkdir(exist_ok=True)
    pd.DataFrame(runs, columns=RUN_COLUMNS).to_csv(folder / "runs.csv", index=False)
    pd.DataFrame(wrong, columns=ERROR_COLUMNS).to_csv(folder / "errors.csv", index=False)
    outs = [{"path": name, "md5": md5(folder / name)} for name in ("runs.csv", "errors.csv")]
    YAML().dump({"stages": {"summarise": {"outs": outs}}}, folder / "dvc.lock")
    listed = [{out["path"]: {"cache": False}} for out in outs]
    YAML().dump({"stages": {"summarise": {"cmd": "x", "outs": listed}}}, folder / "dvc.yaml")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a study on main, and one in the workspace in which ``fancy`` is better."""
    folder = tmp_path_factory.mktemp("recipes")
    project = copy_project(folder / "project", folder / "home")
    write_study(project, {"plain": 40, "fancy": 38})
    project.commit("Study")
    project.run("git", "repack", "-adq")
    write_study(project, {"plain": 40, "fancy": 5})
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "project")


def compare(project: Project, *recipes: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(
        call(project, "compare", "--recipes", *recipes, "--format", "json")
    )
    return facts


def test_recipes_of_the_workspace_are_compared(project: Project) -> None:
    facts = compare(project, "plain", "fancy")
    assert facts["verdict"] == "better"
    assert facts["base"] == {"name": "plain", "outdated": [], "accuracies": [0.96] * 3}
    assert facts["recipe"]["accuracies"] == [0.995] * 3
    assert facts["difference_points"] == 3.5
    text = call(project, "compare", "--recipes", "plain", "fancy")
    assert text.startswith("Better: 96.00% → 99.50% on average, +3.50 points (95% interval +")
    # So are those of other revisions.
    facts = compare(project, "main:fancy", "fancy")
    assert facts["difference_points"] == 3.3
    before = compare(project, "main:plain", "main:fancy")
    assert before["difference_points"] == pytest.approx(0.2)
    assert before["verdict"] in {"no worse than the margin", "within noise"}
    # The gate.
    call(project, "compare", "--recipes", "plain", "fancy", "--fail-if-worse")
    call(project, "compare", "--recipes", "fancy", "plain", "--fail-if-worse", status=1)
    call(project, "compare", "--recipes", "fancy", "plain", "--fail-if-worse", "--margin", "10")


def test_errors_are_one_line_and_exit_code_2(project: Project) -> None:
    for arguments, message in (
        (["plain", "dull"], "compare: the study has no recipe 'dull', but plain, fancy"),
        (["plain", "nowhere:fancy"], "compare: 'nowhere': no such revision or experiment"),
        (["plain", "HEAD~1:fancy"], "compare: 'HEAD~1': no such revision or experiment"),
        (["plain"], "error: argument --recipes: expected 2 arguments"),
        (["plain", "fancy", "--", "main"], "--recipes takes the place of BASE and REVISION"),
    ):
        output = call(project, "compare", "--recipes", *arguments, status=2)
        assert message in output.splitlines()[-1]
    project.run("git", "checkout", "--quiet", "--orphan", "empty")
    project.run("git", "rm", "--quiet", "-r", "-f", "studies")
    project.run("git", "commit", "--quiet", "--message", "None")
    write_study(project, {"plain": 4}, images=50)
    output = call(project, "compare", "--recipes", "empty:plain", "plain", status=2)
    assert "no study there: runs.csv, errors.csv in studies/" in output
    output = call(project, "compare", "--recipes", "main:plain", "plain", status=2)
    assert output == "compare: not the same test set: 1,000 images there, 50 here\n"
    write_study(project, {"plain": 40}, label=2)
    output = call(project, "compare", "--recipes", "main:plain", "plain", status=2)
    assert output == "compare: not the same test set: 120 of 120 images are of another class\n"


def test_what_changed_after_the_runs_of_a_recipe_is_told(project: Project) -> None:
    """The lock file of studies/ has paths that lead through links, and folders."""

    room = project.folder / "pipeline/room"
    room.mkdir()
    (room / "code.py").write_text("")
    listed = json.dumps([{"md5": md5_of(b""), "relpath": "code.py"}])
    folder = f"md5: {md5_of(listed.encode())}.dir"
    studies = YAML(typ="safe").load(project.folder / "studies/dvc.lock")
    outs = json.dumps(studies["stages"]["summarise"]["outs"])
    data = "md5: 0cc175b9c0f1b6a831c399e269772661.dir"
    (project.folder / "studies/params.yaml").write_text("study: {seeds: [0]}\n")
    (project.folder / "params.yaml").write_text("recipes: {plain: 1, fancy: 1}\n")
    stages = "".join(
        f"  train@{recipe}-0:\n    deps:\n"
        f"    - {{path: pipeline/room, {folder}}}\n    - {{path: data/processed, {data}}}\n"
        f"    params: {{../params.yaml: {{recipes.{recipe}: 1}}}}\n"
        f"    outs: [{{path: answers/{recipe}-0, md5: a.dir}}]\n"
        for recipe in ("plain", "fancy")
    )
    (project.folder / "studies/dvc.lock").write_text(
        f"stages:\n{stages}  summarise:\n    deps: [{{path: answers, md5: b.dir}}]\n"
        "    params: {params.yaml: {study: {seeds: [0]}}}\n"
        f"    outs: {outs}\n"
    )
    (project.folder / "studies/dvc.yaml").write_text(
        "stages:\n  train:\n    matrix: {recipe: [plain, fancy], seed: [0]}\n    cmd: x\n"
        "    deps: [pipeline/room, data/processed]\n"
        "    outs: ['answers/${item.recipe}-${item.seed}']\n"
        "  summarise:\n    cmd: x\n    deps: [answers]\n"
        "    outs: [runs.csv: {cache: false}, errors.csv: {cache: false}]\n"
    )
    lock = project.folder / "dvc.lock"
    lock.write_text(f"stages:\n  preprocess: {{outs: [{{path: data/processed, {data}}}]}}\n")

    def outdated(*recipes: str) -> list[list[str]]:
        facts = compare(project, *recipes)
        return [facts["base"]["outdated"], facts["recipe"]["outdated"]]

    assert outdated("plain", "fancy") == [[], []]
    project.commit("Made up")
    assert outdated("HEAD:plain", "HEAD:fancy") == [[], []]
    # A recipe is no older for what another one is made with.
    (project.folder / "params.yaml").write_text("recipes: {plain: 1, fancy: 2}\n")
    assert outdated("plain", "fancy") == [[], ["params.yaml"]]
    (room / "code.py").write_text("1")
    lock.write_text(lock.read_text().replace("0cc175", "111111"))
    (project.folder / "studies/params.yaml").write_text("study: {seeds: [0, 1]}\n")
    expected = ["data/processed", "params.yaml", "pipeline/room", "studies/params.yaml"]
    assert outdated("HEAD:plain", "fancy") == [[], expected]
    assert "`make study` brings them up to date" in call(
        project, "compare", "--recipes", "HEAD:plain", "fancy"
    )


def test_study_of_this_project_can_be_compared() -> None:
    """With README's command."""
    here = Project(ROOT, Path.home())
    output = call(here, "compare", "--recipes", "original", "champion")
    assert output.startswith("Better: 97.")
    assert "Out of date" not in output
