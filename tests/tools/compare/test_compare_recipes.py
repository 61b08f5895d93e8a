"""The comparison of recipes as users run it, on a study in a real Git repository."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, Project, copy_project

from pipeline.studies.results.study import ERROR_COLUMNS, RUN_COLUMNS

IMAGES = 1000
COMMAND = ("python", "-m", "pipeline.tools.compare", "--recipes")


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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a study on main, and one in the workspace in which ``fancy`` is better."""
    project = copy_project(tmp_path / "project", tmp_path / "home")
    write_study(project, {"plain": 40, "fancy": 38})
    project.commit("Study")
    write_study(project, {"plain": 40, "fancy": 5})
    return project


def test_recipes_of_the_workspace_are_compared(project: Project) -> None:
    facts = json.loads(project.run(*COMMAND, "plain", "fancy", "--format", "json"))
    assert facts["verdict"] == "better"
    assert facts["base"] == {"name": "plain", "outdated": [], "accuracies": [0.96] * 3}
    assert facts["recipe"]["accuracies"] == [0.995] * 3
    assert facts["difference_points"] == 3.5
    text = project.run(*COMMAND, "plain", "fancy")
    assert text.startswith("Better: 96.00% → 99.50% on average, +3.50 points (95% interval +")


def test_recipes_of_other_revisions_can_be_named(project: Project) -> None:
    facts = json.loads(project.run(*COMMAND, "main:fancy", "fancy", "--format", "json"))
    assert facts["difference_points"] == 3.3
    before = json.loads(project.run(*COMMAND, "main:plain", "main:fancy", "--format", "json"))
    assert before["difference_points"] == pytest.approx(0.2)
    assert before["verdict"] in {"no worse than the margin", "within noise"}


def test_gate_fails_where_a_recipe_is_worse(project: Project) -> None:
    project.run(*COMMAND, "plain", "fancy", "--fail-if-worse")
    project.run(*COMMAND, "fancy", "plain", "--fail-if-worse", status=1)
    project.run(*COMMAND, "fancy", "plain", "--fail-if-worse", "--margin", "10")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plain", "dull"], "compare: the study has no recipe 'dull', but plain, fancy"),
        (["plain", "nowhere:fancy"], "compare: 'nowhere': no such revision or experiment"),
        (["plain", "HEAD~1:fancy"], "compare: 'HEAD~1': no such revision or experiment"),
        (["plain"], "error: argument --recipes: expected 2 arguments"),
        (["plain", "fancy", "--", "main"], "--recipes takes the place of BASE and REVISION"),
    ],
)
def test_errors_are_one_line_and_status_2(
    project: Project, arguments: list[str], message: str
) -> None:
    output = project.run(*COMMAND, *arguments, status=2)
    assert message in output.splitlines()[-1]
    assert "Traceback" not in output


def test_revision_without_a_study_and_other_images_are_errors(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "--orphan", "empty")
    project.run("git", "rm", "--quiet", "-r", "-f", "studies")
    project.run("git", "commit", "--quiet", "--message", "None")
    write_study(project, {"plain": 4}, images=50)
    output = project.run(*COMMAND, "empty:plain", "plain", status=2)
    assert "no study there: studies/runs.csv and studies/errors.csv" in output
    output = project.run(*COMMAND, "main:plain", "plain", status=2)
    assert output == "compare: not the same test set: 1,000 images there, 50 here\n"
    write_study(project, {"plain": 40}, label=2)
    output = project.run(*COMMAND, "main:plain", "plain", status=2)
    assert output == "compare: not the same test set: 120 of 120 images are of another class\n"


def test_study_of_this_project_can_be_compared() -> None:
    command = [sys.executable, "-m", "pipeline.tools.compare", "--recipes", "original", "champion"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Better: 97.")
    assert "Out of date" not in result.stdout
