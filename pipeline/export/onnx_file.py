"""The network as an ONNX file, which is written here, and read back without being run."""

import itertools

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pipeline.export.network import Layer, Network
from pipeline.runtime.errors import UNREADABLE, PipelineError, reason

INPUT, PROBABILITIES, IS_DIGIT = "pixels", "probabilities", "is_digit"
# Old enough for whatever reads ONNX, and the first whose Softmax is along one axis.
OPSET, FORMAT = 13, 7
ACTIVATIONS = {"Relu": "relu", "Mul": "silu", "Div": "softmax"}  # by the operator after the sum


def onnx_bytes(network: Network) -> bytes:
    """Return the ONNX file of a network, the same bytes for the same network.

    Its input ``pixels`` has shape (n, pixels); its outputs are ``probabilities``, (n, classes), and
    ``is_digit``, (n, 1), the probability of being one of the classes at all; all are float32.

    Raises:
        PipelineError: An activation is none of those that a layer may have.
    """
    model = helper.make_model(
        _graph(network), opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT
    )
    helper.set_model_props(model, dict(sorted(network.metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _graph(network: Network) -> onnx.GraphProto:
    temperature = np.array(network.temperature, np.float32)
    nodes, weights = [], [numpy_helper.from_array(temperature, "temperature")]
    value, seen = INPUT, []
    for number, layer in enumerate(network.layers, 1):
        before, after = f"sum_{number}", f"hidden_{number}"
        nodes += [
            _sum(layer, str(number), value, before, weights),
            *_activation(layer.activation, before, after),
        ]
        seen.append(before if layer.activation == "softmax" else after)
        value = after
    nodes += [
        helper.make_node("Concat", seen, ["seen"], axis=1),
        _sum(network.digit_test, "digit_test", "seen", "digit_logit", weights),
        helper.make_node("Sigmoid", ["digit_logit"], [IS_DIGIT]),
    ]
    width, classes = len(network.layers[0].kernel), len(network.layers[-1].bias)
    outputs = [_batch(PROBABILITIES, classes), _batch(IS_DIGIT, 1)]
    return helper.make_graph(nodes, "digits", [_batch(INPUT, width)], outputs, weights)


def _sum(
    layer: Layer, name: str, value: str, result: str, weights: list[onnx.TensorProto]
) -> onnx.NodeProto:
    """Return the node of a layer's weighted sum, and add its weights to those of the graph."""
    names = [f"kernel_{name}", f"bias_{name}"]
    for array, label in zip((layer.kernel, layer.bias), names, strict=True):
        weights.append(numpy_helper.from_array(array, label))
    return helper.make_node("Gemm", [value, *names], [result])


def _activation(name: str, before: str, after: str) -> list[onnx.NodeProto]:
    """Return the nodes from a sum to its activation; softmax first divides by the temperature."""
    node = helper.make_node
    if name == "relu":
        return [node("Relu", [before], [after])]
    if name == "silu":
        gate = f"{after}_gate"
        return [node("Sigmoid", [before], [gate]), node("Mul", [before, gate], [after])]
    if name != "softmax":
        raise PipelineError(f"no ONNX file can be written of a layer whose activation is {name}")
    logits = "calibrated_logits"
    return [
        node("Div", [before, "temperature"], [logits]),
        node("Softmax", [logits], [PROBABILITIES], axis=-1),
    ]


def _batch(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["images", width])


def network_in(content: bytes) -> Network:
    """Return the network in an ONNX file that ``onnx_bytes`` wrote.

    Such a file may come from anywhere, so nothing in it is run: its weights are taken out, and it
    has to be the very graph that these weights make.

    Raises:
        PipelineError: It is another one, or damaged.
    """
    try:
        model = onnx.load_from_string(content)
        weights = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
        after = {
            node.input[0]: node.op_type for node in model.graph.node if node.op_type in ACTIVATIONS
        }
        numbers = range(1, (len(weights) - 1) // 2)
        layers = [
            Layer(
                weights[f"kernel_{number}"],
                weights[f"bias_{number}"],
                ACTIVATIONS[after[f"sum_{number}"]],
            )
            for number in numbers
        ]
        test = Layer(weights["kernel_digit_test"], weights["bias_digit_test"], "sigmoid")
        network = Network(
            layers,
            float(weights["temperature"]),
            test,
            {entry.key: entry.value for entry in model.metadata_props},
        )
        sides = [len(layers[0].kernel), *(len(layer.bias) for layer in layers)]
        shapes = [layer.kernel.shape for layer in layers] + [test.kernel.shape, test.bias.shape]
        fitting = [*itertools.pairwise(sides), (sum(sides[1:]), 1), (1,)]
        if shapes != fitting or not 0 < network.temperature < np.inf:
            raise PipelineError("not a network: its layers do not fit each other")
        if _graph(network) != model.graph:
            raise PipelineError("not a network that this project has exported")
    except (*UNREADABLE, DecodeError) as error:
        raise PipelineError(
            f"not a network that this project has exported: {reason(error)}"
        ) from error
    return network


def _array(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    if (
        tensor.data_location != onnx.TensorProto.DEFAULT
        or tensor.data_type != onnx.TensorProto.FLOAT
    ):
        raise PipelineError(f"weights {tensor.name} of an unexpected kind")
    array = numpy_helper.to_array(tensor)
    if not np.isfinite(array).all():
        raise PipelineError(f"weights {tensor.name} that are no numbers")
    return np.asarray(array)
