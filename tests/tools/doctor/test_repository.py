"""What merges, killed experiments and links leave behind, with real Git and real ``dvc``."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import Project, copied
from in_process import in_project
from scripts import replace, scripts_project

from pipeline.history.revisions import git_reason
from pipeline.tools.doctor.checkup import Finding
from pipeline.tools.doctor.repository import repository

PARTS = {
    "dvc.yaml": """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [seed, epochs]
    outs: [model.txt]
    plots: [reports/curves.csv: {cache: false}]
""",
    "params.yaml": "seed: 0\n\n\n\nepochs: 1\n",
    "train.py": """
import os, time
from pathlib import Path
text = Path("params.yaml").read_text()
print("Training", flush=True)
time.sleep(60 * ("epochs: 99" in text))
Path("model.txt").write_text(text)
Path("reports").mkdir(exist_ok=True)
Path("reports/curves.csv").write_text("epoch,loss\\n" + "\\n".join(text.split()))
""",
    ".gitignore": "/model.txt\n__pycache__\n",
}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose branch has another number of epochs, and main another seed."""
    project = scripts_project(tmp_path_factory.mktemp("repository"), PARTS)
    project.run("git", "checkout", "--quiet", "-b", "branch")
    replace(project, "params.yaml", "epochs: 1", "epochs: 2")
    project.repro()
    project.commit("Epochs")
    project.run("git", "checkout", "--quiet", "main")
    replace(project, "params.yaml", "seed: 0", "seed: 7")
    project.repro()
    project.commit("Seed")
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "project")


def found(project: Project) -> Finding:
    with in_project(project):
        finding = repository(project.folder)
    assert finding
    return finding


@pytest.mark.parametrize(
    ("command", "go_on"),
    [
        (["merge", "--no-edit", "branch"], "commit"),
        (["rebase", "branch"], "rebase --continue"),
        (["cherry-pick", "branch"], "cherry-pick --continue"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_results_of_two_branches_are_settled_by_repro(
    project: Project, command: list[str], go_on: str
) -> None:
    assert found(project).verdict == "good"
    # Git says that they conflict, and leaves them whole.
    assert "CONFLICT" in project.run("git", *command, status=1)
    assert "<<<<" not in (project.folder / "dvc.lock").read_text()
    finding = found(project)
    assert finding.verdict == "problem"
    assert finding.found == "a merge waits for dvc.lock, reports/curves.csv"
    assert finding.advice.endswith(
        f"`dvc repro` for the results, `git add --update`, `git {go_on}`"
    )
    assert project.repro() == ["train"]
    project.run("git", "add", "--update")
    assert found(project).found == "a merge is not finished"
    project.run(
        "git", *go_on.split(), *(["--no-edit"] if go_on == "commit" else []), GIT_EDITOR=":"
    )
    assert found(project).verdict == "good"
    assert (project.folder / "params.yaml").read_text() == "seed: 7\n\n\n\nepochs: 2\n"
    assert "7" in (project.folder / "reports/curves.csv").read_text()
    assert "up to date" in project.run("dvc", "status")
    assert project.run("git", "status", "--porcelain") == ""


def test_killed_experiment_is_named_and_the_branch_is_one_command_away(project: Project) -> None:
    process = project.start("dvc", "exp", "run", "-S", "epochs=99")
    assert process.stdout
    while process.stdout.readline() != "Training\n":
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finding = found(project)
    assert finding.verdict == "problem"
    assert "an experiment (`dvc exp run`) runs here, or was killed" in finding.found
    forget = "git update-ref -d refs/exps/exec/EXEC_BASELINE"
    for command in ("git stash", "git checkout -", "dvc checkout", forget):
        assert f"`{command}`" in finding.advice
        project.run(*command.split())
    assert found(project).verdict == "good"
    assert project.run("git", "symbolic-ref", "--short", "HEAD") == "main\n"
    assert "epochs: 1" in (project.folder / "params.yaml").read_text()
    assert project.repro() == []
    assert "99" in project.run("git", "stash", "show", "--patch")
    project.run("git", "checkout", "--quiet", "--detach")
    assert found(project).verdict == "good"


def test_link_in_place_of_the_data_and_a_shallow_clone_are_named(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "disk").mkdir()
    (project.folder / "data").symlink_to(tmp_path / "disk")
    finding = found(project)
    assert (finding.verdict, finding.found[:15]) == ("problem", "data/ is a link")
    for command in re.findall("`(.*?)`", finding.advice):
        project.run(*command.replace("/other/disk", str(tmp_path / "disk")).split())
    assert found(project).verdict == "good"
    assert (project.folder / "model.txt").is_symlink()
    assert project.repro() == []
    assert "config" not in project.run("git", "status", "--short")
    replace(project, "params.yaml", "seed: 7", "seed: 8")
    assert project.repro() == ["train"]
    assert (project.folder / "model.txt").is_symlink()
    replace(project, "params.yaml", "seed: 8", "seed: 9")
    assert project.repro() == ["train"]
    shallow = tmp_path / "shallow"
    project.run("git", "clone", "--quiet", "--depth=1", f"file://{project.folder}", str(shallow))
    assert found(Project(shallow, project.home)).found.startswith("a shallow clone")


def test_folder_without_a_repository_is_named_unless_dvc_is_to_need_none(
    project: Project,
) -> None:
    """As a ZIP file of the project has none, and Git refuses one that somebody else owns."""
    shutil.rmtree(project.folder / ".git")
    finding = found(project)
    assert finding.verdict == "problem"
    assert "not a git repository" in finding.found
    assert "is not a git repository" in project.run("dvc", "repro", status=255)
    for command in re.findall("`(git .*?)`", finding.advice):
        project.run(*command.split(), *(["-m", "x"] if command == "git commit" else []))
    assert found(project).verdict == "good"
    project.repro()
    shutil.rmtree(project.folder / ".git")
    project.run("dvc", "config", "core.no_scm", "true")
    project.repro()
    with in_project(project):
        assert repository(project.folder) is None


def test_command_that_git_advises_is_told() -> None:
    """Git's own words where somebody else owns the folder, as in a container."""
    said = (
        "fatal: detected dubious ownership in repository at '/x'\n"
        "To add an exception for this directory, call:\n\n"
        "\tgit config --global --add safe.directory /x\n"
    )
    failed = subprocess.CompletedProcess([], 128, b"", said.encode())
    assert git_reason(failed) == (
        "detected dubious ownership in repository at '/x', "
        "`git config --global --add safe.directory /x`"
    )
