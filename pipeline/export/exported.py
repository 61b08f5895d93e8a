"""Make the file of a trained network: its layers, its thresholds, and the test for a digit."""

import json
import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt
from threadpoolctl import threadpool_limits

from pipeline.evaluation.calibration import scaled
from pipeline.export.digit_test import fit_digit_test
from pipeline.export.network import Layer, Network, answers
from pipeline.export.onnx_file import INPUT, network_in, onnx_bytes
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.runtime.params import Section

MOST_APART = 1e-5  # a probability of the file may be from the one by Keras


class ExportParams(Section):
    """Section ``export`` of ``params.yaml``."""

    seed: NonNegativeInt
    made_up: Annotated[int, Field(ge=10, le=1_000_000)]
    unlike: Annotated[float, Field(gt=0, lt=0.5)]
    doubtful: Annotated[float, Field(gt=0, lt=0.5)]


def exported(
    model: Any,
    training: Examples,
    validation: NDArray[np.float32],
    points: dict[str, Any],
    params: ExportParams,
    **facts: Any,
) -> bytes:
    """Return the ONNX file of a network.

    Args:
        model: Of Keras; all its layers are fully connected.
        training: The images that it was trained with.
        validation: Images that it was not trained with, shape (n, pixels).
        points: Its temperature and its thresholds.
        params: For the test whether an image is a digit.
        facts: What else the file is to tell: ``classes``, ``recipe``, ``run`` and
            ``test_accuracy`` at least.

    Raises:
        PipelineError: A layer is not fully connected.
    """
    layers = layers_of(model)
    with threadpool_limits(1):  # more threads would add in another order
        rng = np.random.default_rng(params.seed)
        test = fit_digit_test(layers, training, params.made_up, rng)
        bare = Network(layers, points["temperature"], test, {})
        likeness = answers(bare, validation)[1]
    side = math.isqrt(len(layers[0].kernel))
    metadata = {
        **facts,
        "input": f"{INPUT}: float32 (n, {side * side}), an image of {side} x {side} pixels row by "
        "row, from 0, the background, to 1",
        "operating_points": points,
        "digit_test": {  # below which probability of being a digit an image is called so
            name: round(float(np.quantile(likeness, share)), 9)
            for name, share in (("unlike", params.unlike), ("doubtful", params.doubtful))
        },
    }
    texts = {key: json.dumps(value, ensure_ascii=False) for key, value in metadata.items()}
    return onnx_bytes(bare._replace(metadata=texts))


def layers_of(model: Any) -> list[Layer]:
    """Return the layers of a Keras model, all of which are fully connected.

    Raises:
        PipelineError: One is not.
    """
    # Not isinstance, so that readers of such files need no Keras.
    if odd := [layer.name for layer in model.layers if type(layer).__name__ != "Dense"]:
        raise PipelineError(f"no ONNX file can be written of the layers {', '.join(odd)}")
    return [
        Layer(
            kernel=np.asarray(layer.kernel),
            bias=np.asarray(layer.bias),
            activation=layer.activation.__name__,
        )
        for layer in model.layers
    ]


def check_agreement(
    content: bytes, images: NDArray[np.float32], by_keras: NDArray[np.float32]
) -> None:
    """Make sure that an ONNX file gives the classes of Keras, and about the same probabilities.

    Args:
        content: Of the file.
        images: Shape (n, pixels).
        by_keras: What the network gave in Keras, without its temperature; shape (n, classes).

    Raises:
        PipelineError: It does not.
    """
    network = network_in(content)
    found, expected = answers(network, images)[0], scaled(by_keras, network.temperature)
    apart = float(np.abs(found - expected).max())
    others = int((found.argmax(axis=1) != expected.argmax(axis=1)).sum())
    if others or not apart <= MOST_APART:
        raise PipelineError(
            f"the ONNX file is not the network: {others} images get another class, and "
            f"probabilities are up to {apart:.2g} apart"
        )
    print(f"ONNX and Keras: the same classes, probabilities at most {apart:.1g} apart")
