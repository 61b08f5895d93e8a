"""The comparison of revisions, on real Git repositories."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TERMINAL, Project, copied, copy_project
from in_process import call
from ruamel.yaml import YAML

from pipeline.evaluation.predictions import predictions_table, write_predictions
from pipeline.runtime.lock import md5

IMAGES = 1000


def write_results(project: Project, errors: range, **environment: str) -> None:
    """Write predictions of which those in a range of rows are wrong, and an environment."""
    actual = np.arange(IMAGES) % 10
    probabilities = np.eye(10, dtype=np.float32)[actual]
    for row in errors:
        probabilities[row] = np.roll(probabilities[row], 1)
    confidence = probabilities.max(axis=1).astype(np.float64)
    table = predictions_table(actual.astype(np.int32), probabilities, confidence)
    predictions = project.folder / "reports/predictions.csv"
    write_predictions(predictions, table)
    (project.folder / "reports/environment.json").write_text(
        json.dumps({"python": "3.11.7", "packages": {"keras": "3.15.1"}} | environment)
    )
    (project.folder / "dvc.yaml").write_text(
        "stages: {evaluate: {cmd: x, outs: [{reports/predictions.csv: {cache: false}}]}}\n"
    )
    lock = {"path": "reports/predictions.csv", "md5": md5(predictions)}
    stages = {"evaluate": {"cmd": "x", "outs": [lock]}}
    YAML().dump({"schema": "2.0", "stages": stages}, project.folder / "dvc.lock")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two commits on main and one on a branch, checked out, all of other results."""
    folder = tmp_path_factory.mktemp("compare")
    project = copy_project(folder / "project", folder / "home")
    write_results(project, range(30))
    project.commit("First")
    write_results(project, range(20, 50))
    project.commit("Second")
    project.run("git", "checkout", "--quiet", "-b", "branch")
    write_results(project, range(60), python="3.12.1")
    project.edit_params(lambda params: params["train"].update(seed=7))
    project.commit("Branch")
    project.run("git", "repack", "-adq")
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "project")


def compare(project: Project, *arguments: str, status: int = 0) -> dict[str, Any]:
    output = call(project, "compare", *arguments, "--format", "json", status=status)
    facts: dict[str, Any] = json.loads(output)
    return facts


def error(project: Project, *arguments: str) -> str:
    """Return the message of a call that fails with exit code 2, having seen that it is one line."""
    output = call(project, "compare", *arguments, status=2)
    *usage, message = output.splitlines()
    assert not usage or usage[0].startswith("usage: ")
    return message


def test_base_is_main_and_on_main_the_commit_before(project: Project) -> None:
    facts = compare(project)
    assert facts["base"]["name"] == "main"
    assert facts["base"]["commit"] == project.run("git", "rev-parse", "main").strip()
    assert facts["base"]["accuracy"]["correct"] == IMAGES - 30
    assert facts["revision"]["name"] == "workspace"
    assert facts["revision"]["commit"] is None
    assert facts["revision"]["accuracy"]["correct"] == IMAGES - 60
    # A tag of this name is not the branch.
    project.run("git", "tag", "main", "branch")
    assert compare(project)["base"]["accuracy"]["correct"] == IMAGES - 30
    project.run("git", "checkout", "--quiet", "-B", "main", "heads/main")
    facts = compare(project)
    assert facts["base"]["name"] == "HEAD~1"
    assert facts["base"]["commit"] == project.run("git", "rev-parse", "heads/main~1").strip()
    assert (facts["newly_right"], facts["newly_wrong"]) == (20, 20)
    # As on the runners of CI.
    project.run("git", "checkout", "--quiet", "--detach", "heads/main")
    assert compare(project)["base"]["name"] == "HEAD~1"
    project.run("git", "checkout", "--quiet", "-b", "fresh")
    assert compare(project)["base"]["name"] == "main"
    # What lies in the workspace counts, committed or not.
    write_results(project, range(5))
    assert compare(project)["revision"]["accuracy"]["correct"] == IMAGES - 5


