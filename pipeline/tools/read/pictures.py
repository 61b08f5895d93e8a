"""Which pictures to read, and their readings, by all cores."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

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
        PipelineError: Standard input cannot be read.
    """
    found: list[Task] = []
    for name in names:
        if name == STANDARD_INPUT:
            found.append(Task(name, _standard_input(), options))
        elif os.path.isdir(name):  # noqa: PTH112 (Path.is_dir raises for names that are too long)
            found += [Task(str(path), path, options) for path in _pictures_in(Path(name))]
        else:
            found.append(Task(name, Path(name), options))
    return found


def _pictures_in(folder: Path) -> list[Path]:
    """Return the pictures in a folder, and the folders in it that cannot be looked into.

    If there are none, the folder itself: reading it says so.
    """
    closed: list[Path] = []
    known = suffixes()
    inside = [
        Path(place, name)
        for place, _, names in os.walk(
            folder, onerror=lambda error: closed.append(Path(error.filename))
        )
        for name in names
        if Path(name).suffix.lower() in known and not name.startswith(".")
    ]
    return sorted(inside + closed) or [folder]


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
        with threadpool_limits(1):  # more threads would only wait for each other
            yield from (_read(task, reader) for task in tasks)
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of each process
    done, at_once = 0, AT_ONCE
    while done < len(tasks):
        before = done
        try:
            for picture in _by_processes(tasks[done:], reader, processes, at_once):
                yield picture
                done += 1
        except BrokenProcessPool:
            # One at a time, the picture that a process dies of is the first that is missing.
            if at_once == 1 and done == before:
                problem = "the process that read it was killed; perhaps memory was short"
                yield Picture(tasks[done].name, None, problem)
                done += 1
            at_once = 1


def _by_processes(
    tasks: Sequence[Task], reader: Reader, processes: int, at_once: int
) -> Iterator[Picture]:
    pool = ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=_prepare, initargs=(reader,)
    )
    try:
        with _interruption_waits():
            found = pool.map(_read_here, tasks, chunksize=at_once)
        yield from found
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interruption_waits() -> Iterator[None]:
    """Let Ctrl-C wait; processes that are started meanwhile never get it, and are ended by us."""
    if sys.platform == "win32":
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


_here: dict[str, Reader] = {}  # the reader of a process


def _prepare(reader: Reader) -> None:
    _here["reader"] = reader
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait until the process is gone that asked for pictures, and end: nobody else does."""
    parent = parent_process()
    if parent:
        parent.join()
        os._exit(1)


def _read_here(task: Task) -> Picture:
    return _read(task, _here["reader"])


def _read(task: Task, reader: Reader) -> Picture:
    try:
        if isinstance(task.source, Path) and os.path.isdir(task.source):  # noqa: PTH112 (as above)
            os.scandir(task.source).close()  # an error where it is closed to us
            problem = f"a folder without pictures ({', '.join(sorted(suffixes()))})"
            return Picture(task.name, None, problem)
        return Picture(task.name, reader.read(task.source, **task.options), "")
    except (PipelineError, OSError) as error:
        told = error.strerror if isinstance(error, OSError) else None
        return Picture(task.name, None, readable(told or str(error)))
    except Exception as error:  # noqa: BLE001 (a fault with one picture is none of the others')
        return Picture(task.name, None, readable(f"unexpected {type(error).__name__}: {error}"))
