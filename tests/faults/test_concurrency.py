"""Two at once: in one clone, and in two clones that share a cache."""

import shutil
from pathlib import Path

import pytest
from conftest import PATIENCE, Project
from states import assert_undisturbed, record

from pipeline.history.lineage import read_lock
from pipeline.runtime.lock import md5

pytestmark = pytest.mark.slow


def anew(original: tuple[Project, list[str]], folder: Path) -> Project:
    """Return a copy of the project without its data, in which everything runs again."""
    source, _ = original
    shutil.copytree(source.folder, folder, symlinks=True)
    for name in ("data", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(folder / name)
    return Project(folder, source.home)


def test_two_runs_in_one_clone_one_of_which_waits_or_says_so(
    original: tuple[Project, list[str]], tmp_path: Path
) -> None:
    project = anew(original, tmp_path / "project")
    runs = [project.start("dvc", "repro") for _ in range(2)]
    printed = [run.communicate(timeout=PATIENCE)[0] for run in runs]
    assert all("Traceback" not in output for output in printed)
    refused = [output for run, output in zip(runs, printed, strict=True) if run.returncode]
    assert len(refused) < 2, printed
    assert all("lock" in output for output in refused), refused
    assert_undisturbed(project, original[0])
    assert "up to date" in project.run("dvc", "status")
    record("two in one clone", refused=len(refused))


def test_two_clones_share_a_cache(original: tuple[Project, list[str]], tmp_path: Path) -> None:
    clones = [anew(original, tmp_path / name) for name in ("one", "other")]
    for clone in clones:
        clone.run("dvc", "cache", "dir", "--local", str(tmp_path / "cache"))
    runs = [clone.start("dvc", "repro") for clone in clones]
    for run in runs:
        output, _ = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, output
    for clone in clones:
        assert_undisturbed(clone, original[0])
        assert "up to date" in clone.run("dvc", "status")
    objects = [path for path in (tmp_path / "cache/files/md5").rglob("*") if path.is_file()]
    outs = {
        path: one
        for stage in read_lock(clones[0].folder).values()
        for path, one in stage.outs.items()
    }
    folders = [clones[0].folder / path for path in outs if outs[path].endswith(".dir")]
    files = [md5(file) for folder in folders for file in folder.iterdir()]
    assert sorted(path.parent.name + path.name for path in objects) == sorted(
        {*outs.values(), *files}
    )
    record("two clones, one cache", objects=len(objects))
