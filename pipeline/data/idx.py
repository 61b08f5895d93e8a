"""Read and write IDX files, the format of MNIST: a header of sizes, then numbers, mostly in gzip.

Source: the format's description on MNIST's page (LeCun, Cortes, Burges): two zero bytes, a
type code (8: unsigned byte, 12: 32-bit integer), the number of dimensions, each dimension's size
as a big-endian 32-bit integer, then the elements in C order, big-endian too.
"""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.atomic import replacing
from pipeline.runtime.errors import PipelineError

UNSIGNED_BYTE = 8
TYPES: "dict[int, np.dtype[Any]]" = {UNSIGNED_BYTE: np.dtype("u1"), 12: np.dtype(">i4")}
GZIP = b"\x1f\x8b"  # its first bytes (RFC 1952)
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
    """An open IDX file, its header read and checked.

    Attributes:
        path: Where the file lies.
        shape: Sizes of the dimensions; the first counts the items.
        dtype: Of the elements.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"
    _stream: BinaryIO

    def chunks(self, size: int = CHUNK) -> Iterator[NDArray[Any]]:
        """Yield all items in order, of shape (k, *shape[1:]); they can be read only once.

        Args:
            size: Bytes of a chunk, at most, unless one item has more.

        Raises:
            IdxError: The file is damaged, or holds fewer or more bytes than its header promises.
        """
        item_size = math.prod(self.shape[1:]) * self.dtype.itemsize
        items = max(1, size // item_size)
        for start in range(0, self.shape[0], items):
            count = min(items, self.shape[0] - start)
            content = _read(self.path, self._stream, count * item_size)
            if len(content) < count * item_size:
                found = start * item_size + len(content)
                raise IdxError(
                    f"{self.path}: header promises {item_size * self.shape[0]} bytes of data "
                    f"{self.shape}, found {found}"
                )
            yield np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])
        # At the end of the file, gzip also compares its checksum.
        if _read(self.path, self._stream, 1):
            raise IdxError(
                f"{self.path}: header promises {item_size * self.shape[0]} bytes of data "
                f"{self.shape}, found more"
            )


@contextmanager
def open_idx(path: Path, kind: str) -> Iterator[IdxFile]:
    """Open an IDX file, compressed by gzip or not, and check its header.

    Args:
        path: The file.
        kind: "images": bytes, in three dimensions. "labels": bytes or integers, in one dimension,
            or in two where each item has several.

    Raises:
        IdxError: The header is damaged, or promises more than the file or a data set can have.
        OSError: The file cannot be opened.
    """
    types, dimensions = ({UNSIGNED_BYTE}, {3}) if kind == "images" else (set(TYPES), {1, 2})
    with path.open("rb") as file, ExitStack() as stack:
        is_compressed = file.peek(2)[:2] == GZIP
        stream: Any = stack.enter_context(gzip.GzipFile(fileobj=file)) if is_compressed else file
        header = _read(path, stream, 4)
        if header[:2] != b"\0\0":
            raise IdxError(
                f"{path}: an IDX file begins with bytes 00 00, found {header[:2].hex()!r}"
            )
        if not types.issuperset(header[2:3]) or len(header) < 4:  # noqa: PLR2004 (as read above)
            codes = " or ".join(f"{code:02x}" for code in sorted(types))
            raise IdxError(f"{path}: expected type code {codes}, found {header[2:3].hex()!r}")
        if header[3] not in dimensions:
            numbers = " or ".join(map(str, sorted(dimensions)))
            raise IdxError(
                f"{path}: expected {kind}, of {numbers} dimensions, found {header[3:4].hex()!r}"
            )
        sizes = _read(path, stream, 4 * header[3])
        if len(sizes) < 4 * header[3]:
            raise IdxError(
                f"{path}: header of {4 + 4 * header[3]} bytes is cut off at {4 + len(sizes)}"
            )
        dtype, shape = TYPES[header[2]], tuple(np.frombuffer(sizes, ">u4").tolist())
        if 0 in shape[1:]:
            raise IdxError(f"{path}: header promises items without a byte {shape}")
        length = path.stat().st_size
        most = length * LARGEST_COMPRESSION_RATIO if is_compressed else length
        if math.prod(shape) * dtype.itemsize > most:
            raise IdxError(
                f"{path}: header promises {math.prod(shape) * dtype.itemsize} bytes of data "
                f"{shape}, which a file of {length} bytes cannot hold"
            )
        if shape[0] > MOST_ITEMS or max(shape[1:], default=0) > LARGEST_SIDE:
            raise IdxError(
                f"{path}: expected at most {MOST_ITEMS} items with sides of at most "
                f"{LARGEST_SIDE}, header promises {shape}"
            )
        yield IdxFile(path, shape, dtype, stream)


def _read(path: Path, stream: BinaryIO, size: int) -> bytes:
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
