"""Files on their way to a worker and back, in parts, checked by their MD5."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from pipeline.jobs.cluster import on_worker
from pipeline.jobs.cluster.on_worker import PACKED, Part
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import WorkerLost
from pipeline.jobs.sandbox import CHUNK, md5, remove_sandbox
from pipeline.runtime.errors import PipelineError


class Call(Protocol):
    """Calls a function on one worker, and returns what it returns."""

    def __call__(self, function: Any, *arguments: Any) -> Any: ...  # noqa: D102


def send(call: Call, job: Job, missing: Iterable[str], driver: str) -> None:
    """Send those files of a job that a worker still lacks.

    Args:
        call: Of the worker.
        job: The job.
        missing: The MD5 of what it lacked when it was asked.
        driver: Dask's name of this client.

    Raises:
        PipelineError: A file is another one than it was when the job was made.
        WorkerLost: The worker died, or its disk is full.
    """
    sources = {digest: _source(job, digest) for digest in call(on_worker.not_in_store, missing)}
    for parts in _batches(_parts(sources)):
        for digest in call(on_worker.receive, parts, driver):
            raise _changed(job, digest)


def _source(job: Job, digest: str) -> Path:
    """Return the file on this machine that has, or had, an MD5."""
    path = next(path for path, (one, _) in job.files.items() if one == digest)
    kept = [Path(store) / digest for store in job.stores]
    sources = [*kept, *(Path(folder) / path for folder in job.source_folders)]
    source = next((one for one in sources if one.exists()), None)
    if not source:
        raise _changed(job, digest)
    return source


def _changed(job: Job, digest: str) -> PipelineError:
    path = next(path for path, (one, _) in job.files.items() if one == digest)
    return PipelineError(f"{path} changed while {job.name} was sent to a worker: run this again")


def _parts(sources: dict[str, Path]) -> Iterator[Part]:
    for digest, source in sources.items():
        with source.open("rb") as file:
            offset, chunk = 0, file.read(CHUNK)
            while following := file.read(CHUNK):
                yield digest, offset, chunk, False
                offset, chunk = offset + len(chunk), following
        yield digest, offset, chunk, True


def _batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts in lists of a few megabytes, since each call of a worker takes its time."""
    batch: list[Part] = []
    for part in parts:
        batch.append(part)
        if sum(len(chunk) for _, _, chunk, _ in batch) >= CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch


def fetch(call: Call, job: Job, result: JobResult, scratch: Path) -> JobResult:
    """Bring what a job wrote to this machine; the worker keeps it for other jobs.

    Returns:
        The same, in a sandbox of this machine.

    Raises:
        WorkerLost: The worker died, or the bytes that came are not those that it had announced.
        OSError: This machine's disk is full.
    """
    outs = job.outs if result.state == "done" else []
    sandbox = Path(tempfile.mkdtemp(prefix="job-", dir=scratch))
    try:
        packed = sandbox / PACKED
        _bring(call, result.sandbox, outs, packed)
        _unpack(packed, sandbox)
        packed.unlink()
    except BaseException:
        shutil.rmtree(sandbox, ignore_errors=True)
        with suppress(Exception):
            call(remove_sandbox, result.sandbox)
        raise
    call(on_worker.keep, result.sandbox, outs)
    return replace(result, sandbox=str(sandbox))


def _bring(call: Call, remote: str, outs: list[str], packed: Path) -> None:
    """Copy what a job has printed and written to an archive on this machine."""
    digest = call(on_worker.pack, remote, outs)
    with packed.open("wb") as file:
        while chunk := call(on_worker.read_packed, remote, file.tell()):
            file.write(chunk)
    if md5(packed) != digest:
        raise WorkerLost("other bytes came than it had announced")


def _unpack(packed: Path, folder: Path) -> None:
    """Unpack an archive; all in it belongs to this user."""
    with tarfile.open(packed) as tar:
        # Before Python 3.11.4 there were none.
        tar.extraction_filter = getattr(tarfile, "tar_filter", None)
        for member in tar:
            member.uname = member.gname = ""
            member.uid, member.gid = os.getuid(), os.getgid()
            tar.extract(member, folder)
