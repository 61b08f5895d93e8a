"""Jobs on this machine: each is a process of its own, in a folder of its own."""

import os
from collections.abc import Mapping
from pathlib import Path
from threading import Event

from pipeline.jobs.job import Ended, Job
from pipeline.jobs.pool import Machine, MachineLost
from pipeline.jobs.worker import Stopped, run
from pipeline.runtime.errors import PipelineError

HERE = ""  # the address of this machine


class ThisMachine:
    """A place with one machine, which runs jobs as processes of this one."""

    def __init__(self, threads: int, scratch: Path) -> None:
        """Offer so many threads, and the folder in which jobs run."""
        self._machines = {HERE: Machine("", threads)}
        self._scratch = scratch
        self._stopped = Event()

    def machines(self) -> Mapping[str, Machine]:
        """Return this machine."""
        return self._machines

    def run(self, job: Job, address: str, gpu: int | None) -> Ended:
        """Run a job.

        Raises:
            MachineLost: The disk is full, for instance.
            PipelineError: A file changed as it started.
            Stopped: The place was closed.
        """
        del address, gpu  # there is one; which GPU a process takes is its own affair
        if self._stopped.is_set():
            raise Stopped
        ended = run(job, self._scratch, wanted=lambda: not self._stopped.is_set())
        match ended.state:
            case "missing":
                absent = [path for path, (md5, _) in job.files.items() if md5 in ended.missing]
                raise PipelineError(f"{', '.join(absent)} changed as {job.name} started")
            case "broken":
                raise MachineLost(ended.reason)
        return ended

    def close(self) -> None:
        """Kill all that runs."""
        self._stopped.set()


def cores() -> int:
    """Return how many threads can run at once on this machine, for this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
