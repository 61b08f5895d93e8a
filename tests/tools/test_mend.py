"""The command as users run it, on files of DVC that were cut off, left by a merge, or are good."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import LOCK, ROOT, Project

COMMAND = ("python", "-m", "pipeline.tools.mend")
# A kill leaves none of it or a part; the last three end within an entry, or within a line.
CUT = [
    LOCK[:length]
    for length in (0, 1, 20, 40, LOCK.index("      md5"), LOCK.index("      size"), len(LOCK) - 1)
]
RWLOCK = '{"read": {}, "write": {"/x": {"pid": 1, "cmd": "dvc repro"}}}'


@pytest.fixture
def committed(project: Project) -> Project:
    """The project with two locks, all committed."""
    (project.folder / "studies").mkdir()
    for name in ("dvc.lock", "studies/dvc.lock"):
        (project.folder / name).write_text(LOCK)
    project.commit("First")
    return project


def lock(project: Project, name: str = "dvc.lock") -> str:
    return (project.folder / name).read_text()


def rwlock(project: Project) -> Path:
    """Return the file where DVC notes who is at work, in its folder."""
    path = project.folder / ".dvc/tmp/rwlock"
    path.parent.mkdir(exist_ok=True)
    return path


@pytest.mark.parametrize(
    ("name", "content"), [*(("dvc.lock", content) for content in CUT), ("studies/dvc.lock", CUT[3])]
)
def test_lock_that_was_cut_off_comes_back_from_git(
    committed: Project, name: str, content: str
) -> None:
    (committed.folder / name).write_text(content)
    output = committed.run(*COMMAND)
    assert output.startswith(f"mend: {name}")
    assert "It has been brought back from Git." in output
    assert lock(committed, name) == LOCK
    assert committed.run("git", "status", "--porcelain") == ""


def test_whole_lock_is_left_as_it_is_and_nothing_is_said(committed: Project) -> None:
    edited = LOCK.replace("md5: 0cc", "md5: 1cc")
    (committed.folder / "dvc.lock").write_text(edited)
    assert committed.run(*COMMAND) == ""
    assert lock(committed) == edited
    (committed.folder / "dvc.lock").unlink()
    assert committed.run(*COMMAND) == ""
    assert not (committed.folder / "dvc.lock").exists()


def test_lock_that_git_does_not_have_is_removed(project: Project) -> None:
    (project.folder / "dvc.lock").write_text(LOCK[:-1])
    assert "removed" in project.run(*COMMAND)
    assert not (project.folder / "dvc.lock").exists()


def test_conflict_of_a_merge_is_left_to_people(committed: Project) -> None:
    conflict = LOCK.replace("      size: 1\n", "<<<<<<< HEAD\n      size: 1\n=======\n>>>>>>> b\n")
    (committed.folder / "dvc.lock").write_text(conflict)
    output = committed.run(*COMMAND, status=2)
    assert "conflict of a merge" in output
    assert lock(committed) == conflict


def test_lock_that_lacks_stages_but_is_whole_is_left_to_people(committed: Project) -> None:
    fewer = "schema: '2.0'\nstages: {}\n"
    (committed.folder / "studies/dvc.lock").write_text(fewer)
    assert committed.run(*COMMAND) == ""
    assert lock(committed, "studies/dvc.lock") == fewer


@pytest.mark.parametrize("content", ["", RWLOCK[:-1], "[]"])
def test_note_of_who_is_at_work_that_was_cut_off_is_removed(
    reproduced: Project, content: str
) -> None:
    rwlock(reproduced).write_text(content)
    # This is why: DVC refuses every run.
    assert "RWLock-file '.dvc/tmp/rwlock'" in reproduced.run("dvc", "repro", "-f", status=255)
    output = reproduced.run(*COMMAND)
    assert output.startswith("mend: DVC cannot read .dvc/tmp/rwlock, ")
    assert output.endswith(". It has been removed.\n")
    assert reproduced.repro() == []
    assert reproduced.run(*COMMAND) == ""


def test_note_of_who_is_at_work_that_is_whole_is_left_as_it_is(committed: Project) -> None:
    rwlock(committed).write_text(RWLOCK)
    assert committed.run(*COMMAND) == ""
    assert rwlock(committed).read_text() == RWLOCK


def test_all_that_was_cut_off_comes_back_at_once(committed: Project) -> None:
    for name in ("dvc.lock", "studies/dvc.lock"):
        (committed.folder / name).write_text(LOCK[:-1])
    rwlock(committed).write_text("")
    assert len(committed.run(*COMMAND).splitlines()) == 3
    assert committed.run(*COMMAND) == ""


def other_dvc(project: Project, lock: str) -> "subprocess.Popen[str]":
    """Start a process that holds one of DVC's locks until it is killed."""
    other = project.start(
        *("python", "-c"),
        "import time; from dvc.lock import make_lock; from dvc.repo import Repo\n"
        f"with Repo('.') as repo, {lock}:\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)",
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    return other


def test_lock_is_left_alone_while_another_dvc_writes_it(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    other = other_dvc(committed, "repo.lock")
    assert "lock" in committed.run(*COMMAND, status=2)
    assert lock(committed) == LOCK[:-1]
    other.kill()
    other.communicate()
    committed.run(*COMMAND)
    assert lock(committed) == LOCK


def test_note_is_left_alone_while_another_dvc_writes_it(committed: Project) -> None:
    rwlock(committed).write_text("{")
    other = other_dvc(committed, "make_lock('.dvc/tmp/rwlock.lock')")
    assert "lock" in committed.run(*COMMAND, status=2)
    assert rwlock(committed).read_text() == "{"
    other.kill()
    other.communicate()
    committed.run(*COMMAND)
    assert not rwlock(committed).exists()


def test_bytecode_that_was_cut_off_is_written_anew(committed: Project) -> None:
    committed.stage("download")
    files = sorted(committed.folder.glob("pipeline/__pycache__/*.pyc"))
    assert len(files) > 5
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    # What `make repro` does first.
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"\$\(RUN\) (.*)", makefile.partition("define MEND")[2].split("endef")[0])
    assert [command.split()[2] for command in commands] == ["compileall", "pipeline.tools.mend"]
    for command in commands:
        assert committed.run("sh", "-c", command) == ""
    committed.stage("download")


def test_folder_of_a_run_that_dvc_was_about_to_remember_is_removed(reproduced: Project) -> None:
    whole, empty = sorted((reproduced.folder / ".dvc/cache/runs").glob("*/*"))
    for path in empty.iterdir():
        path.rename(path.with_name(".abc.tmp"))
    # It may be of another clone that shares the cache, and just be at it.
    assert reproduced.run(*COMMAND) == ""
    os.utime(empty, (0, 0))
    output = reproduced.run(*COMMAND)
    assert output.startswith(f"mend: {empty}: what DVC was about to remember of a run")
    assert not empty.exists()
    assert whole.exists()
    assert reproduced.run(*COMMAND) == ""
    assert reproduced.repro() == []


def test_what_a_lock_was_is_kept(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    assert "dvc.lock.damaged" in committed.run(*COMMAND)
    assert (committed.folder / "dvc.lock.damaged").read_text() == LOCK[:-1]
    assert committed.run("git", "status", "--porcelain") == ""


def test_lock_that_is_staged_cut_off_comes_back_from_the_last_commit(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    committed.run("git", "add", "dvc.lock")
    assert "brought back from Git" in committed.run(*COMMAND)
    assert lock(committed) == LOCK


def test_lock_that_is_cut_off_in_every_place_of_git_is_left_and_told(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    committed.commit("Cut")
    assert "nor is what Git has of it" in committed.run(*COMMAND, status=2)
    assert lock(committed) == LOCK[:-1]


def test_failure_of_git_is_not_taken_for_a_file_that_it_does_not_have(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    index = committed.folder / ".git/index"
    index.write_bytes(index.read_bytes()[:20])
    assert "Git fails" in committed.run(*COMMAND, status=2)
    assert lock(committed) == LOCK[:-1]


def test_lock_that_is_only_beyond_what_this_project_reads_is_left_alone(committed: Project) -> None:
    whole = LOCK + "    params:\n      params.yaml:\n        a: " + "1" * 100 + "\n"
    (committed.folder / "dvc.lock").write_text(whole)
    assert committed.run(*COMMAND) == ""
    assert lock(committed) == whole


def test_lock_that_dvc_would_end_of_comes_back_from_git(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text("[" * 200_000 + "\n")
    assert "brought back from Git" in committed.run(*COMMAND)
    assert lock(committed) == LOCK


def test_failure_of_git_to_bring_it_back_is_told_as_such(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    (committed.folder / ".git/index.lock").write_bytes(b"")  # as a power cut may leave it
    output = committed.run(*COMMAND, status=2)
    assert "dvc.lock is not whole, and Git fails: Unable to create" in output
    assert lock(committed) == LOCK[:-1]


def test_note_of_a_process_whose_number_another_one_has_by_now_is_removed(
    reproduced: Project,
) -> None:
    other = reproduced.start("sleep", "60")
    noted = {str(reproduced.folder / "data"): {"pid": other.pid, "cmd": "dvc repro"}}
    path = rwlock(reproduced)
    path.write_text(json.dumps({"write": noted}))
    reproduced.edit_params(lambda params: params["evaluate"].update(certainty=0.8))
    refused = reproduced.start("dvc", "repro")
    output, _ = refused.communicate()
    os.utime(path, (0, 0))  # as of before the machine started anew
    said = reproduced.run(*COMMAND)
    other.kill()
    other.communicate()
    # This is why: for DVC, it is still at work.
    assert refused.returncode == 255
    assert f"(PID {other.pid}): dvc repro" in output
    assert "It has been removed." in said
    assert "evaluate" in reproduced.repro()
