import jax
import pytest
import tensorflow as tf

from pipeline.runtime.command import clear_ending


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
    ],
)
def test_memory_that_does_not_suffice_is_a_message(error: Exception) -> None:
    with pytest.raises(SystemExit, match=f"train: out of memory: {error}"), clear_ending("train"):
        raise error


@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError("INTERNAL: a defect"), ValueError("a defect")]
)
def test_defect_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error), match="a defect"), clear_ending("train"):
        raise error
