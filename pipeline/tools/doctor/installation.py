"""An installation: this Python, its packages beside those that are locked, and its GPU."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.tools.doctor.checkup import SET_UP, Finding, good, note, problem, some

LOCK = "requirements.lock"
GPU_LOCK = "requirements-gpu.lock"
# In a process of its own: what the framework prints, or ends with, is kept from the doctor.
PROBE = "import json; from pipeline.model.backend import pin; print(json.dumps(pin(1)[:2]))"
PATIENCE = 180  # seconds; importing TensorFlow from a cold disk takes tens


def python(project: Path) -> Finding:
    """Return whether this Python is one of those supported, and the one that runs the stages.

    Stages run with the `python` of the PATH, which lacks the packages where nobody has activated
    the environment.
    """
    from packaging.specifiers import SpecifierSet

    with (project / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["requires-python"]
    found = f"{platform.python_version()}, {sys.executable}"
    if not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        return problem(
            f"{found}; expected {wanted}",
            "Install such a Python, then `rm -rf .venv && make setup PYTHON=/path/to/python3`",
        )
    first = shutil.which("python")
    # Not resolved: in an environment it is a link to the Python that the environment was made of.
    if first is None or Path(first).absolute() != Path(sys.executable).absolute():
        return note(
            f"{found}; but `python`, which stages are run with, is "
            f"{first or 'not'}{'' if first else ' there'}",
            "Use `make repro`, or activate the environment first: `source .venv/bin/activate`",
        )
    return good(found)


def packages(project: Path) -> Finding:
    """Return whether the versions installed are those locked.

    Other versions give other results to the last bits, and nothing else says so.
    """
    pins = locked(project / LOCK)
    found = {name: _installed(name) for name in pins}
    wrong = {
        name: f"{name} is {found[name]}, not {pin}" if found[name] else f"{name} is missing"
        for name, pin in pins.items()
        if found[name] != pin
    }
    if not wrong:
        return good(f"all {len(pins)} packages of {LOCK} are installed in these versions")
    # The lock for GPUs has all that a run needs, and nothing that is for development only.
    needed = [name for name in wrong if name in locked(project / GPU_LOCK)]
    if needed:
        told = some([wrong[name] for name in needed])
        return problem(f"{len(wrong)} of {len(pins)} differ from {LOCK}: {told}", SET_UP)
    return note(
        f"a run has what it needs, but {len(wrong)} packages for tests and checks differ from "
        f"{LOCK}: {some(list(wrong.values()))}",
        SET_UP,
    )


def locked(path: Path) -> dict[str, str]:
    """Return the versions in a lock file, by package, that are for this system and Python."""
    from packaging.requirements import Requirement

    lines = re.findall(r"^(\w[^\\\n]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    pins: list[Any] = [Requirement(line) for line in lines]
    return {
        pin.name: next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def gpu(project: Path) -> Finding:
    """Return what the framework of ``KERAS_BACKEND`` computes on.

    A framework that finds no GPU trains on the CPU without an error, and does not say why.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    try:
        kind, name = _device(project)
    except ValueError as error:
        chosen = "Unset KERAS_BACKEND; if it is not that: " if "KERAS_BACKEND" in os.environ else ""
        return problem(f"{backend} cannot be used: {error}", f"{chosen}{SET_UP}")
    if kind != "CPU":
        return good(f"{backend} computes on {name}")
    reason, advice = _why_none(project, backend)
    return note(f"{backend} sees none, so it trains on the CPU: {reason}", advice)


def _device(project: Path) -> tuple[str, str]:
    """Return kind and name of the device that a stage would compute on.

    Raises:
        ValueError: The framework cannot be loaded.
    """
    environment = {name: value for name, value in os.environ.items() if name != "REQUIRE_GPU"}
    try:
        result = subprocess.run(
            [sys.executable, "-c", PROBE],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it did not start within {PATIENCE} s") from None
    if result.returncode:
        said = result.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise ValueError(f"exit code {result.returncode}: {said[-1].strip()}")
    kind, name = json.loads(result.stdout.splitlines()[-1])
    return kind, name


def _why_none(project: Path, backend: str) -> tuple[str, str]:
    """Return why no GPU is seen, and what to do."""
    smi = shutil.which("nvidia-smi")
    if not smi or subprocess.run([smi], capture_output=True, timeout=60, check=False).returncode:
        return (
            "no NVIDIA driver works here (`nvidia-smi`)",
            "Nothing, if there is no NVIDIA GPU; else install its driver",
        )
    if backend != "tensorflow":
        return f"the packages of {LOCK} give {backend} the CPU only", "Unset KERAS_BACKEND"
    wanted = locked(project / GPU_LOCK).keys() - locked(project / LOCK).keys()
    if missing := [name for name in sorted(wanted) if not _installed(name)]:
        return (
            f"CUDA is not in the environment, which lacks {some(missing)}",
            f"`{sys.executable} -m pip install --require-hashes -r {GPU_LOCK}`",
        )
    return (
        "driver and CUDA are here, so only TensorFlow (or CUDA_VISIBLE_DEVICES) can tell",
        "`TF_CPP_MIN_LOG_LEVEL=0 make demo` shows what it looked for",
    )
