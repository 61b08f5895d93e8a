"""What all stages have in common as commands; called in this process where that is the same."""

import importlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, use_small_data
from ruamel.yaml import YAML

from pipeline.model.backend import Device
from pipeline.runtime.command import run_stage

LIGHT = ["download", "preprocess", "plot"]


@pytest.fixture
def command(
    tmp_path: Path, data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Run a stage as its command does, in a folder with the small data set and its parameters."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("data/raw").symlink_to(data_set, target_is_directory=True)
    before = signal.getsignal(signal.SIGTERM)

    def run(stage: str, edit: Callable[[Any], object] = lambda _: None) -> None:
        params = YAML(typ="safe").load(ROOT / "params.yaml")
        use_small_data(params, data_set, [str(data_set)])
        edit(params)
        YAML(typ="safe").dump(params, Path("params.yaml"))
        module = importlib.import_module(f"pipeline.stages.{stage}")
        if stage == "train":
            # Threads cannot be set any more where another test has computed something.
            monkeypatch.setattr(module, "pin", lambda _: Device("CPU", "CPU", {}))
        monkeypatch.setattr(sys, "argv", [stage])
        run_stage(getattr(module, stage), getattr(module, f"{stage.capitalize()}Params"))

    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("stage", "edit", "message"),
    [
        (
            "train",
            lambda p: p["recipes"]["original"].update(epochs=0),
            "recipes.original.epochs: .* greater than 0, found 0",
        ),
        (
            "train",
            lambda p: p["recipes"]["original"].update(batch_size=1201),
            "batch_size: 1201 is larger .* 1200",
        ),
        (
            "preprocess",
            lambda p: p["preprocess"].update(validation_size=1300),
            "expected 10 to 1290 of the 1300 .*, found 1300",
        ),
        ("preprocess", lambda p: p["preprocess"].update(classes=5), "label . of image .* 0 to 4"),
        (
            "preprocess",
            lambda p: p["preprocess"].update(class_names=["a"]),
            "expected 10 different",
        ),
        ("plot", lambda p: p.pop("plot"), "section 'plot'"),
    ],
)
def test_bad_parameters_end_a_stage_with_a_message(
    command: Callable[..., None], stage: str, edit: Callable[[Any], object], message: str
) -> None:
    if stage == "train":
        command("preprocess")
    with pytest.raises(SystemExit) as ended:
        command(stage, edit)
    assert re.search(f"^{stage}: .*{message}", str(ended.value.code))
    assert str(ended.value.code).isprintable()


def test_stages_without_keras_start_without_any_backend() -> None:
    program = (
        "import sys\n"
        f"from pipeline.stages import {', '.join(LIGHT)}\n"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_command_shows_its_help_and_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline.stages.preprocess"]
    shown = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert shown.startswith("usage: python -m pipeline stage preprocess [-h]")
    assert (importlib.import_module("pipeline.stages.preprocess").__doc__ or "") in shown
    assert "reads: data/raw\n" in shown
    assert "writes: data/processed\n" in shown
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    failed = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("preprocess: [Errno 2] No such file or directory: 'data/raw/")
    assert failed.stderr.count("\n") == 1
