"""ONNX files against Keras, by onnxruntime, which shares no code with either."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.evaluation.calibration import scaled
from pipeline.export.exported import layers_of
from pipeline.export.network import Layer, Network
from pipeline.export.network import answers as by_numpy
from pipeline.export.onnx_file import network_in, onnx_bytes
from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError


def answers(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content)
    (found,) = session.run(["probabilities"], {"pixels": images})
    return np.asarray(found)


def written(layers: Sequence[Layer], temperature: float, metadata: Mapping[str, str]) -> bytes:
    seen = sum(len(layer.bias) for layer in layers)
    random = np.random.default_rng(2)
    kernel = random.standard_normal((seen, 1), np.float32)
    test = Layer(kernel, random.standard_normal(1, np.float32), "sigmoid")
    return onnx_bytes(Network(layers, temperature, test, metadata))


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
    content = written(layers_of(model), temperature, {})
    np.testing.assert_allclose(answers(content, images), expected, atol=1e-5)
    np.testing.assert_allclose(by_numpy(network_in(content), images)[0], expected, atol=1e-5)


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
    found = answers(written(some_layers(), 1.5, {}), images)
    assert found.shape == (count, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)


def test_file_tells_what_it_was_told() -> None:
    told = {"classes": json.dumps(["ä", '"']), "run": "champion-0"}
    session = onnxruntime.InferenceSession(written(some_layers(), 1.0, told))
    assert session.get_modelmeta().custom_metadata_map == told
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.shape, pixels.type) == ("pixels", ["images", 9], "tensor(float)")
    found = [(output.name, output.shape) for output in session.get_outputs()]
    assert found == [("probabilities", ["images", 3]), ("is_digit", ["images", 1])]


def test_same_network_gives_the_same_bytes_in_every_process() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from pipeline.export.network import Layer, Network\n"
        "from pipeline.export.onnx_file import onnx_bytes\n"
        "def layer(inputs, units, name):\n"
        "    weights = np.arange(inputs * units, dtype=np.float32).reshape(inputs, units)\n"
        "    return Layer(weights, weights[0], name)\n"
        "layers, test = [layer(4, 3, 'relu'), layer(3, 2, 'softmax')], layer(5, 1, 'sigmoid')\n"
        "content = onnx_bytes(Network(layers, 1.5, test, {'b': '1', 'a': '2'}))\n"
        "print(hashlib.sha256(content).hexdigest())"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(hashes) == 1


def test_order_of_what_it_is_told_changes_no_byte() -> None:
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})
    assert written(some_layers(), 1.5, one) == written(some_layers(), 1.5, other)


def test_layer_that_the_file_cannot_hold_is_named() -> None:
    layers = [some_layers()[0]._replace(activation="tanh"), *some_layers()[1:]]
    with pytest.raises(PipelineError, match="a layer whose activation is tanh"):
        written(layers, 1.5, {})
    layers = [keras.layers.Reshape((2, 2, 1), name="square"), keras.layers.Conv2D(1, 2, name="c")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    with pytest.raises(PipelineError, match="the layers square, c"):
        layers_of(model)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_digit_test_sees_every_layer_as_onnxruntime_does(depth: int) -> None:
    content = written(some_layers()[-depth:], 1.5, {})
    width = len(some_layers()[-depth].kernel)
    images = np.random.default_rng(1).random((50, width), dtype=np.float32)
    session = onnxruntime.InferenceSession(content)
    expected, like = session.run(None, {"pixels": images})
    found, found_like = by_numpy(network_in(content), images)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found_like, like[:, 0], atol=1e-6)
    assert 0 <= found_like.min() < found_like.max() <= 1


def test_file_holds_what_was_written() -> None:
    told = {"run": '"champion-0"'}
    network = network_in(written(some_layers(), 1.25, told))
    assert (network.temperature, dict(network.metadata)) == (1.25, told)
    for found, layer in zip(network.layers, some_layers(), strict=True):
        assert found.activation == layer.activation
        np.testing.assert_array_equal(found.kernel, layer.kernel)
        np.testing.assert_array_equal(found.bias, layer.bias)


def large_values(model: Any) -> None:
    model.graph.initializer[1].raw_data = b"\x00\x00\x80\x7f" * 45


def from_a_file(model: Any) -> None:
    model.graph.initializer[1].data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer[1].external_data.add(key="location", value="/etc/passwd")


def another_operator(model: Any) -> None:
    model.graph.node[0].op_type = "MatMul"


def another_node(model: Any) -> None:
    model.graph.node.add(op_type="Relu", input=["pixels"], output=["more"])


def a_huge_shape(model: Any) -> None:
    model.graph.initializer[1].dims[0] = 2**40


def no_temperature(model: Any) -> None:
    del model.graph.initializer[0]


@pytest.mark.parametrize(
    "change",
    [large_values, from_a_file, another_operator, another_node, a_huge_shape, no_temperature],
)
def test_file_of_another_form_is_refused(change: Callable[[Any], None]) -> None:
    model = onnx.load_from_string(written(some_layers(), 1.5, {}))
    change(model)
    with pytest.raises(PipelineError):
        network_in(model.SerializeToString())


@given(place=st.integers(0, 1100), byte=st.integers(0, 255), end=st.integers(0, 1100))
def test_damaged_file_is_another_network_or_refused(place: int, byte: int, end: int) -> None:
    content = bytearray(written(some_layers(), 1.5, {}))
    content[place % len(content)] = byte
    for damaged in (bytes(content), bytes(content[:end])):
        with contextlib.suppress(PipelineError):
            network = network_in(damaged)
            found, _ = by_numpy(network, np.ones((2, len(network.layers[0].kernel)), np.float32))
            assert len(found) == 2
