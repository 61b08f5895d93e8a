"""HDF5 files that break HDF5 itself: what comes of them, and within which bounds."""

import io
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import h5py
import numpy as np
import pytest
from conftest import ROOT

from pipeline import hdf5_arrays
from pipeline.hdf5_arrays import read_arrays
from pipeline.hdf5_reader import MOST_MEMORY, Array

TREE = {"empty": {}, "layers": {"0": Array((2, 3)), "1": Array((), ("<i8", "<i4"))}}
ARRAYS = {"layers/0": np.arange(6, dtype="f4").reshape(2, 3), "layers/1": np.array(7, "i4")}


@pytest.fixture(scope="module")
def good() -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as weights:
        weights.create_group("empty")
        for name, array in ARRAYS.items():
            weights[name] = array
    return file.getvalue()


def with_group_in_itself(content: bytes) -> bytes:
    """Make the root group's tree of links a node of level 1 that is its own child."""
    changed = bytearray(content)
    node = changed.index(b"TREE")
    changed[node + 5] = 1
    struct.pack_into("<Q", changed, node + 32, node)
    return bytes(changed)


def with_shared_type_in_itself(content: bytes) -> bytes:
    """Make an array's type one that is shared with the array itself."""
    changed = bytearray(content)
    with h5py.File(io.BytesIO(content), "r") as file:
        paths: list[str] = []
        file.visititems(lambda name, item: paths.append(name) if is_array(item) else None)
        header = h5py.h5o.get_info(file[paths[0]].id).addr
    assert changed[header] == 1  # version
    place = header + 16
    while True:
        kind, size = struct.unpack_from("<HH", changed, place)
        if kind == 3:  # a type
            break
        place += 8 + size
    changed[place + 4] |= 2  # shared
    struct.pack_into("<BBQ", changed, place + 8, 3, 2, header)
    return bytes(changed)


def is_array(item: object) -> bool:
    return isinstance(item, h5py.Dataset)


def with_endless_free_space(content: bytes) -> bytes:
    """Make the list of free space in the root group's heap of names go round in a circle."""
    changed = bytearray(content)
    heap = changed.index(b"HEAP")
    size, free, start = struct.unpack_from("<3Q", changed, heap + 8)
    free = free if free < size else size - 24
    struct.pack_into("<Q", changed, heap + 16, free)
    struct.pack_into("<2Q", changed, start + free, free, 16)
    return bytes(changed)


BREAKING: list[tuple[Callable[[bytes], bytes], str]] = [
    (with_group_in_itself, "HDF5 could not go on reading it: Segmentation fault"),
    (with_shared_type_in_itself, "HDF5 could not go on reading it: Segmentation fault"),
    (with_endless_free_space, "memory allocation failed"),
]


def test_arrays_come_in_the_order_of_the_tree_with_the_types_of_the_file(good: bytes) -> None:
    for found, stored in zip(read_arrays(good, [TREE]), ARRAYS.values(), strict=True):
        assert found.dtype == stored.dtype
        np.testing.assert_array_equal(found, stored)


def test_tree_that_fits_is_found_and_else_the_first_one_is_spoken_of(good: bytes) -> None:
    other = {"x": Array((1,))}
    assert len(read_arrays(good, [other, TREE])) == len(ARRAYS)
    with pytest.raises(ValueError, match=r"model\.weights\.h5: expected x in /, found"):
        read_arrays(good, [other, {"y": Array((1,))}])


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="needs Linux's bounds; would show that files that break HDF5 break nothing else",
)
@pytest.mark.parametrize(("craft", "fact"), BREAKING)
def test_file_that_breaks_hdf5_is_an_error_soon_and_in_bounded_memory(
    good: bytes, craft: Callable[[bytes], bytes], fact: str
) -> None:
    # Asked by a small process, whose own memory would else be counted as its child's.
    program = (
        "import resource, sys; from pipeline.hdf5_arrays import Array, read_arrays\n"
        f"try: read_arrays(sys.stdin.buffer.read(), [{TREE!r}])\n"
        "except ValueError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    begun = time.perf_counter()
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=craft(good),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    error, memory = result.stdout.decode().splitlines()
    assert fact in error
    assert time.perf_counter() - begun < 10
    assert int(memory) << 10 < MOST_MEMORY


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="needs Linux's bounds; would show that crafted files break HDF5 without them",
)
@pytest.mark.parametrize("craft", [with_group_in_itself, with_shared_type_in_itself])
def test_crafted_file_would_end_the_process_that_reads_it(
    good: bytes, craft: Callable[[bytes], bytes]
) -> None:
    program = (
        "import io, sys; from pipeline.hdf5_reader import Array, _bound, _read; _bound(0)\n"
        f"_read(sys.stdin.buffer.read(), [{TREE!r}])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        input=craft(good),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    # Where this begins to raise an error instead, a process of its own is needed less.
    assert result.returncode < 0


@pytest.mark.parametrize(
    ("program", "fact"),
    [
        ("import nothing_of_this_name", "exit status 1, ModuleNotFoundError: No module named"),
        ("raise SystemExit(9)", "exit status 9, no message"),
        ("import time; time.sleep(60)", "not read within 2 s"),
        ('print(\'[0, ["|O", "<i4"]]\')', r"expected <f4, found \|O"),
        ('print(\'[0, ["<f4", "<i4"]]\'); print("x" * 99)', "more than the arrays"),
    ],
)
def test_whatever_becomes_of_the_process_is_an_error(
    good: bytes, monkeypatch: pytest.MonkeyPatch, program: str, fact: str
) -> None:
    monkeypatch.setattr(hdf5_arrays, "PROGRAM", program)
    if "sleep" in program:
        monkeypatch.setattr(hdf5_arrays, "PATIENCE", 2)
    with pytest.raises(ValueError, match=fact):
        read_arrays(good, [TREE])


def test_time_of_a_processor_is_bounded(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such bound; there, only the clock ends the process")
    start, _, _ = hdf5_arrays.PROGRAM.rpartition("from ")
    endless = (
        f"{start}import pipeline.hdf5_reader as h; h.MOST_SECONDS = 1; h._bound(0)\nwhile 1: 1"
    )
    monkeypatch.setattr(hdf5_arrays, "PROGRAM", endless)
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="CPU time limit exceeded"):
        read_arrays(good, [TREE])
    assert time.perf_counter() - begun < 10


def test_process_loads_no_more_than_it_needs() -> None:
    program = (
        "import sys, pipeline.hdf5_reader; print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {"h5py", "numpy", "pipeline"} <= set(result.stdout.split())
    assert not {"keras", "tensorflow", "jax", "pydantic", "pandas"} & set(result.stdout.split())
