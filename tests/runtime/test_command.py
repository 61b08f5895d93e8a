import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import pytest
import tensorflow as tf
from conftest import ROOT
from ruamel.yaml import YAML

from pipeline.runtime.command import (
    clear_ending,
    dependencies_unchanged,
    run_checked,
    stage_parser,
)
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import read_params


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """A command handles signals in its own way until its process ends."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def small_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder to work in, with a stage that depends on code, a room and data."""
    (tmp_path / "my digits").mkdir()
    monkeypatch.chdir(tmp_path / "my digits")
    Path("dvc.yaml").write_text("stages: {train: {deps: [code.py, room, data.npy]}}")
    Path("params.yaml").write_text("train: {epochs: 3}")
    Path(".dvcignore").write_text("__pycache__\n*~\n")
    Path("room/inner/__pycache__").mkdir(parents=True)
    for name in ("code.py", "data.npy", "output.npy", "room/a.py", "room/inner/b.py"):
        Path(name).write_text("pass")


def load_train() -> object:
    return read_params("train")


def write(path: str, content: str = "train: {epochs: 4}") -> Callable[[], object]:
    return lambda: Path(path).write_text(content)


@pytest.mark.usefixtures("small_stage")
@pytest.mark.parametrize(
    ("change", "name"),
    [
        (write("params.yaml"), "params.yaml"),
        (write("code.py"), "code.py"),
        (write("room/inner/b.py"), "room/inner/b.py"),
        (write("room/inner/new.py"), "room/inner/new.py"),
        (lambda: Path("room/inner/b.py").unlink(), "room/inner/b.py"),
        (lambda: Path("room/a.py").rename("room/c.py"), "room/a.py, room/c.py"),
        (lambda: Path("data.npy").unlink(), "data.npy"),
    ],
)
def test_change_in_the_course_of_a_stage_is_named(change: Callable[[], object], name: str) -> None:
    message = rf"^{re.escape(name)} changed .*`dvc commit train`"
    with pytest.raises(PipelineError, match=message), dependencies_unchanged("train", load_train):
        change()


@pytest.mark.usefixtures("small_stage")
def test_outputs_same_bytes_other_sections_and_ignored_files_are_no_change() -> None:
    with dependencies_unchanged("train", load_train):
        Path("output.npy").write_text("other")
        Path("dvc.yaml").unlink()
        Path("room/a.py").write_text("pass")
        Path("room/a.py~").write_text("what an editor leaves")
        Path("room/inner/__pycache__/b.pyc").write_text("bytecode")
        Path("params.yaml").write_text("# A comment.\ntrain: {epochs: 3}\nplot: {dpi: 60}")


@pytest.mark.usefixtures("small_stage")
def test_pipeline_that_cannot_be_read_is_named() -> None:
    Path("dvc.yaml").write_text("stages: {train: {deps: [1]}}")
    message = r"^dvc.yaml: stage 'train' is malformed$"
    with pytest.raises(PipelineError, match=message), dependencies_unchanged("train", load_train):
        pass


@pytest.mark.usefixtures("small_stage")
def test_inputs_are_looked_at_only_where_dvc_runs_the_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("dvc.lock").write_text("stages: {train: {outs: [{path: data.npy, md5: another}]}}")
    with dependencies_unchanged("train", load_train):
        pass
    monkeypatch.setenv("DVC_STAGE", "train")
    message = r"^data\.npy: not what its stage wrote"
    with pytest.raises(PipelineError, match=message), dependencies_unchanged("train", load_train):
        pass


@pytest.mark.usefixtures("small_stage")
def test_stage_runs_with_its_parameters_and_its_end_is_a_message() -> None:
    ran: list[Any] = []

    def train(*params: Any) -> None:
        ran.append(params)
        Path("code.py").write_text(f"print({len(ran)})")

    with pytest.raises(SystemExit, match=r"^train: code\.py changed while the stage ran"):
        run_checked("train", train, lambda: (read_params("train"), 5))
    assert ran == [({"epochs": 3}, 5)]
    Path("params.yaml").unlink()
    with pytest.raises(SystemExit, match=r"^train: .*No such file .*'params\.yaml'"):
        run_checked("train", train, lambda: (read_params("train"),))
    assert len(ran) == 1


