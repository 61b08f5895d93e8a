import gc
import sys

import pytest

from pipeline.model.backend import keras


def test_no_callback_of_jax_can_swallow_ctrl_c() -> None:
    if keras.config.backend() == "jax":
        pytest.skip("JAX needs its callback; with TensorFlow it would be shown to be gone")
    assert "jax" in sys.modules, (
        "Keras no longer imports JAX: pipeline/model/backend.py need not care"
    )
    assert not [one for one in gc.callbacks if "jax" in str(getattr(one, "__module__", ""))]
