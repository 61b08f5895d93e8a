"""The command as users run it, in set-ups that are whole and in some that are not."""

import importlib.util
import json
import shutil
import subprocess
import venv
from pathlib import Path

import pytest
from conftest import ROOT, TERMINAL, Project
from in_process import call, in_project

from pipeline.tools.doctor.command import CHECKS, DVC_CHECKS, DVC_FILES, doctor

COMMAND = ("python", "-m", "pipeline", "doctor")
# Ends the one check that takes long before it has imported anything.
QUICK = {"KERAS_BACKEND": "none"}


@pytest.fixture
def whole(project: Project) -> Project:
    """The project with all that it needs, but nothing that has been run."""
    for name in ("pyproject.toml", "requirements.lock", "requirements-gpu.lock"):
        shutil.copyfile(ROOT / name, project.folder / name)
    (project.folder / ".venv").mkdir()
    project.commit("Project")
    return project


def test_new_clone_has_no_problem(whole: Project) -> None:
    facts = json.loads(whole.run(*COMMAND, "--format", "json", KERAS_BACKEND="jax"))
    assert facts["sentence"].startswith("No problem, ")
    verdicts = {finding["name"]: finding["verdict"] for finding in facts["findings"]}
    of_dvc = [name for name in (*DVC_FILES, *DVC_CHECKS) if name != "DVC remotes"]  # none yet
    assert list(verdicts) == [*CHECKS, *of_dvc, *(f"studies: {name}" for name in of_dvc)]
    # This machine may have a GPU, and another package for tests and checks.
    notes = {name for name, verdict in verdicts.items() if verdict == "note"}
    assert notes - {"GPU", "packages"} == {"dvc.lock", "studies: dvc.lock"}
    assert all(finding["advice"] for finding in facts["findings"] if finding["verdict"] == "note")
    assert whole.run("git", "status", "--porcelain") == ""


def problems_of(project: Project) -> dict[str, str]:
    """Return the advice on each problem that is found in this process."""
    with in_project(project, **QUICK):
        findings = doctor(project.folder)
    assert all(finding.advice for finding in findings.values() if finding.verdict != "good")
    return {name: one.advice for name, one in findings.items() if one.verdict == "problem"}


def test_half_of_a_set_up_is_looked_at_as_far_as_it_goes(whole: Project) -> None:
    for name in (".git", ".dvc"):
        shutil.rmtree(whole.folder / name)
    (whole.folder / "dvc.lock").write_text("stages: [")
    (whole.folder / "pyproject.toml").unlink()
    (whole.folder / "requirements.lock").write_text("not-a-package==1.0\n")
    (whole.folder / "requirements-gpu.lock").write_text("not-a-package==1.0\n")
    expected = ["Python", "packages", "GPU", "Git", "dvc.lock", "DVC"]
    assert list(problems_of(whole)) == expected


def test_what_a_kill_has_cut_off_is_named_and_the_advice_repairs_it(whole: Project) -> None:
    for part in ("", "studies/"):
        (whole.folder / f"{part}.dvc/tmp").mkdir(exist_ok=True)
        for name in ("dvc.lock", ".dvc/tmp/rwlock"):
            (whole.folder / f"{part}{name}").write_text("")
    problems = problems_of(whole)
    assert list(problems) == ["GPU", "dvc.lock", "rwlock", "studies: dvc.lock", "studies: rwlock"]
    assert problems["studies: rwlock"].startswith("In studies/: ")
    command = problems["rwlock"].split("`")[1].split()
    assert command == [*COMMAND, "--fix"]
    done = whole.run(*command)
    assert [line.split(": ")[1] for line in done.splitlines()] == [
        *("dvc.lock", ".dvc/tmp/rwlock", "studies/dvc.lock", "studies/.dvc/tmp/rwlock"),
    ]
    assert list(problems_of(whole)) == ["GPU"]  # that of QUICK
    assert "nothing to repair" in call(whole, "doctor", "--fix", status=1)
    # A repair that fails.
    (whole.folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    assert problems_of(whole)["dvc.lock"] == "Resolve it, or `rm dvc.lock`"
    output = call(whole, "doctor", "--fix", status=2)
    assert output.startswith("doctor: ")
    assert "conflict of a merge" in output
    assert len(output.splitlines()) == 1


def test_terminal_shows_what_is_looked_at_and_then_clears_it(whole: Project) -> None:
    output = whole.run("python", "-c", TERMINAL, *COMMAND[1:], status=1, **QUICK)
    # Returns of the carriage are read as ends of lines here.
    assert "\n\033[KLooking at DVC cache …" in output
    assert "\n\033[K\033[1;31m1 problem, " in output
    output = whole.run(*COMMAND, status=1, **QUICK)
    assert output.startswith("1 problem, ")
    assert "Problem: GPU: none cannot be used: exit code 1: KERAS_BACKEND is 'none'" in output
    assert "\nTo do: Unset KERAS_BACKEND; if it is not that: " in output


def run_bare(project: Project, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the doctor with a Python that has no packages, and expect a problem."""
    venv.create(project.home / "bare", with_pip=False)
    python = next((project.home / "bare").glob("[bS]*/python*"))  # bin, or Scripts of Windows
    result = subprocess.run(
        [python, *COMMAND[1:]],
        cwd=project.folder,
        env={"HOME": str(project.home), "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    return result


def test_python_without_packages_says_what_it_lacks(whole: Project) -> None:
    result = run_bare(whole)
    assert result.stderr.startswith("doctor: expected Python 3.11 to 3.13 with the packages")
    assert ": No module named '" in result.stderr
    assert "make setup" in result.stderr
    assert result.stdout == ""


def test_few_packages_are_enough_to_tell_which_are_missing(whole: Project) -> None:
    few = whole.home / "packages"
    few.mkdir()
    for module in ("packaging", "pathspec", "pydantic", "ruamel", "tabulate"):  # as docs say
        link(few, module)
    for module in ("annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"):
        link(few, module)  # what pydantic needs itself
    result = run_bare(whole, PYTHONPATH=str(few))
    assert result.stderr == ""
    assert " differ from requirements.lock: absl-py is missing, " in result.stdout
    assert "Problem: GPU: tensorflow cannot be used: exit code 1: ModuleNotFound" in result.stdout
    assert "Problem: DVC: cannot be checked: No module named 'dvc'" in result.stdout
    assert "\nbytecode  " in result.stdout


def link(folder: Path, module: str) -> None:
    """Make a module of this Python one that is found in a folder."""
    spec = importlib.util.find_spec(module)
    assert spec
    places = list(spec.submodule_search_locations or [str(spec.origin)])
    (folder / Path(places[0]).name).symlink_to(places[0])
