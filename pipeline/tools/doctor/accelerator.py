"""An accelerator: the GPU as the framework sees it, or why it sees none."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.tools.doctor.checkup import SET_UP, Finding, good, note, problem, some
from pipeline.tools.doctor.installation import GPU_LOCK, LOCK, locked

# In a process of its own: what the framework prints, or dies of, is not to be the doctor's.
PROBE = "import json; from pipeline.model.backend import pin; print(json.dumps(pin(1)[:2]))"
PATIENCE = 180  # seconds; importing TensorFlow from a cold disk takes tens


def gpu(project: Path) -> Finding:
    """Return what the framework of ``KERAS_BACKEND`` computes on."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    required = os.environ.get("REQUIRE_GPU", "0") not in {"", "0"}
    try:
        kind, name = _device(project)
    except ValueError as error:
        chosen = "Unset KERAS_BACKEND; if it is not that: " if "KERAS_BACKEND" in os.environ else ""
        return problem(f"{backend} cannot be used: {error}", f"{chosen}{SET_UP}")
    if kind != "CPU":
        return good(f"{backend} computes on {name}")
    reason, advice = _why_not(project, backend)
    if required:
        return problem(
            f"REQUIRE_GPU is set, but {backend} sees none: {reason}",
            f"{advice}; or unset REQUIRE_GPU",
        )
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
        lines = result.stderr.decode(errors="replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise ValueError(f"exit status {result.returncode}: {said}")
    kind, name = json.loads(result.stdout.splitlines()[-1])
    return kind, name


def _why_not(project: Path, backend: str) -> tuple[str, str]:
    """Return why no GPU is seen, and what to do."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in {"", "-1"}:
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides it", "`unset CUDA_VISIBLE_DEVICES`"
    if shutil.which("nvidia-smi") is None:
        return (
            "no NVIDIA driver is here (no nvidia-smi on the PATH)",
            "Nothing, if there is no NVIDIA GPU; else install its driver",
        )
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=60, check=False)
    if listed.returncode or not listed.stdout.strip():
        said = " ".join((listed.stdout + listed.stderr).decode(errors="replace").split())
        return f"nvidia-smi lists none: {said or 'no message'}", "Mend the driver: `nvidia-smi`"
    if backend != "tensorflow":
        return f"the packages of {LOCK} give {backend} the CPU only", "Unset KERAS_BACKEND"
    missing = _missing(project)
    if missing:
        return (
            f"CUDA is not in the environment: {some(missing)}",
            f"`{sys.executable} -m pip install --require-hashes -r {GPU_LOCK}`",
        )
    return (
        "driver and CUDA are here, so it is something that only TensorFlow can tell",
        "`TF_CPP_MIN_LOG_LEVEL=0 make demo` shows what it looked for",
    )


def _missing(project: Path) -> list[str]:
    """Return what of the lock for GPUs, and of no other, is not installed."""
    from importlib.metadata import distributions

    here = {str(distribution.metadata["Name"]).lower() for distribution in distributions()}
    wanted = locked(project / GPU_LOCK).keys() - locked(project / LOCK).keys()
    return [f"{name} is missing" for name in sorted(wanted - here)]
