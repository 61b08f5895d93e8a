import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.data.idx import IdxError, open_idx, write_idx

IMAGES = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)


def read(path: Path, kind: str, size: int = 32) -> NDArray[np.uint8]:
    with open_idx(path, kind) as file:
        chunks = list(file.chunks(size))
        return np.concatenate(chunks) if chunks else np.empty(file.shape, np.uint8)


def header(*sizes: int, code: int = 8) -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, code, len(sizes), *sizes)


def compressed(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


@given(
    arrays(np.uint8, st.tuples(st.integers(0, 9), st.integers(1, 5), st.integers(1, 5))),
    st.integers(1, 50),
)
def test_what_is_written_is_read_back_in_chunks_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, images: NDArray[np.uint8], size: int
) -> None:
    path = tmp_path_factory.mktemp("idx") / "images.gz"
    write_idx(path, images)
    np.testing.assert_array_equal(read(path, "images", size), images)


def test_chunks_have_at_most_as_many_bytes_but_for_an_item_that_has_more(tmp_path: Path) -> None:
    write_idx(tmp_path / "images.gz", IMAGES)
    for size, lengths in ((1, [1] * 5), (16, [1] * 5), (47, [2, 2, 1]), (80, [5]), (1000, [5])):
        with open_idx(tmp_path / "images.gz", "images") as file:
            assert [len(chunk) for chunk in file.chunks(size)] == lengths


def test_format_is_the_one_of_mnist(tmp_path: Path) -> None:
    path = compressed(tmp_path / "labels.gz", b"\0\0\x08\x01\0\0\0\x03\x05\x00\x04")
    assert read(path, "labels").tolist() == [5, 0, 4]


@given(arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 8))), st.integers(1, 50))
def test_labels_may_be_integers_several_an_image_and_need_not_be_compressed(
    tmp_path_factory: pytest.TempPathFactory, labels: NDArray[np.int32], size: int
) -> None:
    path = tmp_path_factory.mktemp("idx") / "labels"
    content = header(*labels.shape, code=12) + labels.astype(">i4").tobytes()
    for form in (content, gzip.compress(content)):
        path.write_bytes(form)
        np.testing.assert_array_equal(read(path, "labels", size), labels)
        with pytest.raises(IdxError, match="expected type code 08, found '0c'"):
            read(path, "images")
    path.write_bytes(content[:-1])
    with pytest.raises(IdxError, match=r"cannot hold|found \d"):
        read(path, "labels")


def test_every_truncation_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    write_idx(path, IMAGES)
    whole, content = path.read_bytes(), header(5, 4, 4) + IMAGES.tobytes()
    for damaged in (
        *(whole[:length] for length in range(len(whole))),
        *(gzip.compress(content[:length]) for length in range(len(content))),
        *(content[:length] for length in range(len(content))),  # not compressed
    ):
        path.write_bytes(damaged)
        with pytest.raises(IdxError, match=r"images\.gz: "):
            read(path, "images")


def test_every_damaged_bit_of_the_header_is_noticed(tmp_path: Path) -> None:
    whole = header(5, 4, 4) + IMAGES.tobytes()
    for bit in range(8 * len(header(5, 4, 4))):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path = compressed(tmp_path / "images.gz", bytes(content))
        with pytest.raises(IdxError, match=r"images\.gz: "):
            read(path, "images")


def test_damaged_bits_of_the_compressed_file_are_noticed_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "images.gz"
    write_idx(path, IMAGES)
    whole = path.read_bytes()
    harmless = set()
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = read(path, "images")
        except IdxError:
            continue
        np.testing.assert_array_equal(found, IMAGES)
        harmless.add(bit // 8)
    # The content depends neither on flags, time, level and system, nor on the bits that fill up
    # the last byte before checksum and length.
    assert harmless <= {*range(3, 10), len(whole) - 9}


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", "begins with bytes 00 00"),
        (b"\0\0\x0d\x03" + bytes(12), "expected type code 08"),
        (header(5), "expected images, of 3 dimensions, found '01'"),
        (
            header(5, 4, 4) + IMAGES.tobytes() + b"\0",
            r"promises 80 bytes of data \(5, 4, 4\), found more",
        ),
        (header(6, 4, 4) + IMAGES.tobytes(), "promises 96 bytes of data .*, found 80"),
        (header(2**31, 28, 28) + bytes(784), "promises 1683627180032 bytes .* cannot hold"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "cannot hold"),
        (header(2**32 - 1, 0, 0), "items without a byte"),  # four thousand million chunks
        (header(3, 28, 0), "items without a byte"),
        (
            header(1, 1, 1025) + bytes(1025),
            r"sides of at most 1024, header promises \(1, 1, 1025\)",
        ),
        (header(10_000_001, 1, 1) + bytes(10_000_001), "at most 10000000 items"),
        (b"<!DOCTYPE html><html></html>", "begins with bytes 00 00, found '3c21'"),
    ],
)
def test_error_gives_the_fact(tmp_path: Path, content: bytes, fact: str) -> None:
    path = compressed(tmp_path / "images.gz", content)
    with pytest.raises(IdxError, match=rf"images\.gz: .*{fact}"):
        read(path, "images")


def test_gzip_bomb_is_read_no_further_than_its_header_promises(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    bomb = gzip.compress(header(3) + b"\1\2\3") + gzip.compress(bytes(1 << 26)) * 64
    path.write_bytes(bomb)  # 4 GiB, in a file of 4 MiB
    with pytest.raises(IdxError, match=r"promises 3 bytes .*, found more"):
        read(path, "labels")


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    write_idx(tmp_path / "first.gz", IMAGES)
    write_idx(tmp_path / "second.gz", IMAGES)
    assert (tmp_path / "first.gz").read_bytes() == (tmp_path / "second.gz").read_bytes()
