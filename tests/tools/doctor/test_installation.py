import platform
import shutil
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.tools.doctor import installation
from pipeline.tools.doctor.installation import gpu, locked, packages, python

HASH = "    --hash=sha256:00\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of which only pyproject.toml and lock files are there."""
    for name in ("pyproject.toml", "requirements.lock", "requirements-gpu.lock"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def write_locks(folder: Path, whole: str, gpu: str) -> None:
    (folder / "requirements.lock").write_text(whole)
    (folder / "requirements-gpu.lock").write_text(gpu)


def test_python_of_the_environment_is_good(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    if shutil.which("python") is None:
        pytest.skip("no command `python` beside this one; it would have been found good")
    found = python(folder)
    assert found.verdict == "good"
    assert found.found == f"{platform.python_version()}, {sys.executable}"


def test_python_outside_of_the_range_is_a_problem(folder: Path) -> None:
    path = folder / "pyproject.toml"
    path.write_text(path.read_text().replace(">=3.11,<3.14", ">=3.99"))
    found = python(folder)
    assert found.verdict == "problem"
    assert found.found.endswith("; expected >=3.99")
    assert "make setup PYTHON=" in found.advice


def test_other_python_on_the_path_is_a_note(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder / "bin/python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    found = python(folder)
    assert found.verdict == "note"
    assert f"which stages are run with, is {other}" in found.found
    assert "source .venv/bin/activate" in found.advice
    monkeypatch.setenv("PATH", str(folder))
    assert "is not there" in python(folder).found


def test_environment_as_locked_is_good(folder: Path) -> None:
    found = packages(folder)
    assert found.verdict == "good", found


def test_package_that_differs_is_a_problem_and_one_of_development_a_note(folder: Path) -> None:
    lock = f"numpy==0.1 \\\n{HASH}not-a-package==1.0 \\\n{HASH}"
    write_locks(folder, lock, lock)
    found = packages(folder)
    assert found.verdict == "problem"
    assert found.found.startswith("2 of 2 differ from requirements.lock: numpy is ")
    assert found.found.endswith(", not 0.1, not-a-package is missing")
    assert "make setup" in found.advice
    write_locks(folder, f"not-a-package==1.0 \\\n{HASH}", f"numpy==0.1 \\\n{HASH}")
    found = packages(folder)
    assert found.verdict == "note"
    assert "not-a-package is missing" in found.found


def test_package_for_another_system_is_not_asked_for(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        f"a-package==1.0 ; sys_platform == 'nowhere' \\\n{HASH}    # via\n    #   b\n"
        f"b.package==2.0 ; sys_platform != 'nowhere' \\\n{HASH}"
    )
    assert locked(lock) == {"b.package": "2.0"}


def test_every_entry_of_the_lock_is_read() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert len(locked(ROOT / "requirements.lock")) >= text.count("==") - text.count(" ; ") * 2


@pytest.fixture
def machine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose backend takes no time and sees a CPU, on a machine of its own."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    (folder / "bin").mkdir()
    monkeypatch.setenv("PATH", str(folder / "bin"))
    use_backend(folder, 'def pin(threads): print("noise"); return "CPU", "CPU", {}')
    return folder


def use_backend(folder: Path, code: str) -> None:
    (folder / "pipeline/model").mkdir(parents=True, exist_ok=True)
    (folder / "pipeline/model/backend.py").write_text(f"{code}\n")


def use_driver(folder: Path, script: str) -> None:
    """Put a command nvidia-smi on the path."""
    path = folder / "bin/nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_gpu_that_the_framework_computes_on_is_good(machine: Path) -> None:
    use_backend(machine, 'def pin(threads): return "GPU", "NVIDIA X1", {}')
    assert gpu(machine) == ("good", "tensorflow computes on NVIDIA X1", "")


@pytest.mark.parametrize("script", [None, "echo 'Failed to initialize NVML'; exit 18"])
def test_machine_without_a_driver_that_works_is_a_note(machine: Path, script: str | None) -> None:
    if script:
        use_driver(machine, script)
    found = gpu(machine)
    assert found.verdict == "note"
    assert "no NVIDIA driver works here" in found.found


def test_driver_without_cuda_asks_for_the_lock_for_gpus(machine: Path) -> None:
    use_driver(machine, "exit 0")
    lock = (machine / "requirements.lock").read_text()
    (machine / "requirements-gpu.lock").write_text(f"{lock}\nnvidia-nothing==1.0\n")
    found = gpu(machine)
    assert found.found.endswith("CUDA is not in the environment, which lacks nvidia-nothing")
    assert found.advice == (
        f"`{sys.executable} -m pip install --require-hashes -r requirements-gpu.lock`"
    )
    (machine / "requirements-gpu.lock").write_text(lock)
    assert "TF_CPP_MIN_LOG_LEVEL=0" in gpu(machine).advice


def test_jax_of_the_lock_has_no_gpu(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_driver(machine, "exit 0")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert "give jax the CPU only" in gpu(machine).found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import not_a_package", "exit code 1: ModuleNotFoundError: No module named"),
        ("import os; os.abort()", "exit code -6: no message"),
    ],
)
def test_framework_that_cannot_be_loaded_is_a_problem(
    machine: Path, code: str, reason: str
) -> None:
    use_backend(machine, code)
    found = gpu(machine)
    assert found.verdict == "problem"
    assert found.advice.startswith("`rm -f .venv/.installed && make setup`")
    assert found.found.startswith(f"tensorflow cannot be used: {reason}")


def test_framework_that_hangs_is_a_problem(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_backend(machine, "import time; time.sleep(600)")
    monkeypatch.setattr(installation, "PATIENCE", 0.5)
    assert gpu(machine).found.endswith("it did not start within 0.5 s")
