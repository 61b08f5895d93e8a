"""Versions, hardware and variables, which decide the last bits of a training."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

import numpy as np

BACKEND_PACKAGES = {"tensorflow": ["tensorflow"], "jax": ["jax", "jaxlib"]}
# What steers the libraries that compute, where it is set. By name: others with such beginnings hold
# paths and belong to other programs.
VARIABLES = (
    "DNNL_MAX_CPU_ISA",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "JAX_DISABLE_JIT",
    "JAX_DISABLE_MOST_OPTIMIZATIONS",
    "JAX_ENABLE_X64",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TF_DETERMINISTIC_OPS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
)
# Beginnings of the names of those and of all others of these libraries.
LIBRARIES = (
    *("CUBLAS", "CUDA", "CUDNN", "DNNL", "GLIBC_", "JAX", "KERAS", "MKL", "NVIDIA", "OMP_"),
    *("ONEDNN", "OPENBLAS", "TF_", "XLA"),
)
# Of those, what only says which device (whose name is known), how much to say, or is Terraform's.
# A scheduler gives each job another device.
INDIFFERENT = (
    *("CUDA_CACHE_PATH", "CUDA_MPS_LOG", "CUDA_MPS_PIPE", "CUDA_VISIBLE_DEVICES"),
    *("NVIDIA_VISIBLE_DEVICES", "TF_CLI_", "TF_CPP_", "TF_VAR_"),
)


def environment(backend: str, device: str, determinism: dict[str, Any]) -> dict[str, Any]:
    """Return versions, hardware and settings as JSON types; nothing in it changes from run to run.

    Args:
        backend: "tensorflow" or "jax".
        device: The device that computes.
        determinism: Settings of the backend that decide the bits.
    """
    packages = ["keras", *BACKEND_PACKAGES[backend], "numpy"]
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {package: version(package) for package in packages},
        "backend": backend,
        "device": device,
        "cpu": {"model": cpu_model(), "instruction_sets": instruction_sets()},
        "determinism": determinism,
        "variables": {name: flags(os.environ[name]) for name in VARIABLES if name in os.environ},
    }


def environment_of_checkpoints() -> dict[str, Any]:
    """Return what else may decide the last bits of a result, for the key of checkpoints.

    The C library, all packages, and all variables of the libraries with the files that they name.
    It is more than ``environment``: where it differs without need, training only starts anew.
    """
    return {
        "libc": platform.libc_ver(),
        "packages": sorted({f"{found.name} {found.version}" for found in distributions()}),
        "variables": {
            name: [value, _digest(value)]
            for name, value in sorted(os.environ.items())
            if name.startswith(LIBRARIES) and not name.startswith(INDIFFERENT)
        },
    }


def _digest(path: str) -> str | None:
    """Return the SHA-256 of a file, in hexadecimal digits; None where there is no such file."""
    # XLA takes the name of a file for the flags in it.
    try:
        file = Path(path)
        return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None
    except (OSError, ValueError):
        return None


def flags(value: str) -> str:
    """Return a variable's value without the flags that name a path, such as where to dump to."""
    return " ".join(flag for flag in value.split() if "/" not in flag and "\\" not in flag)


def cpu_model() -> str:
    """Return the processor's name as its system gives it, or "unknown"."""
    match platform.system():
        case "Linux":
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            names = (
                line.partition(":")[2].strip() for line in lines if line.startswith("model name")
            )
            return next(names, "unknown")
        case "Darwin":
            command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
        case _:
            return os.environ.get("PROCESSOR_IDENTIFIER", "unknown")


def instruction_sets() -> list[str]:
    """Return the vector instruction sets that NumPy finds on this processor."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    # NumPy leaves out what is empty.
    return [*extensions.get("baseline", []), *extensions.get("found", [])]
