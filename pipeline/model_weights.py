"""The weights in a .keras archive: an HDF5 file, held to what config.json says of the network.

HDF5 files may refer to other files, and promise arrays far larger than themselves.
"""

import math
import reprlib
from collections.abc import Mapping
from io import BytesIO
from itertools import pairwise
from typing import Any, NamedTuple

import h5py

from pipeline.model_config import Dense, Input, ModelConfig

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLOAT = ("<f4",)
INTEGER = ("<i8", "<i4")  # TensorFlow's and JAX's


class Array(NamedTuple):
    """What an array has to be."""

    shape: tuple[int, ...]
    types: tuple[str, ...] = FLOAT

    @property
    def size(self) -> int:
        """Bytes that it takes at least."""
        return math.prod(self.shape) * 4


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


def check_weights(content: bytes, config: ModelConfig) -> None:
    """Make sure that an HDF5 file holds, in itself, the arrays of a network and nothing else.

    Raises:
        ValueError: It does not.
        TypeError: An array is where a group should be, or the other way round.
        OSError, KeyError, RuntimeError: It is damaged, says h5py.
    """
    # Without it at the beginning, HDF5 looks for it further on.
    if not content.startswith(SIGNATURE):
        raise ValueError("model.weights.h5: not an HDF5 file")
    untrained, trained = (expected_arrays(config, trained=answer) for answer in (False, True))
    least = sum(array.size for array in _leaves(untrained))
    if least > len(content):
        raise ValueError(
            f"config.json promises {least} bytes of weights, "
            f"model.weights.h5 has {len(content)} bytes"
        )
    with h5py.File(BytesIO(content), "r") as file:
        try:
            _check_group(file, trained, len(content))
        except ValueError as error:
            try:
                _check_group(file, untrained, len(content))
            except ValueError:
                raise error from None


def _leaves(tree: Mapping[str, Any]) -> list[Array]:
    found = []
    for content in tree.values():
        found += [content] if isinstance(content, Array) else _leaves(content)
    return found


def _check_group(group: h5py.Group, expected: Mapping[str, Any], size: int) -> None:
    names = list(group)
    if len(names) != len(expected) or set(names) != set(expected):
        raise ValueError(
            f"model.weights.h5: expected {', '.join(expected) or 'nothing'} in {group.name}, "
            f"found {reprlib.repr(names)}"
        )
    for name, content in expected.items():
        place = f"model.weights.h5: {group.name.rstrip('/')}/{name}"
        # Asked of the link, since following it may open another file.
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            raise ValueError(f"{place} is a link")
        if isinstance(content, Array):
            _check_array(group[name], content, size, place)
        elif isinstance(group[name], h5py.Group):
            _check_group(group[name], content, size)
        else:
            raise TypeError(f"{place}: expected a group, found an array")


def _check_array(found: Any, expected: Array, size: int, place: str) -> None:
    if not isinstance(found, h5py.Dataset):
        raise TypeError(f"{place}: expected an array, found a group")
    if found.shape != expected.shape or found.dtype.str not in expected.types:
        raise ValueError(
            f"{place}: expected shape {expected.shape} of {expected.types[0]}, "
            f"found {found.shape} of {found.dtype}"
        )
    # In one piece as it is, thus neither compressed, nor made up of others, nor in another file.
    is_plain = found.id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    start, stored = found.id.get_offset(), found.id.get_storage_size()
    if not is_plain or not start or stored != found.nbytes or start + stored > size:
        raise ValueError(
            f"{place}: expected {found.nbytes} bytes here, not compressed or elsewhere"
        )
    if len(found.attrs):
        raise ValueError(f"{place}: expected no attributes")
