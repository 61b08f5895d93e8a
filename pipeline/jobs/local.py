"""Jobs on this machine: each is a process of its own, in a folder of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import Worker, WorkerLost
from pipeline.jobs.worker import Cancelled, run
from pipeline.runtime.errors import PipelineError

HERE = ""  # the address of this machine


class LocalExecutor:
    """One worker: this machine, which runs jobs as processes."""

    def __init__(self, slots: int, scratch: Path) -> None:
        """Offer so many slots, and the folder in which jobs run."""
        self._workers = {HERE: Worker("", slots)}
        self._scratch = scratch
        self._stopped = Event()

    def workers(self) -> Mapping[str, Worker]:
        """Return this machine."""
        return self._workers

    def run(self, job: Job, address: str) -> JobResult:
        """Run a job.

        Raises:
            WorkerLost: The disk is full, for instance.
            PipelineError: A file changed as it started.
            Cancelled: The executor was closed.
        """
        del address  # there is one
        if self._stopped.is_set():
            raise Cancelled
        result = run(job, self._scratch, wanted=lambda: not self._stopped.is_set())
        match result.state:
            case "missing":
                absent = [path for path, (md5, _) in job.files.items() if md5 in result.missing]
                raise PipelineError(f"{', '.join(absent)} changed as {job.name} started")
            case "broken":
                raise WorkerLost(result.reason)
        return result

    def close(self) -> None:
        """Kill all that runs."""
        self._stopped.set()


def cores() -> int:
    """Return how many threads can run at once on this machine, for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
