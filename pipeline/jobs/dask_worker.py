"""What is called on a worker of a Dask cluster, where it travels by value, with what it uses."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.jobs.environment import Environment, this_environment
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.sandbox import FILES, md5, remove_sandbox
from pipeline.jobs.worker import run


def store(worker: Any = None) -> Path:
    """Return the folder of a worker in which jobs run, and files that were sent lie.

    Args:
        worker: Dask's object; None for the one that this is called on.
    """
    from distributed import get_worker

    folder = Path((worker or get_worker()).local_directory) / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def describe_worker(dask_worker: Any) -> tuple[Environment, str]:
    """Return what this machine says of itself, and the store of this worker, which Dask gives."""
    return this_environment(), str(store(dask_worker))


def work(job: Job, gpu: int | None) -> JobResult:
    """Run a job; with a GPU given, on that one of those that this worker sees."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        """Return whether the worker goes on, and the scheduler has not let go of the task."""
        task = worker.state.tasks.get(key)
        running = worker.status.name in {"running", "paused"}
        return running and task is not None and task.state == "executing"

    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        devices = visible.split(",") if visible else [str(number) for number in range(gpu + 1)]
        if gpu >= len(devices):
            return JobResult(
                "broken", f"it offers GPU {gpu}, but CUDA_VISIBLE_DEVICES is {visible}"
            )
        device = devices[gpu]
        job = replace(job, variables=job.variables | {"CUDA_VISIBLE_DEVICES": device})
    return run(job, store(), wanted)


def keep(result: JobResult) -> None:
    """Keep what a job wrote, to be found by its MD5, and remove the sandbox."""
    for path, (digest, _) in result.files.items():
        written = Path(result.sandbox, FILES, path)
        if not written.is_symlink():
            written.replace(store() / digest)
    remove_sandbox(result.sandbox)


def not_in_store(digests: list[str]) -> list[str]:
    """Return those MD5 of which this worker has no file."""
    return [digest for digest in digests if not (store() / digest).exists()]


def receive(digest: str, offset: int, chunk: bytes, last: bool) -> bool:  # noqa: FBT001
    """Take a part of a file that is sent to this worker, to be found by its MD5.

    Returns:
        False if it was the last part and the file has another MD5.
    """
    partial = store() / f"{digest}.partial"
    with partial.open("r+b" if offset else "wb") as file:
        file.seek(offset)
        file.write(chunk)
    if not last:
        return True
    whole = md5(partial) == digest
    partial.replace(partial.with_suffix("")) if whole else partial.unlink()
    return whole
