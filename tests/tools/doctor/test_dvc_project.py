import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import Project

from pipeline.tools.doctor.dvc_files import RWLOCK, rwlock
from pipeline.tools.doctor.dvc_project import can_be_opened, dvc, files, opened, pipeline

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


@pytest.mark.parametrize("name", ["dvc.lock", "studies/dvc.lock"])
def test_damaged_lock_is_left_to_whoever_looks_at_it(project: Project, name: str) -> None:
    (project.folder / "studies").mkdir()
    (project.folder / name).write_text("stages: [")
    assert pipeline(project.folder) is None


def test_lock_that_ends_between_two_lines_is_a_note(reproduced: Project) -> None:
    path = reproduced.folder / "dvc.lock"
    text = path.read_text()
    path.write_text(text[: text.index("    - path: reports/by_class.csv\n")])
    found = pipeline(reproduced.folder)
    assert found is not None
    assert found.verdict == "note"
    assert found.found == "these stages are only in part in dvc.lock: evaluate"
    reproduced.run(*found.advice.split("`")[1].split())
    assert pipeline(reproduced.folder) == ("good", "5 stages, as DVC reads them", "")
    assert reproduced.repro() == []


def test_part_of_a_stage_in_the_lock_of_the_studies_is_told_of_that_lock(project: Project) -> None:
    studies = project.folder / "studies"
    studies.mkdir()
    (studies / "dvc.yaml").write_text("stages: {try: {cmd: touch a b, outs: [a, b]}}\n")
    project.run("dvc", "repro", "studies/dvc.yaml")
    project.commit("Study")
    text = (studies / "dvc.lock").read_text()
    (studies / "dvc.lock").write_text(text[: text.index("    - path: b\n")])
    found = pipeline(project.folder)
    assert found is not None
    assert found.verdict == "note"
    assert found.found == "these stages are only in part in studies/dvc.lock: try"
    project.run(*found.advice.split("`")[1].split())
    assert (studies / "dvc.lock").read_text() == text


def test_note_of_who_is_at_work_is_found_where_dvc_writes_it(reproduced: Project) -> None:
    assert rwlock(reproduced.folder) == ("good", "nobody is at work here", "")
    with opened(reproduced.folder) as repo:
        assert repo.tmp_dir == str((reproduced.folder / RWLOCK).parent)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"\xff", "'utf-8'"),
        (b"[]", "expected a dictionary"),
        (b'{"write": {"/a": {"qid": 1, "cmd": "x"}}}', "extra keys not allowed"),
    ],
)
def test_note_of_who_is_at_work_that_dvc_cannot_read_is_a_problem(
    project: Project, content: bytes, reason: str
) -> None:
    assert rwlock(project.folder).verdict == "good"
    path = project.folder / RWLOCK
    path.parent.mkdir()
    path.write_bytes(content)
    found = rwlock(project.folder)
    assert found.verdict == "problem"
    assert f"here: {reason}" in found.found
    project.run(*found.advice.split("`")[1].split())
    assert rwlock(project.folder).verdict == "good"


@pytest.mark.parametrize("argument", ["", "dvc"])
@pytest.mark.parametrize("seconds", [-60, 60])
def test_process_that_has_the_number_of_one_at_work_is_noted_if_it_looks_like_another(
    project: Project, argument: str, seconds: int
) -> None:
    other = project.start("python", "-c", "import time; time.sleep(60)", argument)
    path = project.folder / RWLOCK
    path.parent.mkdir()
    path.write_text(json.dumps({"read": {"/x": [{"pid": other.pid, "cmd": "dvc repro"}]}}))
    noted = path.stat().st_mtime + seconds
    os.utime(path, (noted, noted))
    found = rwlock(project.folder)
    other.kill()
    other.communicate()
    is_another = seconds < 0 and not argument
    assert found.verdict == ("note" if is_another else "good")
    assert (f"names process {other.pid}, which is another one" in found.found) == is_another
    # Of one that is no longer there, DVC knows by itself.
    assert rwlock(project.folder).verdict == "good"


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml", "studies/dvc.yaml"])
def test_file_that_dvc_would_end_of_is_named(project: Project, name: str) -> None:
    (project.folder / "studies").mkdir()
    (project.folder / name).write_text("[" * 200_000 + "\n")
    found = pipeline(project.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert f"{name} cannot be read: nested deeper" in found.found


def test_missing_pipeline_is_a_problem(project: Project) -> None:
    project.commit("All")
    (project.folder / "dvc.yaml").unlink()
    found = pipeline(project.folder)
    assert found == ("problem", "there is no dvc.yaml", "`git checkout dvc.yaml`")
    project.run(*found.advice.strip("`").split())
    found = pipeline(project.folder)
    assert found is not None
    assert found.verdict == "good"


def test_damaged_memory_of_dvc_is_named_and_the_advice_mends_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project.home / "dvc"))
    project.run("dvc", "status")
    (memory,) = (project.home / "dvc/repo").iterdir()
    others = shutil.copytree(memory, memory.with_name("of another project"))
    (memory / "links/cache.db").write_bytes(b"garbage" * 1000)
    assert "file is not a database" in project.run("dvc", "status", status=255)
    found = dvc(project.folder)
    assert found.verdict == "problem"
    assert found.found.endswith(f"memory of files is damaged: file is not a database, in {memory}")
    assert pipeline(project.folder) is files(project.folder) is None
    project.run(*found.advice.split("`")[1].split())
    assert dvc(project.folder).verdict == "good"
    assert others.exists()


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