def test_base_in_a_clone_is_main_where_it_came_from(project: Project, tmp_path: Path) -> None:
    clones = {}
    for branch, options in (("branch", ()), ("main", ("--depth=1",))):
        address = (f"file://{project.folder}", str(tmp_path / f"clone of {branch}"))
        project.run("git", "clone", "-q", *options, "-b", branch, *address)
        clones[branch] = Project(tmp_path / f"clone of {branch}", project.home)
    assert "this clone is shallow: `git fetch --unshallow`" in error(clones["main"])
    assert compare(clones["branch"])["base"]["name"] == "origin/main"
    clones["branch"].run("git", "remote", "remove", "origin")
    message = "compare: there is no branch main here: name what to compare with"
    assert error(clones["branch"]) == message


def test_any_two_revisions_can_be_named(project: Project) -> None:
    project.run("git", "tag", "v1", "main~1")
    there = compare(project, "v1", "branch")
    back = compare(project, "branch", "v1")
    assert (there["newly_right"], there["newly_wrong"]) == (0, 30)
    assert there["verdict"] == "worse"
    assert back["verdict"] == "better"
    assert there["interval_points"]["low"] == -back["interval_points"]["high"]
    assert there["difference_points"] == -back["difference_points"]
    assert compare(project, "branch", "branch")["verdict"] == "identical"


def test_what_else_differs_is_shown(project: Project) -> None:
    assert compare(project)["differing"] == {
        "params.yaml": [{"key": "train.seed", "old": 0, "new": 7}],
        "reports/environment.json": [{"key": "python", "old": "3.11.7", "new": "3.12.1"}],
        "dvc.lock": [],
    }
    text = call(project, "compare")
    assert "\033" not in text
    assert re.search(r"^params.yaml +train.seed +0 +7$", text, re.MULTILINE)
    assert re.search(r'^reports/environment.json +python +"3.11.7" +"3.12.1"$', text, re.MULTILINE)


def test_experiment_of_dvc_can_be_named(project: Project) -> None:
    (project.folder / "params.yaml").write_text("wrong: 60\n")
    (project.folder / "evaluate.py").write_text(
        "import re, pathlib\n"
        "wrong = int(re.search('wrong: (.*)', pathlib.Path('params.yaml').read_text())[1])\n"
        "rows = [f'1,{int(image >= wrong)},0.5' for image in range(1000)]\n"
        "rows = ['actual,predicted,confidence', *rows, '']\n"
        "pathlib.Path('reports/predictions.csv').write_text('\\n'.join(rows))\n"
    )
    (project.folder / "dvc.yaml").write_text(
        "stages:\n  evaluate:\n    cmd: python evaluate.py\n    deps: [evaluate.py]\n"
        "    params: [wrong]\n    outs: [reports/predictions.csv: {cache: false}]\n"
    )
    project.repro()
    project.commit("Scripts")
    project.run("dvc", "exp", "run", "--name", "wild-idea", "-S", "wrong=90")
    project.run("git", "checkout", "--quiet", "--", ".")
    facts = compare(project, "HEAD", "wild-idea")
    (change,) = facts["differing"]["params.yaml"]
    assert change == {"key": "wrong", "old": 60, "new": 90}
    assert facts["revision"]["outdated"] == []
    assert facts["verdict"] == "worse"
    for name in ("wild", "wild*", "*"):
        assert "no such revision or experiment" in error(project, "HEAD", name)
    # One of the same name that started from another commit.
    project.run("git", "commit", "--quiet", "--allow-empty", "--message", "Next")
    project.run("dvc", "exp", "save", "--name", "wild-idea")
    message = error(project, "HEAD", "wild-idea")
    found = re.fullmatch(
        r"compare: 'wild-idea': 2 experiments have this name: give one's hash, of (.*), (.*)",
        message,
    )
    assert found
    verdicts = {compare(project, "HEAD", commit)["verdict"] for commit in found.groups()}
    assert verdicts == {"worse", "identical"}


def test_margin_decides_the_exit_status_where_that_is_asked_for(project: Project) -> None:
    assert compare(project, "main~1", "branch", "--margin", "0.2")["verdict"] == "worse"
    for margin, status in (("0.2", 1), ("3.9", 1), ("4.5", 0)):
        facts = compare(
            project, "main~1", "branch", "--margin", margin, "--fail-if-worse", status=status
        )
        assert facts["no_worse_than_margin"] == (status == 0)
        assert facts["no_worse_than_margin"] == (
            facts["interval_points"]["low"] > -facts["margin_points"]
        )
    # Within noise is not enough: it has to be shown.
    assert compare(project, "main~1", "main", "--fail-if-worse", status=1)["verdict"] == (
        "within noise"
    )
    facts = compare(project, "main~1", "main~1", "--fail-if-worse", "--margin=-0")
    assert 'margin_points": 0.0' in json.dumps(facts)


