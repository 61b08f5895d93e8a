"""What a DVC leaves behind that was killed as it wrote, and how `make repro` goes on after it."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from conftest import LOCK, ROOT, Project

from pipeline.runtime.errors import PipelineError
from pipeline.tools.doctor import repair as repair_module
from pipeline.tools.doctor.dvc_files import PATIENCE
from pipeline.tools.doctor.repair import repair

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
PARTS = pytest.mark.parametrize("part", ["", "studies"])


@pytest.fixture
def clone(tmp_path: Path, own_home: Path) -> Project:
    """Two DVC projects with a lock file each, all committed, and nothing to run."""
    folder = tmp_path / "clone"
    for part in (folder, folder / "studies"):
        (part / ".dvc/tmp").mkdir(parents=True)
        for name in (".dvc/config", ".dvc/.gitignore"):
            shutil.copyfile(ROOT / name, part / name)
        (part / "dvc.lock").write_text(LOCK)
    shutil.copyfile(ROOT / ".gitignore", folder / ".gitignore")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=ignored)
    project = Project(folder, own_home)
    project.run("git", "init", "--quiet")
    project.commit("First")
    return project


def repairs(project: Project) -> list[str]:
    return list(repair(project.folder))


@PARTS
@pytest.mark.parametrize("content", CUT)
def test_lock_file_that_was_cut_off_comes_back_from_git(
    clone: Project, part: str, content: str
) -> None:
    path = clone.folder / part / "dvc.lock"
    path.write_text(content)
    (done,) = repairs(clone)
    assert done.startswith(f"{Path(part, 'dvc.lock')}: ")
    assert "brought back from Git; what it was is in dvc.lock." in done
    assert path.read_text() == LOCK
    assert clone.run("git", "status", "--porcelain") == ""
    assert repairs(clone) == []


def test_whole_lock_file_is_left_as_it_is(clone: Project) -> None:
    path = clone.folder / "dvc.lock"
    for whole in (LOCK.replace("md5: 0cc", "md5: 1cc"), "schema: '2.0'\nstages: {}\n"):
        path.write_text(whole)
        assert repairs(clone) == []
        assert path.read_text() == whole
    path.unlink()
    assert repairs(clone) == []
    assert not path.exists()


def test_lock_file_that_git_does_not_have_is_set_aside(clone: Project) -> None:
    clone.run("git", "rm", "--quiet", "--cached", "dvc.lock")
    clone.run("git", "commit", "--quiet", "--message", "Without")
    path = clone.folder / "dvc.lock"
    path.write_text(LOCK[:-1])
    (done,) = repairs(clone)
    (kept,) = clone.folder.glob("dvc.lock.*.damaged")
    assert done.endswith(f"; set aside as {kept.name}, since Git has none.")
    assert kept.read_text() == LOCK[:-1]
    assert not path.exists()


def test_what_a_lock_file_was_is_kept_each_time(clone: Project) -> None:
    for content in (LOCK[:-1], LOCK[:-2]):
        (clone.folder / "dvc.lock").write_text(content)
        repairs(clone)
    kept = {path.read_text() for path in clone.folder.glob("*.damaged")}
    assert kept == {LOCK[:-1], LOCK[:-2]}
    assert clone.run("git", "status", "--porcelain") == ""


def test_conflict_of_a_merge_is_left_to_people(clone: Project) -> None:
    conflict = LOCK.replace("      size: 1\n", "<<<<<<< HEAD\n      size: 1\n=======\n>>>>>>> b\n")
    path = clone.folder / "dvc.lock"
    path.write_text(conflict)
    with pytest.raises(PipelineError, match="conflict of a merge"):
        repairs(clone)
    assert path.read_text() == conflict


@pytest.mark.parametrize("content", CUT)
def test_lock_file_that_is_staged_cut_off_comes_back_from_the_last_commit(
    clone: Project, content: str
) -> None:
    path = clone.folder / "dvc.lock"
    path.write_text(content)
    clone.run("git", "add", "dvc.lock")
    assert len(repairs(clone)) == 1
    assert path.read_text() == LOCK
    # If Git has none that is whole, nothing is lost.
    path.write_text(content)
    clone.commit("Cut")
    with pytest.raises(PipelineError, match="so is what Git has of it"):
        repairs(clone)
    assert path.read_text() == content


def test_failure_of_git_is_not_taken_for_a_file_that_it_does_not_have(clone: Project) -> None:
    path = clone.folder / "dvc.lock"
    path.write_text(LOCK[:-1])
    (clone.folder / ".git/HEAD").unlink()
    with pytest.raises(PipelineError, match=r"Git fails: .*not a git repository"):
        repairs(clone)
    assert path.read_text() == LOCK[:-1]


def test_full_disk_leaves_the_lock_file_as_it_was(
    clone: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = clone.folder / "dvc.lock"
    path.write_text(LOCK[:-1])

    def full(_: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(repair_module, "replacing", full)
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            repairs(clone)
        assert path.read_text() == LOCK[:-1]
    monkeypatch.undo()


@PARTS
@pytest.mark.parametrize("content", ["", RWLOCK[:-1], "[]"])
def test_list_of_processes_that_cannot_be_read_is_set_aside(
    clone: Project, part: str, content: str
) -> None:
    path = clone.folder / part / ".dvc/tmp/rwlock"
    path.write_text(content)
    (done,) = repairs(clone)
    (kept,) = path.parent.glob("rwlock.*.damaged")
    assert done.startswith(f"{Path(part, '.dvc/tmp/rwlock')}: DVC cannot read ")
    assert done.endswith(f"; set aside as {kept.name}.")
    assert not path.exists()
    assert repairs(clone) == []


def test_list_of_processes_that_can_be_read_is_left_as_it_is(clone: Project) -> None:
    """Another container with the same clone has process numbers of its own."""
    path = clone.folder / ".dvc/tmp/rwlock"
    noted = json.dumps({"write": {"/x": {"pid": os.getpid(), "cmd": "dvc repro"}}})
    for content in (RWLOCK, noted):
        path.write_text(content)
        os.utime(path, (0, 0))
        assert repairs(clone) == []
        assert path.read_text() == content


@pytest.mark.parametrize("held", ["repo.lock", "make_lock('.dvc/tmp/rwlock.lock')"])
def test_nothing_is_repaired_while_another_dvc_may_be_writing_it(
    clone: Project, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"dvc.lock": LOCK[:-1], ".dvc/tmp/rwlock": "{"}
    for name, content in files.items():
        (clone.folder / name).write_text(content)
    other = clone.start(
        *("python", "-c"),
        "import time; from dvc.lock import make_lock; from dvc.repo import Repo\n"
        f"with Repo('.') as repo, {held}:\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)",
    )
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    monkeypatch.setattr("dvc.lock.DEFAULT_TIMEOUT", 0.1)
    with pytest.raises(PipelineError, match="lock"):
        repairs(clone)
    assert {name: (clone.folder / name).read_text() for name in files} == files
    other.kill()
    other.communicate()
    assert len(repairs(clone)) == 2


def runs(project: Project) -> list[Path]:
    """Return two folders of DVC's run cache that are long finished, with an entry each."""
    place = project.folder / ".dvc/cache/runs"
    folders = [place / one[:2] / one for one in ("ab" * 32, "cd" * 32)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ("ef" * 32)).write_text("cmd: x\n")
    return folders


