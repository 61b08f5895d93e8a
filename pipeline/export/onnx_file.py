"""The network as an ONNX file: images in, calibrated probabilities out, without Keras."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from pipeline.runtime.errors import PipelineError

INPUT, OUTPUT = "pixels", "probabilities"
# Old enough for whatever reads ONNX, and the first whose Softmax is along one axis.
OPSET, FORMAT = 13, 7


class Layer(NamedTuple):
    """A fully connected layer.

    Attributes:
        kernel: Weights, shape (inputs, units), float32.
        bias: Shape (units,), float32.
        activation: "relu", "silu" or "softmax".
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: str


def onnx_bytes(layers: Sequence[Layer], temperature: float, metadata: Mapping[str, str]) -> bytes:
    """Return the ONNX file of a network, the same bytes for the same network.

    Its input ``pixels`` has shape (n, pixels), its output ``probabilities`` (n, classes), both
    float32.

    Args:
        layers: From the input on; the last one's activation is softmax.
        temperature: What the logits are divided by, for calibrated probabilities.
        metadata: What else the file tells of the network, by name.

    Raises:
        PipelineError: An activation is none of those that a layer may have.
    """
    nodes, weights = [], [numpy_helper.from_array(np.array(temperature, np.float32), "temperature")]
    value = INPUT
    for number, layer in enumerate(layers, 1):
        names = [f"kernel_{number}", f"bias_{number}"]
        weights += [
            numpy_helper.from_array(array, name)
            for name, array in zip(names, (layer.kernel, layer.bias), strict=True)
        ]
        before, after = f"sum_{number}", f"hidden_{number}"
        nodes.append(helper.make_node("Gemm", [value, *names], [before]))
        nodes += _activation(layer.activation, before, after)
        value = after
    graph = helper.make_graph(
        nodes,
        "digits",
        [_batch(INPUT, len(layers[0].kernel))],
        [_batch(OUTPUT, len(layers[-1].bias))],
        weights,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=FORMAT
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


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
        node("Softmax", [logits], [OUTPUT], axis=-1),
    ]


def _batch(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["images", width])


def probabilities(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the network in an ONNX file answers, by the reference implementation of ONNX.

    Args:
        content: Of the file.
        images: Shape (n, pixels).

    Returns:
        Shape (n, classes).
    """
    network = ReferenceEvaluator(onnx.load_from_string(content))
    with np.errstate(over="ignore"):  # exp in a sigmoid that is 0
        (found,) = network.run([OUTPUT], {INPUT: images})
    return np.asarray(found, np.float32)
