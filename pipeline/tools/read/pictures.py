"""Which pictures to read, and their readings, by all cores."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.reading.opening import suffixes
from pipeline.reading.reader import Reader
from pipeline.reading.verdict import Reading
from pipeline.runtime.errors import PipelineError, readable

STANDARD_INPUT = "-"
MOST_BYTES = 200 * 2**20  # of standard input
FEW = 50  # pictures that are read before other processes would have started
AT_ONCE = 8  # pictures that a process takes


class Picture(NamedTuple):
    """A picture and what it says.

    Attributes:
        name: As it was asked for.
        reading: None if the picture could not be read.
        problem: Why it could not, else empty.
    """

    name: str
    reading: Reading | None
    problem: str


def files_in(names: Sequence[str]) -> list[str]:
    """Return the files to read: each one that is named, and all pictures in folders.

    Raises:
        PipelineError: There is no picture in a folder.
    """
    found: list[str] = []
    for name in names:
        if name == STANDARD_INPUT or not Path(name).is_dir():
            found.append(name)
            continue
        known = suffixes()
        inside = sorted(str(path) for path in Path(name).rglob("*") if path.suffix.lower() in known)
        if not inside:
            raise PipelineError(f"{name}: a folder without pictures ({', '.join(sorted(known))})")
        found += inside
    return found


def readings(
    files: Sequence[str], reader: Reader, model: Path, options: dict[str, Any]
) -> Iterator[Picture]:
    """Yield the readings of pictures in their order; a picture that cannot be read stops none.

    Args:
        files: Their names, "-" for standard input.
        reader: Reads them if they are few.
        model: The folder of its network: if they are many, each process makes a reader.
        options: Of ``Reader.read``.
    """
    processes = min(os.cpu_count() or 1, 1 + len(files) // FEW)
    if processes == 1:
        yield from (_read(name, reader, options) for name in files)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of each process
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_prepare, initargs=(model, options)
    ) as pool:
        try:
            yield from pool.map(_read_here, files, chunksize=AT_ONCE)
        finally:
            pool.shutdown(cancel_futures=True)


_here: dict[str, Any] = {}  # what a process needs for each picture


def _prepare(model: Path, options: dict[str, Any]) -> None:
    _here.update(reader=Reader(model), options=options)


def _read_here(name: str) -> Picture:
    return _read(name, _here["reader"], _here["options"])


def _read(name: str, reader: Reader, options: dict[str, Any]) -> Picture:
    try:
        return Picture(name, reader.read(_source(name), **options), "")
    except (PipelineError, OSError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        return Picture(name, None, readable(problem or str(error)))
    except Exception as error:  # noqa: BLE001 (a fault with one picture is none of the others')
        return Picture(name, None, readable(f"unexpected {type(error).__name__}: {error}"))


def _source(name: str) -> Path | bytes:
    if name != STANDARD_INPUT:
        return Path(name)
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PipelineError(f"more than {MOST_BYTES} bytes")
    return content