def long_ago(*folders: Path) -> None:
    for folder in folders:
        os.utime(folder, (0, 0))


def test_runs_that_dvc_was_about_to_remember_are_removed(clone: Project) -> None:
    one, other = runs(clone)
    for path in one.iterdir():
        path.rename(path.with_name(".abc.tmp"))
    (entry,) = other.iterdir()
    (other / ".abc.tmp").write_text("cmd: x\n")
    long_ago(one, other)
    assert [done.split(": ")[0] for done in repairs(clone)] == [str(one), str(other)]
    assert not one.exists()
    assert [*other.iterdir()] == [entry]
    assert repairs(clone) == []


def test_run_of_the_last_seconds_is_given_time_to_be_finished(
    clone: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be of another clone that shares the cache, and just be at it."""
    one, other = runs(clone)
    for folder in (one, other):
        (folder / ".abc.tmp").write_text("cmd: x\n")
    long_ago(one)
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        (other / ".abc.tmp").unlink()  # the other clone has finished

    monkeypatch.setattr(time, "sleep", wait)
    assert [done.split(": ")[0] for done in repairs(clone)] == [str(one)]
    assert waited == [PATIENCE]
    assert repairs(clone) == []


def test_of_a_cache_folder_only_what_dvc_left_there_is_removed(clone: Project) -> None:
    one, other = runs(clone)
    place = one.parent.parent
    # People choose where the cache is; and systems leave files of their own.
    others = [place / "detect/train1/best.pt", place / "ab/best.pt", one / ".DS_Store"]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    long_ago(one, other, *(path.parent for path in others))
    before = sorted(place.rglob("*"))
    assert repairs(clone) == []
    assert sorted(place.rglob("*")) == before


def test_run_that_cannot_be_removed_is_told_and_stops_nothing(
    clone: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = runs(clone)
    for folder in (one, other):
        next(folder.iterdir()).unlink()
    # As of another user; for root, there is no other way.
    (one / ".abc.tmp").mkdir()
    long_ago(one, other)
    (done,) = repairs(clone)
    assert str(other) in done
    assert f"{one}: cannot be removed: " in capsys.readouterr().err


def make(project: Project, target: str, status: int = 0) -> str:
    """Run a target of the Makefile in a project, with this environment in place of its own."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have run DVC once more after a repair")
    file = str(ROOT / "Makefile")
    return project.run(
        "make", "-f", file, "-o", ".venv/.installed", target, status=status, LC_ALL="C"
    )


