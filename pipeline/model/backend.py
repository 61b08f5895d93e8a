"""The numerical backend, TensorFlow or JAX: chosen, then pinned so that a run is reproducible.

``from pipeline.model.backend import keras`` is how this project imports Keras, so that the choice
is made first. TensorFlow is the default; ``KERAS_BACKEND=jax`` chooses JAX.
"""

import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.runtime.errors import PipelineError

# TensorFlow's C++ side notes half a dozen harmless things at every start, past all its settings.
# Whoever sets one of these, to look for a GPU's driver for instance, sees them, and what a wrong
# flag makes the libraries die of.
NATIVE_LOG_WANTED = bool({"TF_CPP_MIN_LOG_LEVEL", "TF_XLA_FLAGS", "XLA_FLAGS"} & set(os.environ))

# Read once, when the libraries are imported. No file in the user's home and no limit of Keras's
# own is to decide a result; XLA's flag has no effect on a CPU.
os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or "tensorflow"
os.environ["KERAS_HOME"] = os.devnull
os.environ["MPLBACKEND"] = "agg"  # Keras imports matplotlib, and notebooks name a backend of theirs
for limit in ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH"):
    os.environ.pop(limit, None)
if not NATIVE_LOG_WANTED:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"  # what XLA notes at its first use
if "xla_gpu_deterministic_ops" not in os.environ.get("XLA_FLAGS", ""):
    flags = f"--xla_gpu_deterministic_ops=true {os.environ.get('XLA_FLAGS', '')}"
    os.environ["XLA_FLAGS"] = flags.strip()
if os.environ["KERAS_BACKEND"] not in {"tensorflow", "jax"}:
    sys.exit(f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}: expected tensorflow or jax")


@contextmanager
def _native_log_hidden() -> Iterator[None]:
    """Discard what C++ code writes to file descriptor 2; exceptions still pass."""
    if NATIVE_LOG_WANTED:
        yield
        return
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def _interruption_ends_process() -> Iterator[None]:
    """Let Ctrl-C end the process: as an exception, a callback of JAX might swallow it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


with _interruption_ends_process(), _native_log_hidden():
    import keras

if os.environ["KERAS_BACKEND"] == "tensorflow":
    # Keras imports JAX where it is installed, and JAX's callback would swallow the exception of a
    # Ctrl-C that comes while Python collects garbage: training would go on.
    gc.callbacks[:] = [one for one in gc.callbacks if not one.__module__.startswith("jax")]

__all__ = ["Device", "keras", "pin"]


class Device(NamedTuple):
    """What the numbers are computed on.

    Attributes:
        kind: "CPU" or "GPU".
        name: The GPU's name, or "CPU".
        settings: What else decides the bits of a result on it.
    """

    kind: str
    name: str
    settings: dict[str, Any]


def pin(threads: int) -> Device:
    """Fix the number of CPU threads, and return the device that will be used.

    The number of threads decides how sums are split, hence their last bits. It has to be fixed
    before the backend's first computation.

    Raises:
        PipelineError: ``REQUIRE_GPU`` is set, to anything but 0, and the backend sees no GPU.
    """
    with _native_log_hidden():
        device = _pin_jax(threads) if keras.config.backend() == "jax" else _pin_tensorflow(threads)
    if os.environ.get("REQUIRE_GPU", "0") not in {"", "0"} and device.kind != "GPU":
        raise PipelineError(
            f"REQUIRE_GPU is set, but {keras.config.backend()} sees no GPU. "
            "Check `nvidia-smi`, and that the packages of requirements-gpu.lock are installed; "
            "TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow looked for. "
            "Unset REQUIRE_GPU to use the CPU."
        )
    return device


def _pin_tensorflow(threads: int) -> Device:
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    settings = {"threads": threads, "xla": bool(gpus)}
    if not gpus:
        return Device("CPU", "CPU", settings)
    build = tf.sysconfig.get_build_info()
    settings |= {
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
    }
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return Device("GPU", name, settings)


def _pin_jax(threads: int) -> Device:
    import jax

    # XLA's client for the CPU takes the size of its thread pool from here.
    os.environ["NPROC"] = str(threads)
    try:
        device = jax.devices()[0]
    except (RuntimeError, AssertionError) as error:
        raise PipelineError(f"JAX finds no device (JAX_PLATFORMS?): {error}") from error
    settings = {"threads": threads, "xla": True}
    if device.platform == "cpu":
        return Device("CPU", "CPU", settings)
    return Device(device.platform.upper(), device.device_kind, settings)