def test_errors_are_one_line_and_exit_code_2(project: Project) -> None:
    for name in ("nonsense", "", "main..branch", "^main", "main^{tree}"):
        assert error(project, "main", name) == (
            f"compare: {name!r}: no such revision or experiment"
        )
    assert error(project, "--margin", "-1").endswith("from 0 to 100, found '-1'")
    predictions = project.folder / "reports/predictions.csv"
    predictions.write_text("actual,predicted,confidence\n3,3,1\n")
    assert error(project) == "compare: not the same test set: 1,000 images there, 1 here"
    predictions.write_text("digit\n3\n")
    assert error(project).startswith(
        "compare: workspace: reports/predictions.csv: expected columns"
    )
    predictions.unlink()
    assert error(project, "main") == (
        "compare: workspace: no reports/predictions.csv there; "
        "`dvc repro` or `git checkout reports` brings it back"
    )
    project.commit("No predictions")
    assert re.fullmatch(
        r"compare: HEAD \(\w{7}\): no reports/predictions.csv there", error(project, "main", "HEAD")
    )
    (project.folder / ".git").rename(project.folder / "elsewhere")
    assert "not a git repository" in error(project)


def test_explanations_that_are_damaged_are_named_and_missing_ones_have_no_entries(
    project: Project,
) -> None:
    for name, content in (
        ("params.yaml", "train: ["),
        ("reports/environment.json", "[1]"),
        ("dvc.lock", "stages: 1"),
    ):
        path = project.folder / name
        kept = path.read_text()
        path.write_text(content)
        assert error(project).startswith(f"compare: workspace: {name}: ")
        path.unlink()
        if name == "dvc.lock":  # nobody knows what the predictions come from
            assert "stage 'evaluate' is not in the lock file" in error(project)
        else:
            without = compare(project, "branch")["differing"][name]
            assert without
            assert all(change["new"] is None for change in without)
        path.write_text(kept)
    (project.folder / "params.yaml").write_text("# Nothing.\n")
    without = compare(project, "branch")["differing"]["params.yaml"]
    assert all(change["new"] is None for change in without)


def test_content_that_git_has_lost_is_not_taken_for_missing(project: Project) -> None:
    predictions = project.folder / "reports/predictions.csv"
    predictions.write_text(f"{predictions.read_text()}\n")
    project.commit("Loose")
    blob = project.run("git", "rev-parse", "HEAD:reports/predictions.csv").strip()
    (project.folder / f".git/objects/{blob[:2]}/{blob[2:]}").unlink()
    assert "): reports/predictions.csv cannot be read: " in error(project, "HEAD")


def test_markdown_is_for_a_pull_request(project: Project, tmp_path: Path) -> None:
    """Wherever a hook's variables lead."""
    project.run("git", "init", "--quiet", str(tmp_path / "other"))
    hook = str(tmp_path / "other/.git")
    page = call(project, "compare", "--format", "markdown", GIT_DIR=hook)
    assert page.startswith("**Worse: 97.00% → 94.00%, −3.00 points (95% interval ")
    assert "| main (" in page
    assert re.search(r"^\| +3 \| +100 \| +0 \| +3 \| +−3 \|$", page, re.MULTILINE)
    assert "\033" not in page


