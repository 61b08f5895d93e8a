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

# A kill leaves none of it or a part; the last two end within an entry, and within a line.
CUT = ["", LOCK[:40], LOCK[: LOCK.index("      md5")], LOCK[:-1]]
RWLOCK = '{"read": {}, "write": {"/x": {"pid": 1, "cmd": "dvc repro"}}}'
MAKE = ("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.installed")
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
    project = Project(folder, own_home)
    project.run("git", "init", "--quiet")
    project.commit("First")
    return project


def repairs(project: Project) -> list[str]:
    return list(repair(project.folder))


@PARTS
def test_lock_file_that_was_cut_off_comes_back_from_git(clone: Project, part: str) -> None:
    path = clone.folder / part / "dvc.lock"
    for content in CUT:
        path.write_text(content)
        (done,) = repairs(clone)
        assert done.startswith(f"{Path(part, 'dvc.lock')}: ")
        assert "brought back from Git; what it was is in dvc.lock." in done
        assert path.read_text() == LOCK
    assert repairs(clone) == []
    # What it was is kept each time.
    assert {kept.read_text() for kept in path.parent.glob("*.damaged")} == set(CUT)
    assert clone.run("git", "status", "--porcelain") == ""


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


def test_conflict_of_a_merge_is_left_to_people(clone: Project) -> None:
    conflict = LOCK.replace("      size: 1\n", "<<<<<<< HEAD\n      size: 1\n=======\n>>>>>>> b\n")
    path = clone.folder / "dvc.lock"
    path.write_text(conflict)
    with pytest.raises(PipelineError, match="conflict of a merge"):
        repairs(clone)
    assert path.read_text() == conflict


def test_lock_file_that_is_staged_cut_off_comes_back_from_the_last_commit(clone: Project) -> None:
    path = clone.folder / "dvc.lock"
    path.write_text(LOCK[:-1])
    clone.run("git", "add", "dvc.lock")
    assert len(repairs(clone)) == 1
    assert path.read_text() == LOCK
    # If Git has none that is whole, or fails, nothing is lost.
    path.write_text(LOCK[:-1])
    clone.commit("Cut")
    with pytest.raises(PipelineError, match="so is what Git has of it"):
        repairs(clone)
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
    with pytest.raises(OSError, match="No space left"):
        repairs(clone)
    assert path.read_text() == LOCK[:-1]


@PARTS
def test_list_of_processes_that_cannot_be_read_is_set_aside(clone: Project, part: str) -> None:
    path = clone.folder / part / ".dvc/tmp/rwlock"
    for content in ("", RWLOCK[:-1], "[]"):
        path.write_text(content)
        (done,) = repairs(clone)
        name = done.split()[-1].removesuffix(".")
        assert done.startswith(f"{Path(part, '.dvc/tmp/rwlock')}: DVC cannot read ")
        assert path.with_name(name).read_text() == content
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


@pytest.fixture
def with_code(clone: Project) -> Project:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "pipeline", clone.folder / "pipeline", ignore=ignored)
    return clone


def make(project: Project, target: str, status: int = 0) -> str:
    """Run a target of the Makefile in a project, with this environment in place of its own."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have run DVC once more after a repair")
    return project.run(*MAKE, target, status=status, LC_ALL="C")


def use_stage(project: Project, part: str, command: str) -> Path:
    """Give a DVC project a stage with an output; return its lock file."""
    stages = {"a": {"cmd": command, "outs": ["x"]}}
    (project.folder / part / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    return project.folder / part / "dvc.lock"


@pytest.mark.parametrize(
    ("target", "part"),
    [("repro", ""), pytest.param("study", "studies", marks=pytest.mark.slow)],
)
def test_make_runs_dvc_once_more_only_after_a_repair(
    with_code: Project, target: str, part: str
) -> None:
    path = use_stage(with_code, part, "echo ran >> ../log; touch x")
    if part:  # `make study` first sees to the data
        data = {"stages": {"preprocess": {"cmd": "true"}}}
        (with_code.folder / "dvc.yaml").write_text(json.dumps(data))
        (with_code.folder / "dvc.lock").unlink()
    assert "doctor: " not in make(with_code, target)
    whole = path.read_text()
    cut = whole[: whole.index("    - path")]
    path.write_text(cut)
    output = make(with_code, target)
    assert "brought back from Git" in output
    assert "Running stage 'a'" in output  # Git has an older one
    assert path.read_text() == whole
    assert [kept.read_text() for kept in path.parent.glob("*.damaged")] == [cut]


def test_make_fails_as_dvc_did_where_there_is_nothing_to_repair(with_code: Project) -> None:
    path = use_stage(with_code, "", "echo ran >> log; exit 3")
    output = make(with_code, "repro", status=2)
    assert "doctor: nothing to repair" in output
    assert "Error 255" in output  # of dvc repro
    assert (with_code.folder / "log").read_text() == "ran\n"
    # So it does where the repair fails.
    path.write_text(f"<<<<<<< HEAD\n{LOCK}")
    output = make(with_code, "repro", status=2)
    assert "conflict of a merge" in output
    assert "Error 255" in output


def test_make_goes_on_though_a_full_disk_has_cut_off_bytecode(with_code: Project) -> None:
    use_stage(
        with_code, "", "python -m pipeline stage --help; python -m pipeline doctor --help > x"
    )
    with_code.run("python", "-m", "pipeline", "doctor", "--help")
    files = sorted(with_code.folder.glob("pipeline/**/*.pyc"))
    assert len(files) > 10
    for path in files:
        path.write_bytes(path.read_bytes()[:100])
    make(with_code, "repro")
    assert "what is good and what is not" in (with_code.folder / "x").read_text()
    assert repairs(with_code) == []


@pytest.mark.parametrize("shell", ["dash", pytest.param("bash", marks=pytest.mark.slow)])
def test_ctrl_c_ends_make_with_all_that_it_has_started(with_code: Project, shell: str) -> None:
    """A shell goes on after a command that handles SIGINT, or does not: they differ."""
    if None in (shutil.which("make"), shutil.which(shell)):
        pytest.skip(f"make or {shell} is not installed; it would have been interrupted")
    use_stage(with_code, "", "echo begun; exec sleep 600")
    process = with_code.start(*MAKE, f"SHELL={shell}", "repro")
    assert process.stdout
    while process.stdout.readline() != "begun\n":
        pass
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate()  # until nobody has the pipe any more
    assert process.returncode != 0
    assert "doctor: " not in output
