import json
import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Project
from scripts import without_privileges

from pipeline.runtime.lock import md5
from pipeline.tools.doctor.storage import CHECKPOINTS, cache, disk, rights
from pipeline.training.checkpoint import CHECKPOINTS as WRITTEN

pytestmark = pytest.mark.usefixtures("own_home")
COMMAND = "mkdir -p texts && echo a > texts/a && echo b > texts/b"


@pytest.fixture
def texts(project: Project) -> Project:
    """The project with a stage that writes a folder of two texts."""
    stages = {"write": {"cmd": COMMAND, "outs": ["texts"]}}
    (project.folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    return project


@pytest.mark.parametrize(
    "place", [".", ".dvc/tmp", ".dvc/tmp/lock", ".dvc/cache/files/md5", "texts"]
)
def test_what_must_not_be_written_is_named(texts: Project, place: str) -> None:
    """As after `sudo dvc repro`, in a cache of somebody else, on a disk mounted for reading."""
    texts.repro()
    assert rights(texts.folder).verdict == "good"
    path = texts.folder / place
    code = (
        "from pathlib import Path; from pipeline.tools.doctor.storage import rights;"
        f"print(rights(Path({str(texts.folder)!r})).found)"
    )
    command = [*without_privileges(), sys.executable, "-c", code]
    mode = path.stat().st_mode
    path.chmod(0o555)
    try:
        found = texts.run(*command, PYTHONPATH=str(ROOT))
    finally:
        path.chmod(mode)
    assert found.strip() == f"must not be written here: {place}"


def object_of(project: Project, path: str) -> Path:
    """Return the cache's object of one of the project's files."""
    found = md5(project.folder / path)
    return project.folder / ".dvc/cache/files/md5" / found[:2] / found[2:]


def damage(path: Path) -> None:
    """Turn a bit of a file as a bad disk would, which leaves its rights and times as they are."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_cache_that_is_not_there_yet_is_good_and_stays_away(project: Project) -> None:
    for folder in (project.folder, project.studies.folder):
        assert cache(folder).found == "all 0 objects (0 bytes) have the bytes they promise"
        assert disk(folder).verdict == "good"
        assert not (folder / ".dvc/cache").exists()


def test_damaged_object_that_dvc_takes_for_good_is_made_anew_by_the_advice(texts: Project) -> None:
    texts.repro()
    texts.commit("Texts")
    found = cache(texts.folder)
    assert found.verdict == "good"
    # Of two files, and the listing of their folder.
    assert found.found.startswith("all 3 objects (")
    path, damaged = texts.folder / "texts/a", object_of(texts, "texts/a")
    right = damaged.read_bytes()
    damage(damaged)
    # DVC hands the damage on and calls it up to date: that is why this is a problem.
    path.unlink()
    texts.run("dvc", "checkout")
    assert path.read_bytes() != right
    assert "up to date" in texts.run("dvc", "status")
    found = cache(texts.folder)
    assert found.verdict == "problem"
    assert "which DVC does not notice, in 1 of 3 objects: " in found.found
    command = found.advice.split("`")[1]
    assert command == f"rm -rf {damaged.relative_to(texts.folder)} texts/a"
    texts.run(*command.split())
    assert texts.repro() == ["write"]
    assert damaged.read_bytes() == path.read_bytes() == right
    assert texts.run("git", "status", "--porcelain") == ""
    # The listing of a folder is named with the folder.
    (listing,) = (texts.folder / ".dvc/cache/files/md5").glob("*/*.dir")
    damage(listing)
    command = cache(texts.folder).advice.split("`")[1]
    assert command.split()[2:] == [str(listing.relative_to(texts.folder)), "texts"]


def test_objects_of_a_cache_elsewhere_are_looked_at(texts: Project) -> None:
    elsewhere = texts.home / "cache"
    (texts.folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {elsewhere}\n")
    texts.repro()
    assert cache(texts.folder).found.startswith("all 3 objects (")
    (listing,) = elsewhere.rglob("*.dir")
    damage(listing)
    found = cache(texts.folder)
    assert found.verdict == "problem"
    assert str(listing) in found.found


def lock(project: Project, *sizes: int) -> None:
    outs = "".join(f"    - {{path: x{size}, md5: aa.dir, size: {size}}}\n" for size in sizes)
    (project.folder / "dvc.lock").write_text(f"stages:\n  a:\n    outs:\n{outs}")


def test_data_are_counted_once_for_the_work_tree_and_once_for_the_cache(project: Project) -> None:
    lock(project, 200_000, 34_000)
    found = disk(project.folder)
    assert found.verdict == "good"
    assert found.found.endswith(" free, needed are up to 468 kB")
    lock(project, 10**18)
    found = disk(project.folder)
    assert found.verdict == "problem"
    assert "needed are up to 2000000000.0 GB" in found.found
    assert "dvc gc --workspace" in found.advice


def test_checkpoints_that_were_left_are_told_of(project: Project) -> None:
    assert WRITTEN.as_posix() == CHECKPOINTS
    folder = project.folder / CHECKPOINTS
    folder.mkdir(parents=True)
    assert CHECKPOINTS not in disk(project.folder).found
    for name in ("a.npz", "b.npz"):
        (folder / name).write_bytes(bytes(2_000_000))
    assert f"{CHECKPOINTS} has 4 MB of trainings" in disk(project.folder).found
