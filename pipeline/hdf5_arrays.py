"""Arrays out of an HDF5 file that may be hostile, read by a process of its own.

HDF5 (1.14) follows whatever a file says of its own structure: a group that is its own child ends
the process, a list of free space that goes round in a circle takes all memory. So this happens
where nothing else is lost, and within bounds.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.hdf5_reader import REFUSED, Array, Tree

PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); from pipeline.hdf5_reader import answer; answer()"
)
PATIENCE = 120  # seconds


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
    if start != len(output):
        raise ValueError("model.weights.h5: more than the arrays came out of it")
    return arrays
