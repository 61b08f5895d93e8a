from pathlib import Path

import pytest
from conftest import Project

from pipeline.training.checkpoint import CHECKPOINTS
from pipeline.tools.doctor.disk_space import CHECKPOINTS as LOOKED_AT
from pipeline.tools.doctor.disk_space import checkpoints, disk

pytestmark = pytest.mark.usefixtures("own_home")


def lock(project: Project, *sizes: int) -> None:
    outs = "".join(f"    - {{path: x{size}, md5: aa, size: {size}}}\n" for size in sizes)
    (project.folder / "dvc.lock").write_text(f"stages:\n  a:\n    outs:\n{outs}")


def test_data_are_counted_once_for_the_work_tree_and_once_for_the_cache(project: Project) -> None:
    lock(project, 200_000, 34_000)
    (project.folder / ".venv").mkdir()
    found = disk(project.folder)
    assert found.verdict == "good"
    place = f"free in {project.folder}"
    needed = "234 kB for data + 234 kB for DVC's cache"
    assert found.found.endswith(f" {place}, needed are up to {needed}")


def test_environment_that_is_missing_is_counted(project: Project) -> None:
    assert "3.0 GB for .venv" in disk(project.folder).found


def test_too_little_space_is_a_problem(project: Project) -> None:
    lock(project, 10**18)
    found = disk(project.folder)
    assert found.verdict == "problem"
    assert "1000000000.0 GB for data" in found.found
    assert "dvc gc --workspace" in found.advice


@pytest.mark.parametrize(
    "content", [None, "", "stages: [", "stages: [1]", "stages: {a: {outs: 1}}"]
)
def test_lock_that_does_not_say_sizes_is_told_of(project: Project, content: str | None) -> None:
    if content is not None:
        (project.folder / "dvc.lock").write_text(content)
    assert "dvc.lock does not say how large data are" in disk(project.folder).found


def test_folder_that_dvc_cannot_open_has_its_cache_where_it_would_be(tmp_path: Path) -> None:
    assert f"free in {tmp_path}" in disk(tmp_path).found


def test_checkpoints_are_a_note_and_can_be_removed(project: Project) -> None:
    assert CHECKPOINTS.as_posix() == LOOKED_AT
    assert checkpoints(project.folder) == ("good", "none left over", "")
    folder = project.folder / CHECKPOINTS
    folder.mkdir(parents=True)
    assert checkpoints(project.folder).verdict == "good"
    for name in ("a.npz", "b.npz"):
        (folder / name).write_bytes(bytes(2_000_000))
    found = checkpoints(project.folder)
    assert found.verdict == "note"
    assert found.found.startswith("2 files in data/checkpoints (4 MB), of trainings that were int")
    project.run(*found.advice.split("`")[1].split())
    assert checkpoints(project.folder).verdict == "good"
