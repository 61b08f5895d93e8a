"""The archive of a model, read in place of Keras, which takes only what came out of it.

Keras's safe mode refuses code in a file, but builds whatever the file names of Keras's own, in
any size, and reads whatever file the weights refer to. Here the file may hold a network of this
pipeline and nothing else: what it says of classes and sizes has to be what it holds of weights.
"""

import json
import struct
import zipfile
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from pipeline.model_config import parse_config
from pipeline.model_weights import read_weights
from pipeline.reason import UNREADABLE, reason
from pipeline.stage import PipelineError

MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]
LARGEST_ARCHIVE = 1 << 30  # bytes: 60 million weights, with all that the optimiser keeps of them
LARGEST_DIRECTORY = 1 << 10
END = struct.Struct("<4s4H2LH")  # of a zip archive: the record at its end
LOCATOR = 20  # bytes before it in which an archive of 64 bits announces another one
HEADER = 30  # bytes of a zip archive before the name of a member


def read_archive(path: Path) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Return what a .keras archive holds of a network as this pipeline trains them.

    Returns:
        What config.json says, and the arrays of the layers, then of the optimiser, in the order
        in which Keras keeps them (of an optimiser that has never trained, the first ones only).

    Raises:
        PipelineError: It is no such archive.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        try:
            # By any other name, Keras takes it for something else than it is taken for here.
            if path.suffix != ".keras":
                raise ValueError("expected a name that ends in .keras")
            config, weights = _read_members(file)
            arrays = read_weights(weights, parse_config(config))
            return json.loads(config), arrays
        except (*UNREADABLE, struct.error, zipfile.BadZipFile) as error:
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
        end = 0
        for member in found:
            _check_member(member)
            file.seek(end + HEADER - 2)
            extra = file.read(2)  # the length of what may stand between name and content
            if member.header_offset != end or extra != b"\0\0":
                raise ValueError(f"expected {member.filename} at byte {end} of the archive")
            end += HEADER + len(member.filename) + member.file_size
        if end != archive.start_dir:
            raise ValueError(f"expected nothing after byte {end} of the archive but its directory")
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
