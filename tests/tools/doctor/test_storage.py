import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project

from pipeline.runtime.lock import read_lock
from pipeline.tools.doctor.storage import cache, links, remote, run_cache

pytestmark = pytest.mark.usefixtures("own_home")
RAW = "data/raw/t10k-labels-idx1-ubyte.gz"


def object_of(project: Project, path: str) -> Path:
    """Return the cache's object of one of the project's files."""
    (md5,) = {
        stage.outs[path] for stage in read_lock(project.folder).values() if path in stage.outs
    }
    return project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def damage(path: Path) -> None:
    """Turn a bit of a file as a bad disk would, which leaves its rights and times as they are."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_cache_of_a_run_is_good(reproduced: Project) -> None:
    found = cache(reproduced.folder)
    assert found is not None
    assert found.verdict == "good"
    assert found.found.startswith("all 12 objects in .dvc/cache/files/md5 (")


def test_cache_that_is_not_there_yet_is_good_and_stays_away(project: Project) -> None:
    assert cache(project.folder) == ("good", "nothing in .dvc/cache/files/md5 yet", "")
    found = links(project.folder)
    assert found is not None
    assert found.verdict == "good"
    assert not (project.folder / ".dvc/cache").exists()


def test_damaged_object_that_dvc_takes_for_good_is_made_anew_by_the_advice(
    reproduced: Project,
) -> None:
    damaged = object_of(reproduced, RAW)
    right = damaged.read_bytes()
    damage(damaged)
    # DVC hands the damage on and calls it up to date: that is why this is a problem.
    (reproduced.folder / RAW).unlink()
    reproduced.run("dvc", "checkout", RAW)
    assert (reproduced.folder / RAW).read_bytes() != right
    assert "up to date" in reproduced.run("dvc", "status")
    found = cache(reproduced.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert "which DVC does not notice, in 1 of 12 objects: " in found.found
    assert f"{damaged.relative_to(reproduced.folder)} ({RAW})" in found.found
    command = found.advice.split("`")[1]
    assert command == f"rm -rf {damaged.relative_to(reproduced.folder)} {RAW}"
    reproduced.run(*command.split())
    assert reproduced.repro() == ["download"]
    assert damaged.read_bytes() == (reproduced.folder / RAW).read_bytes() == right
    assert "up to date" in reproduced.run("dvc", "status")
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_runs_that_dvc_remembers_are_good(reproduced: Project) -> None:
    found = run_cache(reproduced.folder)
    assert found == ("good", "2 runs in .dvc/cache/runs", "")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(b""), None),
        (lambda path: path.write_bytes(b"[" * 100_000), None),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"path: ", b"path: x", 1)), None),
        (lambda path: path.rename(path.with_name(".abc.tmp")), None),
        # Of these, DVC stops and names nothing.
        (lambda path: path.write_bytes(path.read_bytes().partition(b"outs:")[0]), "'outs'"),
        (Path.unlink, "not 'NoneType'"),
    ],
)
def test_damaged_memory_of_a_run_is_named_and_the_advice_mends_it(
    reproduced: Project, damage: Callable[[Path], object], said: str | None
) -> None:
    entries = sorted((reproduced.folder / ".dvc/cache/runs").glob("*/*/*"))
    for path in entries:
        damage(path)
        os.utime(path.parent, (0, 0))
    found = run_cache(reproduced.folder)
    assert found is not None
    assert found.verdict == "problem"
    command = found.advice.split("`")[1].split()
    assert command[2:] == [str(path.parent.relative_to(reproduced.folder)) for path in entries]
    if said:
        (reproduced.folder / "dvc.lock").unlink()
        assert said in reproduced.run("dvc", "repro", status=255)
        reproduced.run(*command)
        assert reproduced.repro()[:2] == ["download", "preprocess"]
        found = run_cache(reproduced.folder)
        assert found is not None
        assert found.verdict == "good"


def test_objects_of_folders_and_of_a_cache_elsewhere_are_looked_at(project: Project) -> None:
    elsewhere = project.home / "cache"
    project.run("dvc", "cache", "dir", "--local", str(elsewhere))
    (project.folder / "texts").mkdir()
    for name in "ab":
        (project.folder / "texts" / name).write_text(name)
    project.run("dvc", "add", "texts")
    found = cache(project.folder)
    assert found is not None
    assert found.found.startswith(f"all 3 objects in {elsewhere}/files/md5 (")
    (listing,) = elsewhere.rglob("*.dir")
    damage(listing)
    found = cache(project.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert str(listing) in found.found


@pytest.mark.parametrize("kind", ["copy", "hardlink", "symlink"])
def test_link_type_is_the_one_that_dvc_uses(project: Project, kind: str) -> None:
    project.run("dvc", "config", "--local", "cache.type", f"{kind}")
    found = links(project.folder)
    assert found is not None
    assert found.verdict == "good"
    assert found.found.startswith(kind)
    assert ("data lie here twice" in found.found) == (kind == "copy")
    (project.folder / "text").write_text("text")
    project.run("dvc", "add", "text")
    is_link = (project.folder / "text").is_symlink()
    is_shared = not is_link and (project.folder / "text").stat().st_nlink > 1
    assert (is_link, is_shared) == (kind == "symlink", kind == "hardlink")
    assert not list((project.folder / ".dvc/tmp").glob("link*"))


def test_link_types_that_are_not_possible_are_a_problem(project: Project) -> None:
    project.run("dvc", "config", "--local", "cache.type", "reflink")
    found = links(project.folder)
    assert found is not None
    if found.verdict == "good":
        pytest.skip("this disk has reflinks; elsewhere, it would have been a problem")
    assert found.verdict == "problem"
    project.run("sh", "-c", found.advice.strip("`"))
    mended = links(project.folder)
    assert mended is not None
    assert mended.verdict == "good"


@pytest.mark.parametrize("level", [(), ("--local",), ("--global",)])
def test_remote_is_named_without_secrets_or_missed(
    project: Project, level: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.home / ".config"))

    def verdict() -> tuple[str, str]:
        found = remote(project.folder)
        assert found is not None
        if "`" in found.advice and "…" not in found.advice:
            project.run("sh", "-c", found.advice.strip("`"))
        return found.verdict, found.found

    assert verdict()[0] == "note"
    project.run("dvc", "remote", "add", *level, "store", "ssh://me:secret@machine.invalid/folder")
    place = "store (ssh://machine.invalid/folder)"
    assert verdict() == ("note", f"{place}, none of which is the default")
    assert verdict() == ("note", f"{place}: DVC would take what comes from store unseen")
    assert verdict() == ("good", f"{place}, not contacted")


def test_project_that_dvc_cannot_open_has_no_storage(tmp_path: Path) -> None:
    assert [check(tmp_path) for check in (cache, links, remote)] == [None] * 3
