"""SIGKILL to all processes of ``dvc repro``; then ``dvc repro``, or ``make repro``, goes on."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, MirrorServer, Project, copy_project, finish, use_small_data
from states import (
    FULL,
    Edit,
    assert_undisturbed,
    make_repro,
    record,
    set_epochs,
    set_value,
)

EPOCHS = 400
PRINTED_EVERY = EPOCHS // 10  # epochs, where there is no terminal
CHECKPOINT_EVERY = 1  # epochs, as in the project on small data
# What makes a stage the first to run; download is that of a fresh clone.
EDITS: dict[str, Edit | None] = {
    "download": None,
    "preprocess": set_value("preprocess", "seed", 1),
    "train": set_epochs(EPOCHS),
    "evaluate": set_value("evaluate", "certainty", 0.8),
    "plot": set_value("plot", "dpi", 60),
}
KILLS = {"download": 20, "preprocess": 30, "train": 100, "evaluate": 30, "plot": 20}
TRAINING = "Training on"  # the line with which training begins
CASES = [(stage, number) for stage, count in KILLS.items() for number in range(count)]
FEW = [("plot", 0)]  # training is killed in the other tests
pytestmark = pytest.mark.slow  # but for a kill of training, see test_dvc.py


@pytest.fixture(scope="session")
def begun(
    original: tuple[Project, list[str]],
    data_set: Path,
    server: MirrorServer,
) -> Callable[[str, Path], Project]:
    """A function that makes a project in which a stage is the first to run."""

    def begin(stage: str, folder: Path) -> Project:
        source, _ = original
        edit = EDITS[stage]
        if edit is None:
            project = copy_project(folder / "project", folder / "home")
            project.edit_params(lambda params: use_small_data(params, data_set, [server.address()]))
            return project
        shutil.copytree(source.folder, folder / "project", symlinks=True)
        project = Project(folder / "project", source.home)
        project.edit_params(edit)
        return project

    return begin


@pytest.fixture(scope="session")
def never_killed(
    begun: Callable[[str, Path], Project], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Project, float]]:
    """A function that returns such a project after ``dvc repro``, and the stage's seconds."""

    @cache
    def finished(stage: str) -> tuple[Project, float]:
        project = begun(stage, tmp_path_factory.mktemp(f"never_killed_{stage}"))
        process = project.start("dvc", "repro", PYTHONUNBUFFERED="1")
        assert process.stdout
        times = {}
        for line in process.stdout:
            for word in ("Running stage", TRAINING):
                if line.startswith(word):
                    times[line.split("'")[1] if "'" in line else word] = time.monotonic()
        finish(process, 0)
        times["end"] = time.monotonic()
        moments = list(times.values())
        first = list(times).index(TRAINING if stage == "train" else stage)
        return project, moments[first + 1] - moments[first]

    return finished


def kill(project: Project, stage: str, delay: float) -> str | None:
    """Kill ``dvc repro`` some seconds after a stage has begun, training after its imports.

    Returns:
        What it printed; None if it ended before.
    """
    process = project.start("dvc", "repro", PYTHONUNBUFFERED="1")
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if line.startswith(TRAINING if stage == "train" else f"Running stage '{stage}'"):
            break
    time.sleep(delay)
    ended = process.poll() is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=PATIENCE)
    return None if ended else "".join(seen) + rest


def repro(project: Project) -> tuple[str, str]:
    """Run ``dvc repro``, and ``make repro`` where that refuses a file of DVC's own.

    Returns:
        What the last one printed, and which file was refused.
    """
    process = project.start("dvc", "repro")
    output, _ = process.communicate(timeout=PATIENCE)
    if process.returncode == 0:
        return output, "nothing"
    return make_repro(project, output)


def last_number(words: str, output: str) -> int:
    """Return the number after the last occurrence of some words at a line's begin, else 0."""
    return int([0, *re.findall(rf"^{words} (\d+)", output, re.MULTILINE)][-1])


@pytest.mark.parametrize(("stage", "number"), CASES if FULL else FEW)
def test_killed_at_any_moment_the_next_run_ends_as_if_nothing_had_been(
    begun: Callable[[str, Path], Project],
    never_killed: Callable[[str], tuple[Project, float]],
    tmp_path: Path,
    stage: str,
    number: int,
) -> None:
    reference, seconds = never_killed(stage)
    random = np.random.default_rng([list(EDITS).index(stage), number])
    output = None
    while output is None:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        project = begun(stage, tmp_path)
        # Beyond the stage's own end, where DVC keeps its outputs and writes the lock file.
        delay = seconds * random.uniform(0, 1.1)
        output = kill(project, stage, delay)
    has_checkpoint = any(project.folder.glob("data/checkpoints/????????????????.npz"))
    again, refused = repro(project)
    assert_undisturbed(project, reference)
    assert "up to date" in project.run("dvc", "status")
    printed = last_number("Epoch", output)
    resumed = last_number("Going on after epoch", again)
    assert (resumed > 0) == has_checkpoint
    if stage == "train" and printed < EPOCHS:
        # An epoch is printed before its checkpoint is written.
        assert printed - CHECKPOINT_EVERY <= resumed < printed + PRINTED_EVERY
    begun_training = TRAINING in output and (printed > 0 or has_checkpoint)
    record(
        "kill",
        stage=output.rsplit("Running stage '", 1)[-1].split("'")[0],
        after=round(delay, 2),
        in_training=stage == "train" and begun_training and printed < EPOCHS,
        resumed=resumed > 0,
        found=refused,
    )


def test_training_killed_again_and_again_ends_with_the_same_bytes(
    begun: Callable[[str, Path], Project],
    never_killed: Callable[[str], tuple[Project, float]],
    tmp_path: Path,
) -> None:
    reference, seconds = never_killed("train")
    project = begun("train", tmp_path)
    for _ in range(2):
        assert kill(project, "train", seconds / 5)
    again = project.run("dvc", "repro")
    assert "Going on after epoch" in again
    assert_undisturbed(project, reference)
