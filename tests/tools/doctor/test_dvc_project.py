import os
import shutil
from pathlib import Path

import pytest
from conftest import Project

from pipeline.tools.doctor.dvc_project import dvc, files, remote

pytestmark = pytest.mark.usefixtures("own_home")


def test_project_is_opened_in_git_and_outside_of_it(project: Project) -> None:
    for folder in (project.folder, project.studies.folder):
        assert dvc(folder).verdict == "good"
        assert files(folder) == ("good", "0 outputs as recorded in dvc.lock", "")
    shutil.rmtree(project.folder / ".git")
    assert dvc(project.folder).verdict == "good"


def test_damaged_memory_of_dvc_is_named_and_the_advice_removes_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project.home / "dvc"))
    project.run("dvc", "status")
    (memory,) = (project.home / "dvc/repo").iterdir()
    (memory / "links/cache.db").write_bytes(b"garbage" * 1000)
    assert "file is not a database" in project.run("dvc", "status", status=255)
    found = dvc(project.folder)
    assert found.verdict == "problem"
    assert found.found.endswith("memory of files is damaged: file is not a database")
    project.run(*found.advice.split("`")[1].split())
    assert dvc(project.folder).verdict == "good"


def test_settings_that_cannot_be_read_are_a_problem(project: Project, tmp_path: Path) -> None:
    project.commit("Project")
    (project.folder / ".dvc/config").write_text("[core\n")
    found = dvc(project.folder)
    assert found.verdict == "problem"
    project.run(*found.advice.split("`")[1].split())
    assert dvc(project.folder).verdict == "good"
    # As where there are none.
    assert "git checkout .dvc" in dvc(tmp_path).advice


def test_damaged_outputs_that_dvc_takes_for_good_are_named(reproduced: Project) -> None:
    # What somebody has changed is left to DVC.
    path = reproduced.folder / "data/model/operating_points.json"
    kept = path.read_bytes()
    path.write_bytes(kept + b" ")
    assert files(reproduced.folder).verdict == "good"
    path.write_bytes(kept)
    right = {}
    for output, name in (
        ("data/processed", "test_labels.npy"),
        ("data/model/model.keras", ""),
        ("reports/metrics.json", ""),
    ):
        path = reproduced.folder / output / name
        right[path], before = path.read_bytes(), path.stat()
        path.chmod(0o644)
        path.write_bytes(right[path][:-1] + bytes([right[path][-1] ^ 1]))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a bad disk leaves it
    found = files(reproduced.folder)
    assert found.verdict == "problem"
    names = found.found.rpartition(" outputs: ")[2].split(", ")
    assert set(names) == {"data/processed", "data/model/model.keras", "reports/metrics.json"}
    # Put right by hand, but for the one whose advice is followed.
    damaged, *others = right
    for path in others:
        path.write_bytes(right[path])
    found = files(reproduced.folder)
    assert found.found.endswith(" outputs: data/processed")
    reproduced.run(*found.advice.split("`")[1].split())
    assert reproduced.repro() == []
    assert damaged.read_bytes() == right[damaged]
    assert files(reproduced.folder).verdict == "good"


@pytest.mark.parametrize("level", [(), pytest.param(("--local",), marks=pytest.mark.slow)])
def test_remote_whose_data_nobody_verifies_is_a_note(
    project: Project, level: tuple[str, ...]
) -> None:
    assert remote(project.folder) is None
    project.run("dvc", "remote", "add", *level, "store", "ssh://me:secret@machine.invalid/folder")
    found = remote(project.folder)
    assert found is not None
    assert found.verdict == "note"
    assert "what comes from store without" in found.found
    assert "secret" not in "".join(found)
    command = found.advice.split("`")[1].split()
    project.run(*command[:3], *level, *command[3:])
    assert remote(project.folder) == ("good", "store, not contacted", "")