def use_stage(project: Project, part: str, command: str) -> Path:
    """Give a DVC project a stage with an output; return its lock file."""
    stages = {"a": {"cmd": command, "outs": ["x"]}}
    (project.folder / part / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    return project.folder / part / "dvc.lock"


@pytest.mark.parametrize(("target", "part"), [("repro", ""), ("study", "studies")])
def test_make_runs_dvc_once_more_only_after_a_repair(
    clone: Project, target: str, part: str
) -> None:
    path = use_stage(clone, part, "echo ran >> ../log; touch x")
    if part:  # `make study` first sees to the data
        data = {"stages": {"preprocess": {"cmd": "true"}}}
        (clone.folder / "dvc.yaml").write_text(json.dumps(data))
        (clone.folder / "dvc.lock").unlink()
    output = make(clone, target)
    assert "doctor: " not in output
    whole = path.read_text()
    cut = whole[: whole.index("    - path")]
    path.write_text(cut)
    output = make(clone, target)
    assert "brought back from Git" in output
    assert "Running stage 'a'" in output  # Git has an older one
    assert path.read_text() == whole
    assert [kept.read_text() for kept in path.parent.glob("*.damaged")] == [cut]


def test_make_fails_as_dvc_did_where_there_is_nothing_to_repair(clone: Project) -> None:
    use_stage(clone, "", "echo ran >> log; exit 3")
    output = make(clone, "repro", status=2)
    assert "doctor: nothing to repair" in output
    assert "Error 255" in output  # of dvc repro
    assert (clone.folder / "log").read_text() == "ran\n"


def test_make_fails_as_dvc_did_where_the_repair_fails(clone: Project) -> None:
    path = use_stage(clone, "", "touch x")
    path.write_text(f"<<<<<<< HEAD\n{LOCK}")
    output = make(clone, "repro", status=2)
    assert "conflict of a merge" in output
    assert "Error 255" in output


def test_make_goes_on_though_a_full_disk_has_cut_off_bytecode(clone: Project) -> None:
    use_stage(clone, "", "python -m pipeline stage --help; python -m pipeline doctor --help > x")
    clone.run("python", "-m", "pipeline", "doctor", "--help")
    files = sorted(clone.folder.glob("pipeline/**/*.pyc"))
    assert len(files) > 10
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    make(clone, "repro")
    assert "what is good and what is not" in (clone.folder / "x").read_text()
    assert repairs(clone) == []


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_ctrl_c_ends_make_with_all_that_it_has_started(clone: Project, shell: str) -> None:
    """A shell goes on after a command that handles SIGINT, or does not: they differ."""
    if None in (shutil.which("make"), shutil.which(shell)):
        pytest.skip(f"make or {shell} is not installed; it would have been interrupted")
    use_stage(clone, "", "echo begun; exec sleep 600")
    file = str(ROOT / "Makefile")
    process = clone.start("make", "-f", file, "-o", ".venv/.installed", f"SHELL={shell}", "repro")
    assert process.stdout
    while process.stdout.readline() != "begun\n":
        pass
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()  # until nobody has the pipe any more
    assert process.returncode != 0
    assert "doctor: " not in output
