"""The command as users run it, on files of DVC that were cut off, left by a merge, or are good."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from conftest import LOCK, ROOT, Project

COMMAND = ("python", "-m", "pipeline.tools.mend")
# A kill leaves none of it or a part; the last four end within an entry, or within a line.
CUT = [
    LOCK[:length]
    for length in (
        *(0, 1, 20, 40),
        *(LOCK.index(line) for line in ("    cmd", "      md5", "      size")),
        len(LOCK) - 1,
    )
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


def test_bytecode_that_was_cut_off_stops_nothing(committed: Project) -> None:
    committed.stage("download")
    files = sorted(committed.folder.glob("pipeline/__pycache__/*.pyc"))
    assert len(files) > 5
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    # What `make repro` does first.
    makefile = (ROOT / "Makefile").read_text()
    lines = makefile.partition("define MEND\n")[2].partition("endef")[0].splitlines()
    commands = [line.removeprefix("$(RUN) ") for line in lines]
    assert [command.split()[0] for command in commands] == ["find", "python"]
    for command in commands:
        assert committed.run("sh", "-c", command) == ""
    # A disk that is full as yet would only cut it off again.
    assert not [*committed.folder.glob("pipeline/**/*.pyc")]
    committed.stage("download")


def test_what_dvc_was_about_to_remember_of_a_run_is_removed(reproduced: Project) -> None:
    one, other = sorted((reproduced.folder / ".dvc/cache/runs").glob("*/*"))
    for path in one.iterdir():
        path.rename(path.with_name(".abc.tmp"))
    (entry,) = other.iterdir()
    (other / ".abc.tmp").write_text("cmd: x\n")
    # They may be of another clone that shares the cache, and just be at it.
    assert reproduced.run(*COMMAND) == ""
    for folder in (one, other):
        os.utime(folder, (0, 0))
    output = reproduced.run(*COMMAND)
    assert [line.split(": ")[1] for line in output.splitlines()] == [str(one), str(other)]
    assert not one.exists()
    assert [*other.iterdir()] == [entry]
    assert reproduced.run(*COMMAND) == ""
    assert reproduced.repro() == []


def test_of_a_cache_folder_only_what_dvc_left_there_is_removed(reproduced: Project) -> None:
    runs = reproduced.folder / ".dvc/cache/runs"
    (one, _) = sorted(runs.glob("*/*"))
    # People choose where the cache is; and systems leave files of their own.
    others = [runs / "detect/train1/best.pt", runs / "ab/best.pt", one / ".DS_Store"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
        os.utime(path.parent, (0, 0))
    before = sorted(runs.rglob("*"))
    assert reproduced.run(*COMMAND) == ""
    assert sorted(runs.rglob("*")) == before


def test_what_cannot_be_removed_is_told_and_stops_nothing(reproduced: Project) -> None:
    one, other = sorted((reproduced.folder / ".dvc/cache/runs").glob("*/*"))
    for folder in (one, other):
        for path in folder.iterdir():
            path.unlink()
        os.utime(folder, (0, 0))
    # As of another user; for root, there is no other way.
    (one / ".abc.tmp").mkdir()
    os.utime(one, (0, 0))
    first, second = reproduced.run(*COMMAND).splitlines()
    assert str(one) in first
    assert "It cannot be removed: " in first
    assert str(other) in second
    assert "It has been removed." in second


def test_what_a_lock_was_is_kept_each_time(committed: Project) -> None:
    for content in (LOCK[:-1], LOCK[:-2]):
        (committed.folder / "dvc.lock").write_text(content)
        assert re.search(r"dvc\.lock\..*\.damaged", committed.run(*COMMAND))
    kept = {path.read_text() for path in committed.folder.glob("*.damaged")}
    assert kept == {LOCK[:-1], LOCK[:-2]}
    assert committed.run("git", "status", "--porcelain") == ""


@pytest.mark.parametrize("content", CUT)
def test_lock_that_is_staged_cut_off_comes_back_from_the_last_commit(
    committed: Project, content: str
) -> None:
    (committed.folder / "dvc.lock").write_text(content)
    committed.run("git", "add", "dvc.lock")
    assert "brought back from Git" in committed.run(*COMMAND)
    assert lock(committed) == LOCK


@pytest.mark.parametrize("content", CUT)
def test_lock_that_is_cut_off_in_every_place_of_git_is_left_and_told(
    committed: Project, content: str
) -> None:
    (committed.folder / "dvc.lock").write_text(content)
    committed.commit("Cut")
    assert "nor is what Git has of it" in committed.run(*COMMAND, status=2)
    assert lock(committed) == content


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


def test_kind_of_hash_that_dvc_has_not_comes_back_from_git(committed: Project) -> None:
    """DVC takes such a file, and then ends without a reason."""
    flipped = LOCK.replace("      md5", "      hash: mt5\n      md5")
    (committed.folder / "dvc.lock").write_text(flipped)
    assert "brought back from Git" in committed.run(*COMMAND)
    assert lock(committed) == LOCK


def test_lock_that_git_could_not_write_is_found_damaged_again(committed: Project) -> None:
    """As on a full disk, where Git has removed a file by the time that it fails."""
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    # A filter, since this is where Git fails on root's own disk, too.
    committed.run("git", "config", "filter.fails.smudge", "rm -f dvc.lock; exit 1")
    committed.run("git", "config", "filter.fails.required", "true")
    (committed.folder / ".git/info/attributes").write_text("dvc.lock filter=fails\n")
    for _ in range(2):
        assert "Git fails" in committed.run(*COMMAND, status=2)
        assert lock(committed) == LOCK[:-1]


def test_note_that_can_be_read_is_left_to_people(committed: Project) -> None:
    """Another container with the same clone has numbers of processes of its own."""
    other = committed.start("sleep", "60")
    noted = {str(committed.folder / "data"): {"pid": other.pid, "cmd": "dvc repro"}}
    path = rwlock(committed)
    path.write_text(json.dumps({"write": noted}))
    os.utime(path, (0, 0))
    assert committed.run(*COMMAND) == ""
    other.kill()
    other.communicate()
    assert json.loads(path.read_text())["write"] == noted