def test_classes_have_their_names_and_of_many_only_changes_are_shown(project: Project) -> None:
    names = [f"letter {name}" for name in "abcdefghij"]
    project.edit_params(lambda params: params["preprocess"].update(class_names=names))
    assert "letter" not in call(project, "compare", "--format", "markdown").partition("What")[0]
    project.commit("Names")
    page = call(project, "compare", "HEAD", "--format", "markdown")
    assert re.search(r"^\| letter d +\| +100 \|", page, re.MULTILINE)
    # Class 200 for class 0 in one of the images.
    file = project.folder / "reports/predictions.csv"
    header, *rows = file.read_text().splitlines()
    project.edit_params(lambda params: params["preprocess"].update(class_names=None))
    changed = next(number for number, row in enumerate(rows) if row.startswith("0,0,"))
    rows[changed] = rows[changed].replace("0,0,", "0,200,", 1)
    file.write_text("\n".join([header, *rows, ""]))
    lock = project.folder / "dvc.lock"
    lock.write_text(re.sub(r"md5: \w+", f"md5: {md5(file)}", lock.read_text()))
    page = call(project, "compare", "HEAD", "--format", "markdown")
    assert "The 2 largest of 2 changes of the confusion matrix" in page
    assert re.search(r"^\| 0 +\| 200 +\| +\+1 \|$", page, re.MULTILINE)
    assert re.search(r"^\| 0 +\| 0 +\| +−1 \|$", page, re.MULTILINE)


def test_terminal_has_colours_and_utf_8_in_any_locale(project: Project) -> None:
    shown = project.run(
        *("python", "-c", TERMINAL, "-m", "pipeline", "compare"),
        TERM="xterm",
        LC_ALL="C",
        PYTHONIOENCODING="latin-1",
        PYTHONUTF8="0",
    )
    assert shown.startswith("\033[1;31mWorse: 97.00% → 94.00%, −3.00 points")
    assert max(len(line) for line in shown.splitlines()[1:]) <= 80


def test_results_older_than_code_or_parameters_are_told(reproduced: Project) -> None:
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == []
    # What does not lead to the predictions cannot make them old.
    reproduced.append("pipeline/tools/compare/command.py", "# A comment.\n")
    reproduced.append("pipeline/report/figures.py", "# A comment.\n")
    reproduced.edit_params(lambda params: params["plot"].update(dpi=61))
    # Neither can what DVC ignores in a folder that does.
    (reproduced.folder / "pipeline/model/__pycache__").mkdir(exist_ok=True)
    (reproduced.folder / "pipeline/model/__pycache__/new.pyc").write_text("bytecode")
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == []
    reproduced.edit_params(lambda params: params["recipes"]["original"].update(epochs=4))
    reproduced.append("pipeline/model/network.py", "# A comment.\n")
    facts = compare(reproduced, "HEAD")
    assert facts["verdict"] == "identical"
    assert facts["base"]["outdated"] == []
    assert facts["revision"]["outdated"] == ["params.yaml", "pipeline/model"]
    assert (
        "Out of date: params.yaml, pipeline/model changed after the predictions of workspace "
        "were made." in call(reproduced, "compare", "HEAD")
    )
    # Committed, they are as old there.
    reproduced.commit("Not run")
    assert compare(reproduced, "HEAD")["base"]["outdated"] == ["params.yaml", "pipeline/model"]


def test_changed_code_is_what_the_results_were_made_with(reproduced: Project) -> None:
    # Several stages depend on a folder; each has its own record of it.
    reproduced.append("pipeline/runtime/errors.py", "# A comment.\n")
    reproduced.run("dvc", "commit", "--force", "evaluate")
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == ["pipeline/runtime"]
    reproduced.run("dvc", "commit", "--force")
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == []
    reproduced.commit("Commented")
    reproduced.append("pipeline/report/figures.py", "# A comment.\n")
    (reproduced.folder / "pipeline/report/new.py").write_text("")
    (reproduced.folder / "pipeline/report/curves.py").unlink()
    reproduced.run("dvc", "commit", "--force", "plot")
    curves, figures, new = compare(reproduced, "HEAD")["differing"]["dvc.lock"]
    assert figures["key"] == "pipeline/report/figures.py"
    assert figures["old"] != figures["new"]
    assert (curves["key"], curves["new"]) == ("pipeline/report/curves.py", None)
    assert (new["key"], new["old"]) == ("pipeline/report/new.py", None)
    text = call(reproduced, "compare", "HEAD")
    row = rf"^dvc.lock +{figures['key']} +{figures['old'][:8]} +{figures['new'][:8]}$"
    assert re.search(row, text, re.MULTILINE)
    # Which files the results were made with is not known once they have changed again.
    reproduced.append("pipeline/report/figures.py", "# Another comment.\n")
    (change,) = compare(reproduced, "HEAD")["differing"]["dvc.lock"]
    assert change["key"] == "pipeline/report"
    assert all(change[side].endswith(".dir") for side in ("old", "new"))
