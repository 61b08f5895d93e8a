import os
from pathlib import Path

import pytest
from conftest import Project

from pipeline.runtime.lock import md5
from pipeline.tools.doctor.storage import CHECKPOINTS, cache, disk
from pipeline.training.checkpoint import CHECKPOINTS as WRITTEN

pytestmark = pytest.mark.usefixtures("own_home")
RAW = "data/raw/t10k-labels-idx1-ubyte.gz"


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


def test_cache_of_a_run_is_good(reproduced: Project) -> None:
    found = cache(reproduced.folder)
    assert found.verdict == "good"
    # Of 12 files, and the listings of two folders.
    assert found.found.startswith("all 14 objects (")


def test_cache_that_is_not_there_yet_is_good_and_stays_away(project: Project) -> None:
    for folder in (project.folder, project.studies.folder):
        assert cache(folder).found == "all 0 objects (0 bytes) have the bytes they promise"
        assert disk(folder).verdict == "good"
        assert not (folder / ".dvc/cache").exists()


def test_damaged_object_that_dvc_takes_for_good_is_made_anew_by_the_advice(
    reproduced: Project,
) -> None:
    damaged = object_of(reproduced, RAW)
    right = damaged.read_bytes()
    damage(damaged)
    # DVC hands the damage on and calls it up to date: that is why this is a problem.
    (reproduced.folder / RAW).unlink()
    reproduced.run("dvc", "checkout", "data/raw")
    assert (reproduced.folder / RAW).read_bytes() != right
    assert "up to date" in reproduced.run("dvc", "status")
    found = cache(reproduced.folder)
    assert found.verdict == "problem"
    assert "which DVC does not notice, in 1 of 14 objects: " in found.found
    command = found.advice.split("`")[1]
    assert command == f"rm -rf {damaged.relative_to(reproduced.folder)} {RAW}"
    reproduced.run(*command.split())
    assert reproduced.repro() == ["download"]
    assert damaged.read_bytes() == (reproduced.folder / RAW).read_bytes() == right
    assert "up to date" in reproduced.run("dvc", "status")
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_damaged_listing_of_a_folder_is_named_with_the_folder(reproduced: Project) -> None:
    listing = next((reproduced.folder / ".dvc/cache/files/md5").glob("*/*.dir"))
    damage(listing)
    found = cache(reproduced.folder)
    assert found.verdict == "problem"
    command = found.advice.split("`")[1].split()
    assert command[2] == str(listing.relative_to(reproduced.folder))
    assert command[3] in {"data/raw", "data/processed"}


def test_objects_of_folders_and_of_a_cache_elsewhere_are_looked_at(project: Project) -> None:
    elsewhere = project.home / "cache"
    project.run("dvc", "cache", "dir", "--local", str(elsewhere))
    (project.folder / "texts").mkdir()
    for name in "ab":
        (project.folder / "texts" / name).write_text(name)
    project.run("dvc", "add", "texts")
    found = cache(project.folder)
    assert found.found.startswith("all 3 objects (")
    (listing,) = elsewhere.rglob("*.dir")
    damage(listing)
    found = cache(project.folder)
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


def test_too_little_space_is_a_problem(project: Project) -> None:
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
