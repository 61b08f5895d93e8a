"""What `parallel` leaves is to the byte what `dvc repro` leaves."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import Project
from made_up_pipelines import contents, made_up, run_parallel, stages_of_all_kinds

FULL = os.environ.get("FAULTS") == "full"
FEW = range(2)
MANY = range(2, 40 if FULL else 5)


def both(tmp_path: Path, count: int, seed: int) -> tuple[Project, Project]:
    """Return the same project twice."""
    first = made_up(tmp_path / "serial", stages_of_all_kinds(count, seed))
    shutil.copytree(first.folder, tmp_path / "parallel/project")
    second = Project(tmp_path / "parallel/project", tmp_path / "parallel/home")
    second.home.mkdir()
    return first, second


@pytest.mark.parametrize(
    "seed", [*FEW, *(pytest.param(seed, marks=pytest.mark.slow) for seed in MANY)]
)
def test_lock_file_outputs_and_cache_are_those_of_dvc_repro(tmp_path: Path, seed: int) -> None:
    serial, parallel = both(tmp_path, 12, seed)
    serial.repro()
    run_parallel(parallel, "--jobs", "4")
    assert contents(parallel) == contents(serial)
    for project in (serial, parallel):
        (project.folder / "params.yaml").write_text("a: 1\nb: {c: 7, threads: 1}\n")
        (project.folder / "code/b.py").write_text("b = 3\n")
    serial.repro()
    run_parallel(parallel, "--jobs", "3")
    assert contents(parallel) == contents(serial)
    # Going back takes the results from DVC's cache.
    for project in (serial, parallel):
        (project.folder / "params.yaml").write_text("a: 1\nb: {c: 2, threads: 1}\n")
    serial.repro()
    run_parallel(parallel, "--jobs", "3")
    assert contents(parallel) == contents(serial)


@pytest.mark.slow
def test_two_hundred_stages_leave_what_dvc_repro_leaves(tmp_path: Path) -> None:
    serial, parallel = both(tmp_path, 200, 1)
    serial.repro()
    run_parallel(parallel, "--jobs", "8")
    assert contents(parallel) == contents(serial)


def test_order_of_a_lock_file_that_is_there_is_kept(tmp_path: Path) -> None:
    serial, parallel = both(tmp_path, 8, 5)
    last = max(stages_of_all_kinds(8, 5))
    for project in (serial, parallel):
        assert project.repro(last)
    serial.repro("--force")
    run_parallel(parallel, "--jobs", "4", "--force")
    assert contents(parallel) == contents(serial)


def test_targets_run_with_what_they_need_and_nothing_else(tmp_path: Path) -> None:
    serial, parallel = both(tmp_path, 10, 6)
    serial.repro("s1")
    run_parallel(parallel, "--jobs", "4", "s1")
    assert contents(parallel) == contents(serial)


def test_what_else_a_lock_file_holds_is_kept(tmp_path: Path) -> None:
    serial, parallel = both(tmp_path, 2, 7)
    for project in (serial, parallel):
        (project.folder / "dvc.lock").write_text(LOCK_WITHOUT_STAGES)
    serial.repro()
    run_parallel(parallel)
    assert contents(parallel) == contents(serial)


# As `dvc dataset add` leaves it.
LOCK_WITHOUT_STAGES = """\
schema: '2.0'
datasets:
- name: some
  type: url
  url: s3://bucket/some
  meta:
    isdir: true
    size: 3
  files:
  - relpath: a
    meta:
      size: 3
"""
