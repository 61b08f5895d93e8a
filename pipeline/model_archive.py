"""The archive of a model, looked through before Keras reads it.

Keras's safe mode refuses code in a file, but builds whatever the file names of Keras's own, in
any size, and reads whatever file the weights refer to. Here the file may hold a network of this
pipeline and nothing else: what it says of classes and sizes has to be what it holds of weights.
"""

import struct
import zipfile
from pathlib import Path
from typing import IO

from pipeline.model_config import parse_config
from pipeline.model_weights import check_weights
from pipeline.reason import reason
from pipeline.stage import PipelineError

MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]
LARGEST_ARCHIVE = 1 << 30  # 60 million weights, with all that the optimiser keeps of them
LARGEST_DIRECTORY = 1 << 10
END = struct.Struct("<4s4H2LH")  # of a zip archive: the record at its end
LOCATOR = 20  # bytes before it in which an archive of 64 bits announces another one
# What zipfile, json and h5py raise for files that are damaged.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RuntimeError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


def check_archive(path: Path) -> None:
    """Make sure that a file is a .keras archive of a network as this pipeline trains them.

    Raises:
        PipelineError: It is not.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        try:
            # Keras goes by the name, and HDF5 would find a file of its own within the archive.
            if path.suffix != ".keras":
                raise ValueError("expected a name that ends in .keras")
            config, weights = _read_members(file)
            check_weights(weights, parse_config(config))
        except UNREADABLE as error:
            raise PipelineError(f"{path}: not a model of this pipeline: {reason(error)}") from error


def _read_members(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Return what the archive's config.json and model.weights.h5 hold."""
    size = file.seek(0, 2)
    if size > LARGEST_ARCHIVE:
        raise ValueError(f"expected at most {LARGEST_ARCHIVE} bytes, found {size}")
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        found = archive.infolist()
        # Under this name zipfile looks for a file; the other one ends at a null character.
        names = [member.orig_filename for member in found]
        if names != MEMBERS:
            raise ValueError(f"expected an archive of {', '.join(MEMBERS)}, found {names}")
        for member in found:
            _check_member(member)
        if sum(member.file_size for member in found) > size:
            raise ValueError(f"its members are larger than the {size} bytes of the archive")
        return archive.read(MEMBERS[1]), archive.read(MEMBERS[2])


def _check_directory(file: IO[bytes], size: int) -> None:
    """Make sure that the archive's directory is short, since zipfile reads all of it."""
    file.seek(max(0, size - LOCATOR - END.size))
    tail = file.read()
    if tail[-END.size :][:4] != b"PK\5\6" or tail.startswith(b"PK\6\7"):
        raise ValueError("expected a zip archive, of 32 bits and without a comment")
    *_, entries, directory, _, _ = END.unpack(tail[-END.size :])
    if entries != len(MEMBERS) or directory > LARGEST_DIRECTORY:
        raise ValueError(f"expected an archive of {len(MEMBERS)} files, found {entries}")


def _check_member(member: zipfile.ZipInfo) -> None:
    """Make sure that a member is a plain file, stored as it is."""
    kind = member.external_attr >> 28  # the uppermost bits of Unix's mode: 0 unset, 8 a file
    if kind not in {0, 8} or member.is_dir():
        raise ValueError(f"{member.filename} is not a file but a link or a folder")
    if member.flag_bits or member.compress_type or member.file_size != member.compress_size:
        raise ValueError(f"expected {member.filename} neither compressed nor encrypted")
