"""Processes of their own, on a backend that takes no time to load; the real one is asked once."""

import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.tools.doctor import accelerator
from pipeline.tools.doctor.accelerator import gpu


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose backend sees a CPU, on a machine of which nothing is known."""
    for name in ("KERAS_BACKEND", "REQUIRE_GPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("requirements.lock", "requirements-gpu.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    backend(tmp_path, 'def pin(threads): print("noise"); return "CPU", "CPU", {}')
    return tmp_path


def backend(folder: Path, code: str) -> None:
    (folder / "pipeline").mkdir(exist_ok=True)
    (folder / "pipeline/backend.py").write_text(f"{code}\n")


def driver(folder: Path, script: str) -> None:
    """Put a command nvidia-smi on the path."""
    path = folder / "bin/nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_gpu_that_the_framework_computes_on_is_good(folder: Path) -> None:
    backend(folder, 'def pin(threads): return "GPU", "NVIDIA X1", {}')
    assert gpu(folder) == ("good", "tensorflow computes on NVIDIA X1", "")


def test_machine_without_driver_is_a_note(folder: Path) -> None:
    found = gpu(folder)
    assert found.verdict == "note"
    assert "no NVIDIA driver is here" in found.found


def test_gpu_that_is_required_and_not_there_is_a_problem(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_GPU", "1")
    found = gpu(folder)
    assert found.verdict == "problem"
    assert found.found.startswith("REQUIRE_GPU is set, but tensorflow sees none")
    assert found.advice.endswith("or unset REQUIRE_GPU")


def test_hidden_gpu_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    found = gpu(folder)
    assert "CUDA_VISIBLE_DEVICES='-1' hides it" in found.found
    assert found.advice == "`unset CUDA_VISIBLE_DEVICES`"


def test_driver_that_does_not_work_is_told_of(folder: Path) -> None:
    driver(folder, "echo 'Failed to initialize NVML'; exit 18")
    assert gpu(folder).found.endswith("nvidia-smi lists none: Failed to initialize NVML")


def test_driver_without_cuda_asks_for_the_lock_for_gpus(folder: Path) -> None:
    driver(folder, "echo 'GPU 0: NVIDIA X1'")
    lock = (folder / "requirements.lock").read_text()
    (folder / "requirements-gpu.lock").write_text(f"{lock}\nnvidia-nothing==1.0\n")
    found = gpu(folder)
    assert found.found.endswith("CUDA is not in the environment: nvidia-nothing is missing")
    assert found.advice == (
        f"`{sys.executable} -m pip install --require-hashes -r requirements-gpu.lock`"
    )


def test_driver_and_cuda_that_are_of_no_use_are_left_to_tensorflow(folder: Path) -> None:
    driver(folder, "echo 'GPU 0: NVIDIA X1'")
    shutil.copyfile(folder / "requirements.lock", folder / "requirements-gpu.lock")
    assert "TF_CPP_MIN_LOG_LEVEL=0" in gpu(folder).advice


def test_jax_of_the_lock_has_no_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(folder, "echo 'GPU 0: NVIDIA X1'")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "give jax the CPU only" in gpu(folder).found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import not_a_package", "exit status 1: ModuleNotFoundError: No module named"),
        ("import os; os.abort()", "exit status -6: no message"),
        ("import sys; sys.exit('KERAS_BACKEND is x')", "exit status 1: KERAS_BACKEND is x"),
    ],
)
def test_framework_that_cannot_be_loaded_is_a_problem(folder: Path, code: str, reason: str) -> None:
    backend(folder, code)
    found = gpu(folder)
    assert found.verdict == "problem"
    assert found.advice.startswith("`rm -f .venv/.installed && make setup`")
    assert found.found.startswith(f"tensorflow cannot be used: {reason}")


def test_framework_that_hangs_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend(folder, "import time; time.sleep(60)")
    monkeypatch.setattr(accelerator, "PATIENCE", 0.5)
    assert gpu(folder).found.endswith("it did not start within 0.5 s")
