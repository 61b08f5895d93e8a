"""ONNX files against Keras, by onnxruntime, which shares no code with either."""

import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
from conftest import ROOT
from numpy.typing import NDArray

from pipeline.evaluation.calibration import scaled
from pipeline.export.onnx_file import Layer, onnx_bytes, probabilities
from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError
from pipeline.studies.export import layers_of


def answers(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content)
    (found,) = session.run(None, {"pixels": images})
    return np.asarray(found)


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("hidden_units", [[], [7], [16, 8, 5]])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.7765])
def test_network_answers_as_in_keras_with_its_temperature(
    activation: str, hidden_units: list[int], temperature: float
) -> None:
    model = build_network(
        36, hidden_units, activation, 4, keras.optimizers.Adam(name="adam"), seed=1
    )
    random = np.random.default_rng(0)
    model.set_weights(
        [random.standard_normal(array.shape, np.float32) for array in model.get_weights()]
    )
    images = random.random((50, 36), dtype=np.float32)
    expected = scaled(model.predict(images, verbose=0), temperature)
    content = onnx_bytes(layers_of(model), temperature, {})
    np.testing.assert_allclose(answers(content, images), expected, atol=1e-5)
    np.testing.assert_allclose(probabilities(content, images), expected, atol=1e-5)


def some_layers() -> list[Layer]:
    random = np.random.default_rng(0)
    return [
        Layer(
            random.standard_normal((inputs, units), np.float32),
            random.standard_normal(units, np.float32),
            activation,
        )
        for inputs, units, activation in ((9, 5, "silu"), (5, 4, "relu"), (4, 3, "softmax"))
    ]


@pytest.mark.parametrize("count", [0, 1, 1000])
def test_any_number_of_images_is_answered_at_once(count: int) -> None:
    images = np.random.default_rng(1).random((count, 9), dtype=np.float32)
    found = answers(onnx_bytes(some_layers(), 1.5, {}), images)
    assert found.shape == (count, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_file_tells_what_it_was_told() -> None:
    told = {"classes": json.dumps(["ä", '"']), "run": "champion-0"}
    session = onnxruntime.InferenceSession(onnx_bytes(some_layers(), 1.0, told))
    assert session.get_modelmeta().custom_metadata_map == told
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("pixels", ["images", 9], "tensor(float)")
    (found,) = session.get_outputs()
    assert (found.name, found.shape) == ("probabilities", ["images", 3])


def test_same_network_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "import hashlib, test_onnx_file as here; told = {'b': '1', 'a': '2'}\n"
        "content = here.onnx_bytes(here.some_layers(), 1.5, told)\n"
        "print(hashlib.sha256(content).hexdigest())"
    )
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/export")))
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(hashes) == 1


def test_order_of_what_it_is_told_changes_no_byte() -> None:
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    assert onnx_bytes(some_layers(), 1.5, one) == onnx_bytes(some_layers(), 1.5, other)


def test_layer_that_the_file_cannot_hold_is_named() -> None:
    layers = [some_layers()[0]._replace(activation="tanh"), *some_layers()[1:]]
    with pytest.raises(PipelineError, match="a layer whose activation is tanh"):
        onnx_bytes(layers, 1.5, {})
    layers = [keras.layers.Reshape((2, 2, 1), name="square"), keras.layers.Conv2D(1, 2, name="c")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    with pytest.raises(PipelineError, match="the layers square, c"):
        layers_of(model)
