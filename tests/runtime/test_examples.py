import struct
from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import as_squares, load_array, load_examples


def save(folder: Path, images: object, labels: object) -> tuple[Path, Path]:
    np.save(folder / "images.npy", np.asarray(images, np.float32))
    np.save(folder / "labels.npy", np.asarray(labels, np.int32))
    return folder / "images.npy", folder / "labels.npy"


def test_arrays_come_back(tmp_path: Path) -> None:
    images, labels = load_examples(*save(tmp_path, np.ones((3, 4), np.float32), np.arange(3)))
    assert (images.shape, labels.tolist()) == ((3, 4), [0, 1, 2])


@pytest.mark.parametrize(
    ("images", "labels"), [((3, 4), (2,)), ((3, 2, 2), (3,)), ((3, 4), (3, 1))]
)
def test_arrays_that_do_not_belong_together_are_refused(
    tmp_path: Path, images: tuple[int, ...], labels: tuple[int, ...]
) -> None:
    paths = save(tmp_path, np.ones(images), np.ones(labels))
    with pytest.raises(PipelineError, match=r"images\.npy: expected shape"):
        load_examples(*paths)


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(16)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "EOF: reading magic string"),
        (npy("("), "EOF in multi-line"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99,)}"), "mmap length is greater"),
        # Pickled objects are never loaded, and an archive of arrays is none.
        (npy("{'descr': 'O', 'fortran_order': False, 'shape': (1,)}"), "Python objects in dtype"),
        (b"PK\3\4", "magic string"),
    ],
)
def test_damaged_file_is_told_in_one_line(tmp_path: Path, content: bytes, fact: str) -> None:
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(PipelineError, match=rf"images\.npy: damaged .*{fact}") as caught:
        load_array(tmp_path / "images.npy", np.float32)
    assert str(caught.value).isprintable()


def test_elements_of_another_type_are_refused(tmp_path: Path) -> None:
    images, labels = save(tmp_path, np.ones((3, 4)), np.arange(3))
    np.save(images, np.full((3, 4), "x"))
    with pytest.raises(PipelineError, match=r"images\.npy: expected elements of float32"):
        load_examples(images, labels)


def test_squares_have_the_rows_of_pixels_one_below_the_other() -> None:
    flat = np.arange(18, dtype=np.float32).reshape(2, 9)
    squares = as_squares(flat, "images.npy")
    assert squares.shape == (2, 3, 3)
    assert squares[1].tolist() == [[9, 10, 11], [12, 13, 14], [15, 16, 17]]
    assert as_squares(flat[:0], "images.npy").shape == (0, 3, 3)


@pytest.mark.parametrize("shape", [(2, 8), (2, 10), (2, 3, 3), (9,)])
def test_what_is_not_flattened_squares_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        PipelineError, match=r"images\.npy: expected flattened square images, found"
    ):
        as_squares(np.ones(shape, np.float32), "images.npy")
