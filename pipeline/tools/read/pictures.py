"""Which pictures to read, and their readings, by all cores."""

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
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


class Task(NamedTuple):
    """A picture to read.

    Attributes:
        name: As it was asked for.
        source: Where it is, or its content.
        options: Of ``Reader.read``.
    """

    name: str
    source: Path | bytes
    options: dict[str, Any]


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


def tasks_of(names: Sequence[str], options: dict[str, Any]) -> list[Task]:
    """Return what to read: each file that is named, all pictures in folders, standard input.

    Raises:
        PipelineError: There is no picture in a folder, or standard input cannot be read.
    """
    found: list[Task] = []
    for name in names:
        if name == STANDARD_INPUT:
            found.append(Task(name, _standard_input(), options))
        elif os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            found += [Task(str(path), path, options) for path in _pictures_in(name)]
        else:
            found.append(Task(name, Path(name), options))
    return found


def _pictures_in(folder: str) -> list[Path]:
    known = suffixes()
    inside = sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
    )
    if not inside:
        listed = ", ".join(sorted(known))
        raise PipelineError(f"{readable(folder)}: a folder without pictures ({listed})")
    return inside


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(MOST_BYTES + 1) if sys.stdin else b""
    if len(content) > MOST_BYTES:
        raise PipelineError(f"standard input: more than {MOST_BYTES} bytes")
    return content


def readings(tasks: Sequence[Task], reader: Reader) -> Iterator[Picture]:
    """Yield the readings of pictures in their order; a picture that cannot be read stops none.

    Args:
        tasks: What to read.
        reader: Reads them; if they are many, a copy of it in each process.
    """
    processes = min(os.cpu_count() or 1, 1 + len(tasks) // FEW)
    if processes == 1:
        yield from (_read(task, reader) for task in tasks)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of each process
    done = 0
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_prepare, initargs=(reader,)
    ) as pool:
        try:
            for picture in pool.map(_read_here, tasks, chunksize=AT_ONCE):
                yield picture
                done += 1
        except BrokenProcessPool:
            problem = "a process that read pictures was killed; perhaps memory was short"
            yield from (Picture(task.name, None, problem) for task in tasks[done:])
        finally:
            pool.shutdown(cancel_futures=True)


_here: dict[str, Reader] = {}  # the reader of a process


def _prepare(reader: Reader) -> None:
    _here["reader"] = reader


def _read_here(task: Task) -> Picture:
    return _read(task, _here["reader"])


def _read(task: Task, reader: Reader) -> Picture:
    try:
        return Picture(task.name, reader.read(task.source, **task.options), "")
    except (PipelineError, OSError) as error:
        problem = error.strerror if isinstance(error, OSError) else str(error)
        return Picture(task.name, None, readable(problem or str(error)))
    except Exception as error:  # noqa: BLE001 (a fault with one picture is none of the others')
        return Picture(task.name, None, readable(f"unexpected {type(error).__name__}: {error}"))
