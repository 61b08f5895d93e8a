"""Arrays out of an HDF5 file that may be hostile, read by a process of its own.

HDF5 (1.14) follows whatever a file says of its own structure: a group that is its own child ends
the process, a list of free space that goes round in a circle takes all memory. So this happens
where nothing else is lost, and within bounds. HDF5 files may also refer to other files, and promise
arrays far larger than themselves.
"""

import json
import os
import reprlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.reason import UNREADABLE, reason

PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.hdf5_arrays import answer; answer()"
)
REFUSED = 3  # the exit status that says that the reason is on standard output
MOST_SECONDS = 30  # of a processor; a gigabyte takes 7
PATIENCE = 120  # seconds
MOST_MEMORY = 1 << 29  # bytes, beside four times the file; Python and h5py take 110 MB


class Array(NamedTuple):
    """What an array has to be; its type is one of some."""

    shape: tuple[int, ...]
    types: tuple[str, ...] = ("<f4",)


Tree = Mapping[str, Any]  # of groups, down to arrays, by name


def leaves(tree: Tree) -> list[Array]:
    """Return the arrays of a tree, in its order."""
    found = []
    for content in tree.values():
        found += [content] if isinstance(content, Array) else leaves(content)
    return found


def read_arrays(content: bytes, trees: Sequence[Tree]) -> list[NDArray[Any]]:
    """Return the arrays of an HDF5 file that holds, in itself, a tree and nothing else.

    Args:
        content: Of the file, which messages call model.weights.h5.
        trees: What it may hold. Where it is none of them, the reason is given for the first.

    Returns:
        The arrays in the order of their tree.

    Raises:
        ValueError: It holds something else or is damaged, or to read it takes too much.
    """
    result = _asked(json.dumps(trees).encode() + b"\n" + content)
    if result.returncode == REFUSED:
        raise ValueError(result.stdout.decode())
    if result.returncode:
        raise ValueError(f"model.weights.h5: HDF5 could not go on reading it: {_ending(result)}")
    return _parsed(result.stdout, trees)


def _asked(question: bytes) -> "subprocess.CompletedProcess[bytes]":
    """Return what became of a process that was given the question, and answered it or not."""
    try:
        return subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, str(Path(__file__).parents[1])],
            input=question,
            # Its many threads would take time, and space for addresses, which is bounded.
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"model.weights.h5: not read within {PATIENCE} s") from None


def _ending(result: "subprocess.CompletedProcess[bytes]") -> str:
    if result.returncode < 0:
        return signal.strsignal(-result.returncode) or f"signal {-result.returncode}"
    said = result.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"exit status {result.returncode}, {said or 'no message'}"


def _parsed(output: bytes, trees: Sequence[Tree]) -> list[NDArray[Any]]:
    """Return the arrays in what ``answer`` wrote, as far as HDF5 left it to ``answer``."""
    start = output.index(b"\n") + 1
    number, types = json.loads(output[:start])
    arrays: list[NDArray[Any]] = []
    for expected, found in zip(leaves(trees[number]), types, strict=True):
        if found not in expected.types:
            raise ValueError(f"model.weights.h5: expected {expected.types[0]}, found {found}")
        array = np.ndarray(expected.shape, found, output, start)
        arrays.append(array)
        start += array.nbytes
    return arrays


def answer() -> None:
    """Be that process: write the arrays of standard input to standard output, or why not."""
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
                resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


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
