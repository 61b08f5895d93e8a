"""The command as users run it, on lock files that were cut off, left by a merge, or are good."""

import pytest
from conftest import Project

COMMAND = ("python", "-m", "pipeline.tools.mend")
LOCK = "schema: '2.0'\nstages:\n  a:\n    cmd: sh a.sh\n    outs:\n    - path: x\n      md5: aa\n"
CUT = [LOCK[:length] for length in (0, 1, 20, 40, len(LOCK) - 1)]


@pytest.fixture
def committed(project: Project) -> Project:
    """The project with a lock, all committed."""
    (project.folder / "dvc.lock").write_text(LOCK)
    project.commit("First")
    return project


def lock(project: Project) -> str:
    return (project.folder / "dvc.lock").read_text()


@pytest.mark.parametrize("content", CUT)
def test_lock_that_was_cut_off_comes_back_from_git(committed: Project, content: str) -> None:
    (committed.folder / "dvc.lock").write_text(content)
    assert "brought back from Git" in committed.run(*COMMAND)
    assert lock(committed) == LOCK
    assert committed.run("git", "status", "--porcelain") == ""


def test_whole_lock_is_left_as_it_is_and_nothing_is_said(committed: Project) -> None:
    edited = LOCK.replace("md5: aa", "md5: bb")
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
    conflict = LOCK.replace("      md5: aa\n", "<<<<<<< HEAD\n      md5: aa\n=======\n>>>>>>> b\n")
    (committed.folder / "dvc.lock").write_text(conflict)
    output = committed.run(*COMMAND, status=2)
    assert "conflict of a merge" in output
    assert lock(committed) == conflict


def test_lock_is_left_alone_while_another_dvc_writes_it(committed: Project) -> None:
    (committed.folder / "dvc.lock").write_text(LOCK[:-1])
    other = committed.start(
        *("python", "-c"),
        "import time; from dvc.repo import Repo\n"
        "with Repo('.').lock:\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)",
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    assert "lock" in committed.run(*COMMAND, status=2)
    assert lock(committed) == LOCK[:-1]
    other.kill()
    other.communicate()
    committed.run(*COMMAND)
    assert lock(committed) == LOCK
