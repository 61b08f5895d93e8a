"""A disk that fills up at a random point of ``make repro``, and has space again after it."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NAMES, Project
from states import FULL, MAKE, REFUSALS, assert_undisturbed, record, set_epochs

# Runs in name spaces of its own, where it may mount a disk in memory: all that is written there,
# by the project, DVC and whatever keeps temporary files, finds it full after so many bytes.
SCRIPT = """
import json, os, pathlib, shutil, subprocess, sys

PATIENCE = 150  # seconds; what is only slow goes on with space, too

project, disk, room = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
memory, result, command = sys.argv[4], sys.argv[5], sys.argv[6:]

def size(bytes):
    subprocess.run(["mount", "-o", f"remount,size={bytes}", str(disk)], check=True)

subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "none", str(disk)], check=True)
shutil.copytree(project, disk / "project", symlinks=True)
(disk / "home").mkdir()
os.environ |= {
    "HOME": f"{disk}/home",
    "XDG_CACHE_HOME": f"{disk}/home/.cache",
    "DVC_SITE_CACHE_DIR": memory,
    "TMPDIR": f"{disk}/home",
}

def repro():
    with open(disk.parent / "output", "w+", errors="replace") as output:
        process = subprocess.Popen(
            command, cwd=disk / "project", stdout=output, stderr=subprocess.STDOUT
        )
        try:
            status, waited = process.wait(PATIENCE), False
        except subprocess.TimeoutExpired:
            size(1 << 30)
            status, waited = process.wait(), True
        output.seek(0)
        return status, output.read(), waited

full = os.statvfs(disk)
used = (full.f_blocks - full.f_bfree) * full.f_frsize
if room:
    size(used + room)
first = repro()
written = os.statvfs(disk)
written = (written.f_blocks - written.f_bfree) * written.f_frsize - used
size(1 << 30)
second = repro() if room else first
shutil.copytree(disk / "project", result, symlinks=True)
pathlib.Path(result, "runs.json").write_text(json.dumps([first, second, written]))
"""
# Where DVC keeps its memory of files, in SQLite. On the disk that is full, this fails first; on
# another one, DVC gets as far as to its lock file and its list of the processes at work.
MEMORIES = {"same disk": "disk/home/dvc", "another disk": "dvc"}
POINTS = range(40) if FULL else [1]
PAGE = 4096  # bytes, the least that a disk in memory gives


def on_small_disk(project: Project, folder: Path, room: int, memory: str) -> tuple[Project, Any]:
    """Run ``make repro`` with ``room`` bytes to spare, then again with enough; 0: with enough.

    Returns:
        What became of the project; of both runs the exit code, the output, and whether DVC waited
        for space, which it then had; and the bytes written.
    """
    disk, result = folder / "disk", folder / "result"
    disk.mkdir(parents=True)
    place = folder / MEMORIES[memory]
    arguments = [str(project.folder), str(disk), str(room), str(place), str(result)]
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", SCRIPT]
    project.run(*command, *arguments, *MAKE, "repro")
    return Project(result, project.home), json.loads((result / "runs.json").read_text())


def without_training(project: Project) -> None:
    """Leave a project only the stages that take no time."""
    stages = {"download", "preprocess"}
    project.edit_params(
        lambda pipeline: (
            [pipeline["stages"].pop(name) for name in {*pipeline["stages"]} - stages]
            + [pipeline.pop(name) for name in {*pipeline} - {"stages"}]
        ),
        "dvc.yaml",
    )


@pytest.fixture(scope="session")
def enough(
    original: tuple[Project, list[str]], tmp_path_factory: pytest.TempPathFactory, data_set: Path
) -> Callable[[str], tuple[Project, Project, int]]:
    """A function of where DVC keeps its memory.

    It returns a project to be reproduced, that after it was, and the bytes that this takes.
    """
    if None in (shutil.which("unshare"), shutil.which("make")) or subprocess.call(
        ["unshare", "-rm", "true"]
    ):
        pytest.skip("needs unshare, make and user name spaces; would have shown a full disk")

    @cache
    def reproduced(memory: str) -> tuple[Project, Project, int]:
        folder = tmp_path_factory.mktemp("enough")
        source, _ = original
        shutil.copytree(source.folder, folder / "project", symlinks=True)
        project = Project(folder / "project", source.home)
        # Everything runs anew, with checkpoints, and from mirrors that name spaces can reach.
        for name in ("data", ".dvc/cache", ".dvc/tmp"):
            shutil.rmtree(project.folder / name)
        project.edit_params(set_epochs(20))
        project.edit_params(lambda params: params["download"].update(mirrors=[str(data_set)]))
        if not FULL:
            without_training(project)
        done, (first, _, written) = on_small_disk(project, folder, 0, memory)
        assert first[0] == 0, first[1]
        assert (done.folder / "data/raw" / NAMES["train_images"]).exists()
        return project, done, written

    return reproduced


def told(output: str) -> str:
    """Return how a run that had no space says so."""
    if "No space left on device" in output or "disk is full" in output:
        return "told"
    # With a few kilobytes left, SQLite does not say that these are too few, so DVC does not.
    assert re.search(r"^ERROR: .*disk I/O error", output, re.MULTILINE), output
    return "told as an I/O error"


@pytest.mark.slow
@pytest.mark.parametrize("number", POINTS)
def test_full_disk_is_told_and_does_no_harm(
    enough: Callable[[str], tuple[Project, Project, int]], tmp_path: Path, number: int
) -> None:
    memory = list(MEMORIES)[number % 2]
    project, reference, need = enough(memory)
    # DVC's list of the processes at work takes a page, which few random points would leave to it.
    few = PAGE * (number // 4 + 1)
    room = few if number % 4 == 3 else int(np.random.default_rng(number).uniform(0, need))
    done, (first, second, _) = on_small_disk(project, tmp_path, room, memory)
    status, output, waited = first
    status_again, again, _ = second
    # Where DVC 3.67 finds the disk full as it writes its memory of files (diskcache on SQLite), it
    # tries again for ever; with space it goes on.
    if waited:
        assert status == 0, output
        assert "Running stage" not in again
        found = "DVC waited"
    else:
        assert status != 0, f"{need} bytes are needed, {room} were enough"
        found = told(output)
    assert "Traceback" not in output + again, output + again
    assert status_again == 0, output + again
    (done.folder / "runs.json").unlink()
    assert_undisturbed(done, reference)
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running")]
    record(
        "full disk",
        room=room,
        need=need,
        memory=memory,
        stage=stages[-1] if stages else "before",
        found=found,
        repaired="/".join(name for name in REFUSALS if f"{name}: " in output + again) or "nothing",
    )