def raising(error: BaseException) -> Callable[..., None]:
    def stage(*_: object) -> None:
        raise error

    return stage


@pytest.mark.usefixtures("small_stage")
@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (PipelineError("data.npy: damaged"), "train: data.npy: damaged"),
        (
            FileNotFoundError(2, "No such file", "x.npy"),
            (
                "train: [Errno 2] No such file: 'x.npy'. "
                "`cd '{}' && dvc repro train` makes first whatever train reads."
            ),
        ),
        (KeyboardInterrupt(), 128 + signal.SIGINT),
        (MemoryError("Unable to allocate"), "train: out of memory: Unable to allocate"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM"), "train: out of memory: OOM"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out"),
            "train: out of memory: RESOURCE_EXHAUSTED: Out",
        ),
    ],
)
def test_what_the_user_can_mend_is_a_message(error: BaseException, ending: object) -> None:
    with pytest.raises(SystemExit) as ended:
        run_checked("train", raising(error), lambda: ())
    expected = ending.format(Path.cwd()) if isinstance(ending, str) else ending
    assert ended.value.code == expected


@pytest.mark.usefixtures("small_stage")
@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError("INTERNAL: a defect"), ValueError("a defect")]
)
def test_defect_keeps_its_traceback(error: Exception) -> None:
    def fail() -> None:
        Path("params.yaml").write_text("train: {epochs: 4}")  # which is not what has to be told
        raise error

    with pytest.raises(type(error), match="a defect"):
        run_checked("train", fail, lambda: ())


def test_request_to_end_cleans_up_first() -> None:
    cleaned = []

    def stage() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    with pytest.raises(SystemExit) as ended, clear_ending("train"):
        stage()
    assert ended.value.code == 128 + signal.SIGTERM
    assert cleaned


@pytest.mark.parametrize(("group", "folder"), [("stage", "."), ("study", "studies")])
def test_help_says_what_a_stage_reads_and_writes(
    monkeypatch: pytest.MonkeyPatch, group: str, folder: str
) -> None:
    monkeypatch.chdir(ROOT / folder)
    monkeypatch.setattr(sys.modules["__main__"], "__doc__", "What the stage does.")
    for name, stage in YAML(typ="safe").load(Path("dvc.yaml"))["stages"].items():
        text = stage_parser(name, group).format_help()
        assert text.startswith(f"usage: python -m pipeline {group} {name} [-h]")
        assert "What the stage does." in text
        data = [dep for dep in stage["deps"] if not dep.startswith("pipeline/")]
        outs = [
            next(iter(out)) if isinstance(out, dict) else out
            for kind in ("outs", "metrics", "plots")
            for out in stage.get(kind, [])
        ]
        assert (f"reads: {', '.join(data)}\n" in text) == bool(data)
        # Of a matrix, what differs from run to run, as the command line calls it.
        named = [
            out.replace("${item.recipe}", "RECIPE").replace("${item.seed}", "SEED") for out in outs
        ]
        assert f"writes: {', '.join(named)}\n" in text
        assert "parameters: " in text or "params" not in stage
        assert "Exit codes: 0 done, 1 failed" in text


@pytest.mark.usefixtures("small_stage")
@pytest.mark.parametrize("content", [None, "stages: [", "stages: {}"])
def test_help_needs_no_pipeline(content: str | None) -> None:
    Path("dvc.yaml").unlink()
    if content is not None:
        Path("dvc.yaml").write_text(content)
    text = stage_parser("train", "stage").format_help()
    assert "reads: " not in text
    assert "Exit codes: 0 done, 1 failed" in text
