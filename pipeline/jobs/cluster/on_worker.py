"""What is called on a worker of a Dask cluster, where it travels by value, with what it uses.

A worker has a store: a folder in which files lie under their MD5, and each driver has a folder for
its sandboxes. A driver is known by Dask's name of its client.
"""

import os
import shutil
import tarfile
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.jobs.environment import Environment, this_environment
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.sandbox import CHUNK, FILES, OUTPUT, below, md5, remove_sandbox
from pipeline.jobs.worker import Cancelled, run

DRIVER = "driver-"
PACKED = "packed.tar"
YOUNG = 60.0  # seconds in which the folder of a driver is not taken for that of one that is gone

# A file's MD5, the offset of these bytes in it, and whether they are its last.
Part = tuple[str, int, bytes, bool]


def store() -> Path:
    """Return the store of the worker that this is called on."""
    from distributed import get_worker

    folder = Path(get_worker().local_directory) / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def describe_worker(drivers: Collection[str]) -> tuple[Environment, str]:
    """Return the environment and the store of a worker; what other drivers have left there goes.

    Args:
        drivers: All that the scheduler knows.

    Raises:
        OSError: The worker's disk is full, for instance.
    """
    for folder in store().glob(f"{DRIVER}*"):
        is_young = time.time() - folder.stat().st_mtime < YOUNG
        if folder.name.removeprefix(DRIVER) not in drivers and not is_young:
            shutil.rmtree(folder, ignore_errors=True)
    return this_environment(), str(store())


def remove_driver(driver: str, dask_worker: Any) -> None:
    """Remove all that a driver has at a worker, except what is known by its MD5.

    Args:
        driver: Dask's name of its client.
        dask_worker: The worker, which Dask gives to an argument of this name.
    """
    shutil.rmtree(
        Path(dask_worker.local_directory, "jobs", f"{DRIVER}{driver}"), ignore_errors=True
    )


def work(job: Job, driver: str, needs_gpu: bool) -> JobResult:  # noqa: FBT001
    """Run a job, if it needs one on a GPU that no other job of this worker has."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        """Return whether the worker goes on, and the scheduler has not let go of the task."""
        task = worker.state.tasks.get(key)
        running = worker.status.name in {"running", "paused"}
        return running and task is not None and task.state == "executing"

    folder = store() / f"{DRIVER}{driver}"
    try:
        folder.mkdir(exist_ok=True)
        if not needs_gpu:
            return run(job, folder, wanted)
        with _free_gpu(worker) as gpu:
            job = replace(job, variables=job.variables | {"CUDA_VISIBLE_DEVICES": gpu})
            return run(job, folder, wanted)
    except Cancelled:
        return JobResult("broken", "the worker ends")
    except (OSError, IndexError) as error:
        return JobResult("broken", str(error))


@contextmanager
def _free_gpu(worker: Any) -> Iterator[str]:
    """Yield the name of a GPU that no other job of this worker has meanwhile.

    Raises:
        IndexError: The worker offers more than it sees.
    """
    taken: dict[int, object] = worker.__dict__.setdefault("gpus_of_jobs", {})
    mine = object()
    # `setdefault` is one step, whatever other threads do.
    number = next(number for number in count() if taken.setdefault(number, mine) is mine)
    try:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else [str(one) for one in range(number + 1)]
        if number >= len(devices):
            raise IndexError(f"it offers GPU {number}, but CUDA_VISIBLE_DEVICES is {visible}")
        yield devices[number]
    finally:
        del taken[number]


def not_in_store(digests: list[str]) -> list[str]:
    """Return those MD5 of which this worker has no file."""
    return [digest for digest in digests if not (store() / digest).exists()]


def receive(parts: Iterable[Part], driver: str) -> list[str]:
    """Take parts of files that are sent to this worker, those of a file one after the other.

    Returns:
        The MD5 of the files that have ended and are other ones.
    """
    wrong = []
    folder = store() / f"{DRIVER}{driver}"
    folder.mkdir(exist_ok=True)
    for digest, offset, chunk, last in parts:
        partial = folder / f"{digest}.partial"
        with partial.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(chunk)
        if last and md5(partial) == digest:
            partial.replace(store() / digest)
        elif last:
            partial.unlink()
            wrong.append(digest)
    return wrong


def pack(sandbox: str, outs: Iterable[str]) -> str:
    """Put what a job has printed and written into one file, and return its MD5."""
    packed = Path(sandbox, PACKED)
    with tarfile.open(packed, "w") as tar:
        for path in (OUTPUT, *(f"{FILES}/{out}" for out in outs)):
            tar.add(Path(sandbox, path), path)
    return md5(packed)


def read_packed(sandbox: str, offset: int) -> bytes:
    """Return a part of that file, from an offset on; at its end, nothing."""
    with Path(sandbox, PACKED).open("rb") as file:
        file.seek(offset)
        return file.read(CHUNK)


def keep(sandbox: str, outs: Iterable[str]) -> None:
    """Move what a job has written to the store, and remove its sandbox."""
    for out in outs:
        for path in below(Path(sandbox, FILES, out)):
            if path.is_file() and not path.is_symlink():
                path.replace(store() / md5(path))
    remove_sandbox(sandbox)
