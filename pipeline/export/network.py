"""The network as it is exported, and what it answers, by NumPy alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Layer(NamedTuple):
    """A fully connected layer.

    Attributes:
        kernel: Weights, shape (inputs, units), float32.
        bias: Shape (units,), float32.
        activation: "relu", "silu", "softmax" or "sigmoid".
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    activation: str


class Network(NamedTuple):
    """A network as it is exported.

    Attributes:
        layers: From the input on; the last one's activation is softmax.
        temperature: What the logits are divided by, for calibrated probabilities.
        digit_test: One unit with a sigmoid, which sees the outputs of all hidden layers and the
            logits: is the image one of the classes at all?
        metadata: What else the file tells of the network, by name.
    """

    layers: Sequence[Layer]
    temperature: float
    digit_test: Layer
    metadata: Mapping[str, str]


def answers(
    network: Network, images: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the calibrated probabilities, shape (n, classes), and those of being a digit, (n,).

    Args:
        network: The network.
        images: Shape (n, pixels).
    """
    with np.errstate(all="ignore"):  # of huge weights: what comes out are no numbers
        return _answers(network, seen_by(network.layers, images))


def _answers(
    network: Network, seen: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    classes = len(network.layers[-1].bias)
    logits = seen[:, -classes:] / np.float32(network.temperature)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    test = seen @ network.digit_test.kernel + network.digit_test.bias
    return powers / powers.sum(axis=1, keepdims=True), _sigmoid(test[:, 0])


def seen_by(layers: Sequence[Layer], images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the digit test sees: all layers' outputs side by side, the logits last.

    Args:
        layers: Of the network.
        images: Shape (n, pixels).

    Returns:
        Shape (n, units of all layers).
    """
    value, seen = images, []
    for layer in layers:
        total = value @ layer.kernel + layer.bias
        value = total if layer.activation == "softmax" else _activated(total, layer.activation)
        seen.append(value)
    return np.concatenate(seen, axis=1)


def _activated(total: NDArray[np.float32], activation: str) -> NDArray[np.float32]:
    return np.maximum(total, 0) if activation == "relu" else total * _sigmoid(total)


def _sigmoid(value: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * value))  # which cannot overflow, as exp can
