"""Runs jobs on the workers of a Dask cluster: which of them may be used, and with which files."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.jobs.cluster import on_worker
from pipeline.jobs.cluster.calls import TIMEOUT, Cluster
from pipeline.jobs.cluster.transfer import fetch, send
from pipeline.jobs.environment import (
    Environment,
    clock_error,
    differences,
    this_environment,
)
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import Worker, WorkerLost
from pipeline.runtime.errors import PipelineError, reason

SENDS = 3  # times that a worker may say that it lacks a file


class DaskExecutor:
    """The workers of a Dask scheduler."""

    def __init__(
        self,
        cluster: Cluster,
        scratch: Path,
        tell: Callable[[str], None],
        *,
        locked: set[str] | None,
    ) -> None:
        """Offer the workers of a cluster.

        Args:
            cluster: Is closed with this object.
            scratch: A folder on this machine, where the files of jobs arrive.
            tell: Is called with a line for the user, about a worker.
            locked: Packages that have to be the same as here; None accepts every worker.
        """
        self._cluster = cluster
        self._scratch = scratch
        self._tell = tell
        self._locked = locked
        self._asked: dict[str, tuple[float, Any]] = {}  # when, and Dask's future of the answer
        self._workers: dict[str, Worker] = {}
        self._refused: set[str] = set()
        self._stores: dict[str, str] = {}
        self._sending: defaultdict[str, Lock] = defaultdict(Lock)

    def workers(self) -> Mapping[str, Worker]:
        """Return the workers that may get jobs, by their addresses.

        Raises:
            PipelineError: Every worker is refused.
            ClusterLost: The scheduler is gone.
        """
        found = self._cluster.look()
        new = found.keys() - self._workers.keys() - self._refused - self._asked.keys()
        if new:
            self._ask(new)
        for address, (since, future) in list(self._asked.items()):
            if address not in found:
                del self._asked[address]
            elif future.done():
                del self._asked[address]
                self._take_answer(address, found[address], since, future)
        self._workers = {a: one for a, one in self._workers.items() if a in found}
        if found and found.keys() <= self._refused:
            raise PipelineError(
                f"{self._cluster.address}: none of its workers can be used. Install the lock file "
                "of this project there; --any-environment takes workers with other packages too"
            )
        # A worker whose memory is full is paused: what it has goes on, but it begins nothing.
        return {a: one for a, one in self._workers.items() if found[a]["status"] == "running"}

    def _ask(self, new: set[str]) -> None:
        """Ask workers for their environments; one that does not answer delays no other."""
        drivers = self._cluster.drivers
        for address in new:
            future = self._cluster.submit(address, on_worker.describe_worker, drivers)
            self._asked[address] = time.time(), future

    def _take_answer(
        self, address: str, found: Mapping[str, Any], since: float, future: Any
    ) -> None:
        """Take a worker, or refuse it."""
        try:
            answer: tuple[Environment, str] = future.result(timeout=TIMEOUT)
        except Exception as error:  # noqa: BLE001 (whatever another Python makes of our code)
            self._refuse(address, [f"it does not run what it is sent: {reason(error)}"])
            return
        there, store = answer
        name = f"{there['host']} ({address})"
        wrong = clock_error(since, there["clock"], time.time())
        if wrong:
            way = "ahead" if wrong > 0 else "behind"
            self._tell(
                f"{name}: its clock is {abs(wrong):.0f} seconds {way}. No result depends on "
                "it, but certificates and the times in logs do"
            )
        here = this_environment()
        problems = [] if self._locked is None else differences(here, there, self._locked)
        if problems:
            self._refuse(name, problems, address)
            return
        self._stores[address] = store
        gpus = int(found.get("resources", {}).get("GPU", 0))
        self._workers[address] = Worker(there["host"], int(found["nthreads"]), gpus)

    def _refuse(self, name: str, problems: list[str], address: str = "") -> None:
        self._refused.add(address or name)
        self._tell(f"{name}: refused: {', '.join(problems)}")

    def run(self, job: Job, address: str) -> JobResult:
        """Run a job on a worker, and bring back what it wrote.

        Raises:
            WorkerLost: The worker died, or its disk is full.
            PipelineError: A file changed on its way.
            OSError: This machine's disk is full.
            ClusterLost: The scheduler is gone.
            Cancelled: The executor was closed.
        """
        call = partial(self._cluster.call, address)
        me = self._cluster.driver
        workers = dict(self._workers)  # another thread may change it
        if address not in workers:
            raise WorkerLost("the worker died")
        host, needs_gpu = workers[address].name, bool(workers[address].gpus)
        beside = [self._stores[other] for other, one in workers.items() if one.name == host]
        sent = replace(job, stores=[self._stores[address], *job.stores, *beside])
        # Dask hands out GPUs also where several drivers use the cluster.
        resources = {"GPU": 1} if needs_gpu else None
        start = partial(call, on_worker.work, sent, me, needs_gpu, resources=resources)
        result = start()
        for _ in range(SENDS):
            if result.state != "missing":
                break
            with self._sending[address]:  # else two jobs would send the same files
                send(call, job, result.missing, me)
            result = start()
        match result.state:
            case "broken":
                raise WorkerLost(result.reason)
            case "missing":
                raise WorkerLost("it loses what it is sent")
        return fetch(call, job, result, self._scratch)

    def close(self) -> None:
        """Cancel what runs, and leave nothing of it at the workers."""
        self._cluster.close()
