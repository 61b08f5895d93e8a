"""The numerical backend, TensorFlow or JAX: chosen, then pinned so that a run can be had again.

``from pipeline.backend import keras`` is how this project imports Keras, so that the choice
is made first. TensorFlow is the default; ``KERAS_BACKEND=jax`` chooses JAX.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.stage import PipelineError

# TensorFlow's C++ side notes half a dozen harmless things at every start, past all its settings.
# Whoever sets this variable, to look for a GPU's driver for instance, sees them.
NATIVE_LOG_WANTED = "TF_CPP_MIN_LOG_LEVEL" in os.environ

# These are read once, when the libraries are imported. Without the first, Keras would ask a file in
# the user's home folder for a backend; the second has no effect on a CPU.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["XLA_FLAGS"] = (
    f"--xla_gpu_deterministic_ops=true {os.environ.get('XLA_FLAGS', '')}".strip()
)


@contextmanager
def _native_log_hidden() -> Iterator[None]:
    """Send what is written straight to file descriptor 2 nowhere; Python still raises errors."""
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


with _native_log_hidden():
    import keras

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
    """Fix the number of CPU threads and the precision, and return the device that will be used.

    The number of threads decides how sums are split, hence their last bits. It has to be fixed
    before the backend's first computation.

    Raises:
        PipelineError: ``REQUIRE_GPU=1`` is set and the backend sees no GPU.
    """
    keras.config.set_floatx("float32")
    with _native_log_hidden():
        device = _pin_jax(threads) if keras.config.backend() == "jax" else _pin_tensorflow(threads)
    if os.environ.get("REQUIRE_GPU") == "1" and device.kind != "GPU":
        raise PipelineError(
            f"REQUIRE_GPU=1 is set, but {keras.config.backend()} sees no GPU. "
            "Check `nvidia-smi`, and that the packages of requirements-gpu.lock are installed; "
            "TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow looked for. "
            "Unset REQUIRE_GPU to train on the CPU."
        )
    return device


def _pin_tensorflow(threads: int) -> Device:
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    gpus = tf.config.list_physical_devices("GPU")
    settings = {
        "threads": threads,
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "xla": bool(gpus),
    }
    if not gpus:
        return Device("CPU", "CPU", settings)
    tensor_float_32 = tf.config.experimental.tensor_float_32_execution_enabled()
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return Device("GPU", name, settings | {"tensor_float_32": tensor_float_32})


def _pin_jax(threads: int) -> Device:
    import jax

    # XLA's client for the CPU takes the size of its thread pool from here.
    os.environ["NPROC"] = str(threads)
    device = jax.devices()[0]
    kind = "CPU" if device.platform == "cpu" else device.platform.upper()
    return Device(
        kind, "CPU" if kind == "CPU" else device.device_kind, {"threads": threads, "xla": True}
    )
