"""The weights in a .keras archive: an HDF5 file, held to what config.json says of the network."""

import math
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from pipeline.hdf5_arrays import leaves, read_arrays
from pipeline.hdf5_reader import Array
from pipeline.model_config import Dense, Input, ModelConfig

SIGNATURE = b"\x89HDF\r\n\x1a\n"
INTEGER = ("<i8", "<i4")  # TensorFlow's and JAX's


def expected_arrays(config: ModelConfig, *, trained: bool) -> dict[str, Any]:
    """Return the arrays of a network and its optimiser, by group, as Keras stores them.

    Args:
        config: Of the network.
        trained: Whether it was ever trained; before, its optimiser keeps nothing of the weights.

    Raises:
        ValueError: The layers do not fit together.
    """
    layers = [
        [Array((inputs, units)), Array((units,))] for inputs, units in pairwise(_widths(config))
    ]
    adam = config.compile_config.optimizer.config
    weights = [array for layer in layers for array in layer]
    optimizer = [Array((), INTEGER)]
    if isinstance(adam.learning_rate, float):
        optimizer += [Array(())]
    if trained:
        averages = weights if adam.use_ema else []
        optimizer += [*averages, *(moment for array in weights for moment in (array, array))]
    return {
        "vars": {},
        "layers": {
            f"dense_{number}" if number else "dense": {"vars": _numbered(layer)}
            for number, layer in enumerate(layers)
        },
        "optimizer": {"vars": _numbered(optimizer)},
    }


def _numbered(arrays: list[Array]) -> dict[str, Array]:
    return {str(number): array for number, array in enumerate(arrays)}


def _widths(config: ModelConfig) -> list[int]:
    """Return how many numbers go from each layer to the next; all that is built must say so."""
    layers = config.config.layers
    first = layers[0] if layers else None
    dense = [layer for layer in layers[1:] if isinstance(layer, Dense)]
    if not isinstance(first, Input) or not dense or len(dense) < len(layers) - 1:
        raise ValueError("config.json: expected an InputLayer, then layers of class Dense")
    widths = [first.config.batch_shape[1], *(layer.config.units for layer in dense)]
    built = [config.build_config.input_shape, config.config.build_input_shape]
    shapes = [*built, *(layer.build_config.input_shape for layer in dense)]
    if [shape[1] for shape in shapes] != [widths[0], *widths[:1], *widths[:-1]]:
        raise ValueError("config.json: layers are built for other inputs than they get")
    return widths


def read_weights(content: bytes, config: ModelConfig) -> list[NDArray[Any]]:
    """Return the arrays of a network and its optimiser, from an HDF5 file with nothing else.

    Returns:
        Those of the layers, then those of the optimiser, in the order in which Keras keeps them;
        of an optimiser that has never trained, only those before the ones that are of weights.

    Raises:
        ValueError: It holds something else, or is damaged.
    """
    # Without it at the beginning, HDF5 looks for it further on.
    if not content.startswith(SIGNATURE):
        raise ValueError("model.weights.h5: not an HDF5 file")
    untrained, trained = (expected_arrays(config, trained=answer) for answer in (False, True))
    least = 4 * sum(math.prod(array.shape) for array in leaves(untrained))
    if least > len(content):
        raise ValueError(
            f"config.json promises {least} bytes of weights, "
            f"model.weights.h5 has {len(content)} bytes"
        )
    return read_arrays(content, [trained, untrained])
