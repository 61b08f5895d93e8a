"""Files on their way to a worker and back, in parts, each whole file checked by its MD5."""

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.jobs import dask_worker
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import WorkerLost
from pipeline.jobs.sandbox import CHUNK, FILES, OUTPUT, make_executable, md5, read
from pipeline.runtime.errors import PipelineError


class Call(Protocol):
    """Calls a function on one worker, and returns what it returns."""

    def __call__(self, function: Any, *arguments: Any) -> Any: ...  # noqa: D102


def send(call: Call, job: Job, missing: Iterable[str]) -> None:
    """Send those files of a job that a worker still lacks.

    Args:
        call: Of the worker.
        job: The job.
        missing: The MD5 of what it lacked when it was asked.

    Raises:
        PipelineError: A file is another one than it was when the job was made.
        WorkerLost: The worker died, or its disk is full.
    """
    paths = {digest: path for path, (digest, _) in job.files.items()}
    for digest in call(dask_worker.not_in_store, list(missing)):
        kept = [Path(store) / digest for store in job.stores]
        sources = [*kept, *(Path(folder) / paths[digest] for folder in job.source_folders)]
        source = next((one for one in sources if one.exists()), None)
        if not source or not _send(call, source, digest):
            raise PipelineError(
                f"{paths[digest]} changed while {job.name} was sent to a worker: run this again"
            )


def _send(call: Call, source: Path, digest: str) -> bool:
    """Send a file in parts; return whether it arrived as the one of this MD5."""
    with source.open("rb") as file:
        offset, chunk = 0, file.read(CHUNK)
        while following := file.read(CHUNK):
            call(dask_worker.receive, digest, offset, chunk, False)  # noqa: FBT003 (not the last)
            offset, chunk = offset + len(chunk), following
    whole: bool = call(dask_worker.receive, digest, offset, chunk, True)  # noqa: FBT003 (the last)
    return whole


def fetch(call: Call, result: JobResult, scratch: Path) -> JobResult:
    """Bring what a job wrote to this machine; the worker keeps it for other jobs.

    Returns:
        The same, in a sandbox of this machine.

    Raises:
        WorkerLost: The worker died, or a file came with other bytes than it had announced.
        OSError: This machine's disk is full.
    """
    sandbox = Path(tempfile.mkdtemp(prefix="job-", dir=scratch))
    try:
        _copy(call, f"{result.sandbox}/{OUTPUT}", sandbox / OUTPUT)
        for folder in result.folders:
            (sandbox / FILES / folder).mkdir(parents=True, exist_ok=True)
        for path, (digest, executable) in result.files.items():
            copy = sandbox / FILES / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy(call, f"{result.sandbox}/{FILES}/{path}", copy, digest)
            if executable:
                make_executable(copy)
        call(dask_worker.keep, result)
    except BaseException:
        shutil.rmtree(sandbox, ignore_errors=True)
        raise
    return replace(result, sandbox=str(sandbox))


def _copy(call: Call, remote: str, copy: Path, digest: str | None = None) -> None:
    with copy.open("wb") as file:
        while chunk := call(read, remote, file.tell()):
            file.write(chunk)
            if len(chunk) < CHUNK:
                break
    if digest and md5(copy) != digest:
        raise WorkerLost(f"{remote} came with other bytes than the worker had announced")
