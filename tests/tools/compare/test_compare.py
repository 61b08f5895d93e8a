"""The command as users run it, on real Git repositories."""

import json
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import TERMINAL, Project, copy_project

from pipeline.evaluation.predictions import predictions_table, write_predictions

COMMAND = ("python", "-m", "pipeline.tools.compare")
IMAGES = 1000


def write_results(project: Project, errors: range, **environment: str) -> None:
    """Write predictions of which those in a range of rows are wrong, and an environment."""
    actual = np.arange(IMAGES) % 10
    probabilities = np.eye(10, dtype=np.float32)[actual]
    for row in errors:
        probabilities[row] = np.roll(probabilities[row], 1)
    confidence = probabilities.max(axis=1).astype(np.float64)
    table = predictions_table(actual.astype(np.int32), probabilities, confidence)
    write_predictions(project.folder / "reports/predictions.csv", table)
    (project.folder / "reports/environment.json").write_text(
        json.dumps({"python": "3.11.7", "packages": {"keras": "3.15.1"}} | environment)
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with two commits on main and one on a branch, checked out, all of other results."""
    project = copy_project(tmp_path / "project", tmp_path / "home")
    write_results(project, range(30))
    project.commit("First")
    write_results(project, range(20, 50))
    project.commit("Second")
    project.run("git", "checkout", "--quiet", "-b", "branch")
    write_results(project, range(60), python="3.12.1")
    project.edit_params(lambda params: params["train"].update(seed=7))
    project.commit("Branch")
    return project


def compare(project: Project, *arguments: str, status: int = 0) -> dict[str, Any]:
    output = project.run(*COMMAND, *arguments, "--format", "json", status=status)
    facts: dict[str, Any] = json.loads(output)
    return facts


def error(project: Project, *arguments: str) -> str:
    """Return the message of a call that fails with status 2, having seen that it is one line."""
    output = project.run(*COMMAND, *arguments, status=2)
    assert "Traceback" not in output
    *usage, message = output.splitlines()
    assert not usage or usage[0].startswith("usage: ")
    return message


def test_base_is_main_and_revision_what_lies_in_the_workspace(project: Project) -> None:
    facts = compare(project)
    assert facts["base"]["name"] == "main"
    assert facts["base"]["commit"] == project.run("git", "rev-parse", "main").strip()
    assert facts["base"]["accuracy"]["correct"] == IMAGES - 30
    assert facts["revision"]["name"] == "workspace"
    assert facts["revision"]["commit"] is None
    assert facts["revision"]["accuracy"]["correct"] == IMAGES - 60
    write_results(project, range(5))
    assert compare(project)["revision"]["accuracy"]["correct"] == IMAGES - 5


def test_base_on_main_is_the_commit_before(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "main")
    facts = compare(project)
    assert facts["base"]["name"] == "HEAD~1"
    assert facts["base"]["commit"] == project.run("git", "rev-parse", "main~1").strip()
    assert (facts["newly_right"], facts["newly_wrong"]) == (20, 20)


def test_base_of_a_detached_main_is_the_commit_before(project: Project) -> None:
    """As on the runners of CI."""
    project.run("git", "checkout", "--quiet", "--detach", "main")
    assert compare(project)["base"]["name"] == "HEAD~1"
    project.run("git", "checkout", "--quiet", "-b", "fresh")
    assert compare(project)["base"]["name"] == "main"


def test_base_is_the_branch_main_not_a_tag_of_its_name(project: Project) -> None:
    project.run("git", "tag", "main", "branch")
    assert compare(project)["base"]["accuracy"]["correct"] == IMAGES - 30
    project.run("git", "checkout", "--quiet", "heads/main")
    project.run("git", "symbolic-ref", "HEAD", "refs/heads/main")
    assert compare(project)["base"]["name"] == "HEAD~1"


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


def test_results_from_before_calibration_can_be_compared(project: Project) -> None:
    path = project.folder / "reports/predictions.csv"
    now = compare(project)
    older = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()]
    path.write_text("\n".join(older) + "\n")
    assert older[0] == "actual,predicted,confidence"
    assert compare(project) == now


def test_what_else_differs_is_shown(project: Project) -> None:
    assert compare(project)["differing"] == {
        "params.yaml": [{"key": "train.seed", "old": 0, "new": 7}],
        "reports/environment.json": [{"key": "python", "old": "3.11.7", "new": "3.12.1"}],
        "dvc.lock": [],
    }
    text = project.run(*COMMAND)
    assert re.search(r"^params.yaml +train.seed +0 +7$", text, re.MULTILINE)
    assert re.search(r'^reports/environment.json +python +"3.11.7" +"3.12.1"$', text, re.MULTILINE)


def test_experiment_of_dvc_can_be_named(reproduced: Project) -> None:
    reproduced.run("dvc", "exp", "run", "--name", "wild-idea", "-S", "recipes.original.epochs=1")
    reproduced.run("git", "checkout", "--quiet", "--", ".")
    facts = compare(reproduced, "main", "wild-idea")
    (change,) = facts["differing"]["params.yaml"]
    assert change == {"key": "recipes.original.epochs", "old": 3, "new": 1}
    assert facts["revision"]["outdated"] == []
    assert facts["verdict"] == "worse"
    for name in ("wild", "wild*", "*"):
        assert "no such revision or experiment" in error(reproduced, "main", name)
    # One of the same name that started from another commit.
    reproduced.run("git", "commit", "--quiet", "--allow-empty", "--message", "Next")
    reproduced.run("dvc", "checkout")
    reproduced.run("dvc", "exp", "save", "--name", "wild-idea")
    message = error(reproduced, "main", "wild-idea")
    found = re.fullmatch(
        r"compare: 'wild-idea': 2 experiments have this name: give one's hash, of (.*), (.*)",
        message,
    )
    assert found
    verdicts = {compare(reproduced, "main", commit)["verdict"] for commit in found.groups()}
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


def test_errors_are_one_line_and_status_2(project: Project) -> None:
    assert error(project, "nonsense") == "compare: 'nonsense': no such revision or experiment"
    for name in ("", "main..branch", "^main", "main^{tree}"):
        assert error(project, "main", name) == (
            f"compare: {name!r}: no such revision or experiment"
        )
    project.run("git", "rm", "-rq", "reports")
    project.commit("No reports")
    assert re.fullmatch(
        r"compare: HEAD \(\w{7}\): no reports/predictions.csv there", error(project, "main", "HEAD")
    )
    assert error(project, "main") == "compare: workspace: no reports/predictions.csv there"
    (project.folder / "reports").mkdir()
    (project.folder / "reports/predictions.csv").write_text("digit\n3\n")
    assert error(project).startswith(
        "compare: workspace: reports/predictions.csv: expected columns"
    )
    (project.folder / "reports/predictions.csv").write_text("actual,predicted,confidence\n3,3,1\n")
    assert error(project) == "compare: not the same test set: 1,000 images there, 1 here"
    assert error(project, "--margin", "wide").endswith("from 0 to 100, found 'wide'")
    assert error(project, "--margin", "nan").endswith("from 0 to 100, found 'nan'")
    assert error(project, "--margin", "-1").endswith("from 0 to 100, found '-1'")


def test_damaged_explanations_are_named(project: Project) -> None:
    for name, content in (
        ("params.yaml", "train: ["),
        ("params.yaml", "- 1"),
        ("params.yaml", "\xff\x00"),
        ("reports/environment.json", "{"),
        ("reports/environment.json", "[1]"),
        ("dvc.lock", "stages: 1"),
    ):
        path = project.folder / name
        kept = path.read_text() if path.exists() else None
        path.write_text(content)
        assert error(project).startswith(f"compare: workspace: {name}: ")
        path.unlink() if kept is None else path.write_text(kept)


def test_missing_and_empty_explanations_have_no_entries(project: Project) -> None:
    for name in ("params.yaml", "reports/environment.json"):
        path = project.folder / name
        kept = path.read_text()
        path.unlink()
        without = compare(project, "branch")["differing"][name]
        assert without
        assert all(change["new"] is None for change in without)
        if name == "params.yaml":
            path.write_text("# Nothing.\n")
            assert compare(project, "branch")["differing"][name] == without
        path.write_text(kept)


def test_main_without_a_commit_before_is_an_error_with_advice(
    project: Project, tmp_path: Path
) -> None:
    address = f"file://{project.folder}"
    project.run("git", "clone", "-q", "--depth=1", "-b", "main", address, str(tmp_path / "clone"))
    shallow = Project(tmp_path / "clone", project.home)
    assert "this clone is shallow: `git fetch --unshallow`" in error(shallow)


def test_base_in_a_clone_of_another_branch_is_main_where_it_came_from(
    project: Project, tmp_path: Path
) -> None:
    address = f"file://{project.folder}"
    project.run("git", "clone", "-q", "-b", "branch", address, str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", project.home)
    assert compare(clone)["base"]["name"] == "origin/main"
    clone.run("git", "remote", "remove", "origin")
    assert error(clone) == "compare: there is no branch main here: name what to compare with"


def test_content_that_git_has_lost_is_not_taken_for_missing(project: Project) -> None:
    for name in ("reports/predictions.csv", "params.yaml"):
        blob = project.run("git", "rev-parse", f"main:{name}").strip()
        path = project.folder / f".git/objects/{blob[:2]}/{blob[2:]}"
        content = path.read_bytes()
        path.unlink()
        assert f"): {name} cannot be read: " in error(project)
        path.write_bytes(content)
        compare(project)


def test_outside_of_git_is_an_error(project: Project) -> None:
    (project.folder / ".git").rename(project.folder / "elsewhere")
    assert "not a git repository" in error(project)


def test_markdown_is_for_a_pull_request(project: Project) -> None:
    page = project.run(*COMMAND, "--format", "markdown")
    assert page.startswith("**Worse: 97.00% → 94.00%, −3.00 points (95% interval ")
    assert "| main (" in page
    assert re.search(r"^\| +3 \| +100 \| +0 \| +3 \| +−3 \|$", page, re.MULTILINE)
    assert "\033" not in page


def test_colours_are_for_terminals_only(project: Project) -> None:
    assert "\033" not in project.run(*COMMAND)
    shown = project.run("python", "-c", TERMINAL, *COMMAND[1:], TERM="xterm")
    assert shown.startswith("\033[1;31mWorse")
    assert max(len(line) for line in shown.splitlines()[1:]) <= 80


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_output_is_utf_8_in_any_locale(project: Project, locale: str) -> None:
    page = project.run(*COMMAND, LC_ALL=locale, PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert "97.00% → 94.00%, −3.00 points" in page


def test_repository_that_a_hook_is_about_leads_nowhere_else(
    project: Project, tmp_path: Path
) -> None:
    project.run("git", "init", "--quiet", str(tmp_path / "other"))
    output = project.run(*COMMAND, GIT_DIR=str(tmp_path / "other/.git"))
    assert output.startswith("Worse: ")


def test_no_framework_is_imported(project: Project) -> None:
    script = (
        "import atexit, runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'matplotlib', 'sklearn', 'dvc'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['compare']\n"
        "runpy.run_module('pipeline.tools.compare', run_name='__main__')"
    )
    output = project.run("python", "-c", script)
    assert "Worse" in output
    assert output.splitlines()[-1] == "[]"


def test_what_nobody_has_thought_of_is_no_verdict(project: Project) -> None:
    script = (
        "import runpy, sys\n"
        "import pipeline.provenance\n"
        "pipeline.provenance.parse_yaml = lambda _: 1 // 0\n"
        "sys.argv = ['compare']\n"
        "runpy.run_module('pipeline.tools.compare', run_name='__main__')"
    )
    output = project.run("python", "-c", script, status=2)
    assert output.startswith("compare: unexpected ZeroDivisionError: ")


def test_parameters_that_stand_for_themselves_are_refused(project: Project) -> None:
    (project.folder / "params.yaml").write_text("a: &a\n  b: *a\n")
    assert error(project) == "compare: workspace: params.yaml: *a stands for nothing yet"


def test_closed_output_is_an_error_and_a_closed_pipe_is_none(project: Project) -> None:
    command = " ".join(COMMAND)
    assert "standard output is closed" in project.run("sh", "-c", f"{command} >&-", status=2)
    assert "No space left" in project.run("sh", "-c", f"exec {command} > /dev/full", status=2)
    process = project.start(*COMMAND)
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=60) == -signal.SIGPIPE


def test_results_older_than_code_or_parameters_are_told(reproduced: Project) -> None:
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == []
    # What does not lead to the predictions cannot make them old.
    reproduced.append("pipeline/tools/compare.py", "# A comment.\n")
    reproduced.append("pipeline/figures.py", "# A comment.\n")
    reproduced.edit_params(lambda params: params["plot"].update(dpi=61))
    assert compare(reproduced, "HEAD")["revision"]["outdated"] == []
    reproduced.edit_params(lambda params: params["recipes"]["original"].update(epochs=4))
    reproduced.append("pipeline/network.py", "# A comment.\n")
    facts = compare(reproduced, "HEAD")
    assert facts["verdict"] == "identical"
    assert facts["base"]["outdated"] == []
    assert facts["revision"]["outdated"] == ["params.yaml", "pipeline/network.py"]
    assert (
        "Out of date: params.yaml, pipeline/network.py changed after the predictions of workspace "
        "were made." in reproduced.run(*COMMAND, "HEAD")
    )
    # Predictions that somebody has written himself.
    path = reproduced.folder / "reports/predictions.csv"
    path.write_text(path.read_text().replace("0.9", "0.8"))
    assert "reports/predictions.csv" in compare(reproduced, "HEAD")["revision"]["outdated"]


def test_changed_code_is_what_the_results_were_made_with(reproduced: Project) -> None:
    reproduced.append("pipeline/figures.py", "# A comment.\n")
    assert reproduced.repro() == ["plot"]
    (change,) = compare(reproduced, "HEAD")["differing"]["dvc.lock"]
    assert change["key"] == "pipeline/figures.py"
    assert change["old"] != change["new"]
    text = reproduced.run(*COMMAND, "HEAD")
    row = rf"^dvc.lock +pipeline/figures.py +{change['old'][:8]} +{change['new'][:8]}$"
    assert re.search(row, text, re.MULTILINE)
