"""Reads an HDF5 file that may be hostile: what the process of ``pipeline.hdf5_arrays`` does.

HDF5 files may refer to other files, and promise arrays far larger than themselves.
"""

import json
import reprlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.reason import UNREADABLE, reason

REFUSED = 3  # the exit status that says that the reason is on standard output
MOST_SECONDS = 30  # of a processor; a gigabyte takes 7
MOST_MEMORY = 1 << 29  # bytes, beside four times the file; Python and h5py take 110 MB


class Array(NamedTuple):
    """What an array has to be; its type is one of some."""

    shape: tuple[int, ...]
    types: tuple[str, ...] = ("<f4",)


Tree = Mapping[str, Any]  # of groups, down to arrays, by name


def answer() -> None:
    """Write the arrays of the file on standard input to standard output, or why not.

    Before the file comes a line with the trees that it may hold, as JSON. Before the arrays goes
    one with the number of the tree that it holds, and their types.
    """
    trees = [_as_tree(tree) for tree in json.loads(sys.stdin.buffer.readline())]
    content = sys.stdin.buffer.read()
    _bound(len(content))
    try:
        number, arrays = _read(content, trees)
    except UNREADABLE as error:
        sys.stdout.buffer.write(reason(error).encode())
        sys.exit(REFUSED)
    types = [array.dtype.str for array in arrays]
    sys.stdout.buffer.write(json.dumps([number, types]).encode() + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(array.tobytes())


def _as_tree(value: Any) -> Any:
    """Return a tree out of what JSON makes of it."""
    if isinstance(value, list):
        return Array(tuple(value[0]), tuple(value[1]))
    return {name: _as_tree(below) for name, below in value.items()}


def _bound(size: int) -> None:
    """Let the system end this process if it takes more than a file of a size may need."""
    if sys.platform != "win32":
        import resource

        bounds = {
            resource.RLIMIT_AS: MOST_MEMORY + 4 * size,
            resource.RLIMIT_CPU: MOST_SECONDS,
            resource.RLIMIT_CORE: 0,
        }
        for kind, most in bounds.items():
            # Where a lower bound is set already, or on macOS, which cannot bound memory.
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most + 1))


def _read(content: bytes, trees: Sequence[Tree]) -> tuple[int, list[NDArray[Any]]]:
    """Return which of the trees a file holds, and its arrays."""
    errors = []
    with h5py.File(BytesIO(content), "r") as file:
        for number, tree in enumerate(trees):
            try:
                return number, _read_group(file, tree, len(content))
            except ValueError as error:
                errors.append(error)
    raise errors[0]


def _read_group(group: h5py.Group, expected: Tree, size: int) -> list[NDArray[Any]]:
    names = list(group)
    if len(names) != len(expected) or set(names) != set(expected):
        raise ValueError(
            f"model.weights.h5: expected {', '.join(expected) or 'nothing'} in {group.name}, "
            f"found {reprlib.repr(names)}"
        )
    arrays = []
    for name, content in expected.items():
        place = f"model.weights.h5: {group.name.rstrip('/')}/{name}"
        # Asked of the link, since following it may open another file.
        if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
            raise ValueError(f"{place} is a link")
        if isinstance(content, Array):
            arrays.append(_read_array(group[name], content, size, place))
        elif isinstance(group[name], h5py.Group):
            arrays += _read_group(group[name], content, size)
        else:
            raise TypeError(f"{place}: expected a group, found an array")
    return arrays


def _read_array(found: Any, expected: Array, size: int, place: str) -> NDArray[Any]:
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
    return np.asarray(found[()])
