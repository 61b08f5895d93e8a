"""Read and write IDX files, the format of MNIST: a header of sizes, then bytes, in gzip.

Source: the format's description on MNIST's page (LeCun, Cortes, Burges): two zero bytes, a
type code (8: unsigned byte), the number of dimensions, each dimension's size as a big-endian
32-bit integer, then the elements in C order.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.atomic import replacing
from pipeline.runtime.errors import PipelineError

UNSIGNED_BYTE = 8
CHUNK = 1 << 20  # bytes in memory at a time
# A data set of one's own is not trusted: a small file may promise, and hold, more than the memory
# can, since zeros compress to almost nothing.
LARGEST_SIDE = 1024  # pixels
MOST_ITEMS = 10_000_000
# DEFLATE cannot compress better than 1032:1 (zlib's technical notes), so a header that promises
# more is refused before any memory is allocated.
LARGEST_COMPRESSION_RATIO = 1032


class IdxError(PipelineError):
    """A file is not the IDX file that it should be."""


@dataclass(frozen=True)
class IdxFile:
    """An open IDX file of unsigned bytes, its header read and checked.

    Attributes:
        path: Where the file lies.
        shape: Sizes of the dimensions; the first counts the items.
    """

    path: Path
    shape: tuple[int, ...]
    _stream: gzip.GzipFile

    def chunks(self, size: int = CHUNK) -> Iterator[NDArray[np.uint8]]:
        """Yield all items in order, uint8 of shape (k, *shape[1:]).

        Args:
            size: Bytes of a chunk, at most, unless one item has more.

        Raises:
            IdxError: The file is damaged, or holds fewer or more bytes than its header promises.
        """
        item_size = math.prod(self.shape[1:])
        items = max(1, size // item_size)
        for start in range(0, self.shape[0], items):
            count = min(items, self.shape[0] - start)
            content = _read(self.path, self._stream, count * item_size)
            if len(content) < count * item_size:
                found = start * item_size + len(content)
                raise IdxError(
                    f"{self.path}: header promises {math.prod(self.shape)} bytes of data "
                    f"{self.shape}, found {found}"
                )
            yield np.frombuffer(content, np.uint8).reshape(count, *self.shape[1:])
        # At the end of the file, gzip also compares its checksum.
        if _read(self.path, self._stream, 1):
            raise IdxError(
                f"{self.path}: header promises {math.prod(self.shape)} bytes of data "
                f"{self.shape}, found more"
            )


@contextmanager
def open_idx(path: Path, dimensions: int) -> Iterator[IdxFile]:
    """Open a gzip-compressed IDX file of unsigned bytes and check its header.

    Args:
        path: The file.
        dimensions: How many dimensions it must have: 1 for labels, 3 for images.

    Raises:
        IdxError: The header is damaged, or promises more than the file or a data set can have.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file, gzip.GzipFile(fileobj=file) as stream:
        header = _read(path, stream, 4 + 4 * dimensions)
        if header[:2] != b"\0\0":
            raise IdxError(
                f"{path}: an IDX file begins with bytes 00 00, found {header[:2].hex()!r}"
            )
        if header[2:3] != bytes([UNSIGNED_BYTE]):
            raise IdxError(
                f"{path}: expected type code 08 (unsigned byte), found {header[2:3].hex()!r}"
            )
        if header[3:4] != bytes([dimensions]):
            raise IdxError(f"{path}: expected {dimensions} dimensions, found {header[3:4].hex()!r}")
        if len(header) < 4 + 4 * dimensions:
            raise IdxError(
                f"{path}: header of {4 + 4 * dimensions} bytes is cut off at {len(header)}"
            )
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
        if 0 in shape[1:]:
            raise IdxError(f"{path}: header promises items without a byte {shape}")
        compressed = path.stat().st_size
        if math.prod(shape) > compressed * LARGEST_COMPRESSION_RATIO:
            raise IdxError(
                f"{path}: header promises {math.prod(shape)} bytes of data {shape}, which "
                f"{compressed} compressed bytes cannot hold"
            )
        if shape[0] > MOST_ITEMS or max(shape[1:], default=0) > LARGEST_SIDE:
            raise IdxError(
                f"{path}: expected at most {MOST_ITEMS} items with sides of at most "
                f"{LARGEST_SIDE}, header promises {shape}"
            )
        yield IdxFile(path, shape, stream)


def _read(path: Path, stream: gzip.GzipFile, size: int) -> bytes:
    """Return up to ``size`` decompressed bytes, fewer only at the end of the file."""
    try:
        return stream.read(size)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise IdxError(f"{path}: damaged gzip file: {error}") from error


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as a gzip-compressed IDX file, the same bytes every time."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    with replacing(path) as partial:
        partial.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
