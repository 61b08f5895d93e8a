import os
import shutil
from pathlib import Path

import pytest
from conftest import Project

from pipeline.dvc_project import can_be_opened, dvc, files, pipeline

pytestmark = pytest.mark.usefixtures("own_home")


def test_project_is_read_in_git_and_outside_of_it(project: Project) -> None:
    assert dvc(project.folder).verdict == "good"
    assert pipeline(project.folder) == ("good", "5 stages, as DVC reads them", "")
    shutil.rmtree(project.folder / ".git")
    assert dvc(project.folder).verdict == "good"
    assert pipeline(project.folder) == ("good", "5 stages, as DVC reads them", "")


@pytest.mark.parametrize(
    ("name", "content"),
    [("dvc.yaml", "stages: ["), ("dvc.yaml", "stages: {a: 1}"), ("params.yaml", "train: [")],
)
def test_file_that_dvc_cannot_read_is_named(project: Project, name: str, content: str) -> None:
    (project.folder / name).write_text(content)
    found = pipeline(project.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert name in found.found
    assert "\n" not in found.found


def test_damaged_lock_is_left_to_whoever_looks_at_it(project: Project) -> None:
    (project.folder / "dvc.lock").write_text("stages: [")
    assert pipeline(project.folder) is None


def test_lock_that_ends_between_two_lines_is_a_note(reproduced: Project) -> None:
    path = reproduced.folder / "dvc.lock"
    text = path.read_text()
    path.write_text(text[: text.index("    - path: reports/by_class.csv\n")])
    found = pipeline(reproduced.folder)
    assert found is not None
    assert found.verdict == "note"
    assert found.found == "the lock holds these stages only in part: evaluate"
    reproduced.run(*found.advice.split("`")[1].split())
    assert pipeline(reproduced.folder) == ("good", "5 stages, as DVC reads them", "")
    assert reproduced.repro() == []


def test_folder_without_settings_is_a_problem_told_once(tmp_path: Path) -> None:
    assert dvc(tmp_path).verdict == "problem"
    assert "git checkout .dvc" in dvc(tmp_path).advice
    assert not can_be_opened(tmp_path)
    assert pipeline(tmp_path) is None


def test_settings_that_cannot_be_read_are_a_problem(project: Project) -> None:
    project.commit("Project")
    (project.folder / ".dvc/config").write_text("[core\n")
    found = dvc(project.folder)
    assert found.verdict == "problem"
    project.run(*found.advice.split("`")[1].split())
    assert dvc(project.folder).verdict == "good"


def test_damaged_file_that_dvc_takes_for_good_is_put_back_by_the_advice(
    reproduced: Project,
) -> None:
    whole = files(reproduced.folder)
    assert whole is not None
    assert whole.verdict == "good"
    name = "data/processed/test_labels.npy"
    path = reproduced.folder / name
    right, before = path.read_bytes(), path.stat()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a bad disk leaves it
    found = files(reproduced.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert found.found.endswith(f" files: {name}")
    reproduced.run(*found.advice.split("`")[1].split())
    assert reproduced.repro() == []
    assert path.read_bytes() == right
    assert files(reproduced.folder) == whole


def test_file_that_somebody_changed_is_left_to_dvc(reproduced: Project) -> None:
    reproduced.append("data/model/operating_points.json", " ")
    found = files(reproduced.folder)
    assert found is not None
    assert found.verdict == "good"


def test_project_that_cannot_be_read_has_no_files(project: Project, tmp_path: Path) -> None:
    assert files(tmp_path) is None
    assert files(project.folder) == ("good", "0 files as recorded in DVC's locks", "")
    (project.folder / "dvc.yaml").write_text("stages: [")
    assert files(project.folder) is None
