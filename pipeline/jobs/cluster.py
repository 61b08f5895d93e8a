"""Jobs on a Dask cluster that is there already; no file system need be shared with it."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import requests

from pipeline.jobs import dask_worker, environment, job, sandbox, worker
from pipeline.jobs.environment import clock_error, differences
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import ClusterLost, Worker, WorkerLost
from pipeline.jobs.transfer import fetch, send
from pipeline.jobs.worker import Cancelled
from pipeline.runtime.errors import PipelineError, reason

TIMEOUT_OF_PAGE = 2  # seconds
TIMEOUT = 10  # seconds in which a scheduler has to answer
POLL = 0.5  # seconds after which a call to a worker is looked at again
SENDS = 3  # times that a worker may say that it lacks a file
BY_VALUE = (sandbox, dask_worker, environment, job, worker)  # whose code goes to workers


class DaskExecutor:
    """The workers of a Dask scheduler."""

    def __init__(
        self, address: str, scratch: Path, tell: Callable[[str], None], *, locked: set[str] | None
    ) -> None:
        """Connect to a scheduler.

        Args:
            address: Such as ``tcp://10.0.0.1:8786``; for ``tls://``, Dask's own configuration
                names the certificates.
            scratch: A folder on this machine, where the files of jobs arrive.
            tell: Is called with a line for the user, about a worker.
            locked: Packages that have to be the same as here; None accepts every worker.

        Raises:
            PipelineError: Dask is not installed, or no scheduler answers.
        """
        self._address = address
        self._scratch = scratch
        self._tell = tell
        self._locked = locked
        self._stopped = Event()
        self._workers: dict[str, Worker] = {}
        self._refused: set[str] = set()
        self._stores: dict[str, str] = {}
        self._sending: defaultdict[str, Lock] = defaultdict(Lock)
        self._client = _connect(address)

    @property
    def dashboard(self) -> str:
        """The address of Dask's own page about the cluster; "" where there is none."""
        link = str(self._client.dashboard_link)
        try:  # Dask tells an address also where it lacks the packages for such a page
            return link if requests.get(link, timeout=TIMEOUT_OF_PAGE).ok else ""
        except requests.RequestException:
            return ""

    def workers(self) -> Mapping[str, Worker]:
        """Return the workers that may be used, by their addresses.

        Raises:
            PipelineError: Every worker is refused.
            ClusterLost: The scheduler is gone.
        """
        self._check_scheduler()
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        new = workers.keys() - self._workers.keys() - self._refused
        if new:
            self._admit({address: workers[address] for address in new})
        self._workers = {a: one for a, one in self._workers.items() if a in workers}
        if workers and workers.keys() <= self._refused:
            raise PipelineError(
                f"{self._address}: none of its workers has the environment of this machine. "
                "Install the same lock file there, or use --any-environment"
            )
        return self._workers

    def _admit(self, new: Mapping[str, Any]) -> None:
        """Ask workers for their environments, and take those that have the right one."""
        here, before = environment.this_environment(), time.time()
        # Dask fills in an argument of the name `dask_worker`.
        answers = self._client.run(
            dask_worker.describe_worker, workers=list(new), on_error="return"
        )
        after = time.time()
        for address, answer in answers.items():
            if isinstance(answer, Exception):  # it has died meanwhile, or is asked again
                continue
            there, store = answer
            name = f"{there['host']} ({address})"
            wrong = clock_error(before, there["clock"], after)
            if wrong:
                way = "ahead" if wrong > 0 else "behind"
                self._tell(
                    f"{name}: its clock is {abs(wrong):.0f} seconds {way}. No result depends on "
                    "it, but certificates and the times in logs do"
                )
            found = [] if self._locked is None else differences(here, there, self._locked)
            if found:
                self._refused.add(address)
                self._tell(f"{name}: refused: {', '.join(found)}")
                continue
            self._stores[address] = store
            gpus = int(new[address].get("resources", {}).get("GPU", 0))
            self._workers[address] = Worker(there["host"], int(new[address]["nthreads"]), gpus)

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise ClusterLost(
                f"{self._address}: the scheduler is gone. What had ended is recorded: run this "
                "again, with a scheduler that runs, and it goes on from there"
            )

    def run(self, job: Job, address: str, gpu: int | None) -> JobResult:
        """Run a job on a worker, and bring back what it wrote.

        Raises:
            WorkerLost: The worker died, or its disk is full.
            PipelineError: A file changed on its way.
            ClusterLost: The scheduler is gone.
            Cancelled: The cluster was closed.
        """
        call = partial(self._call, address)
        sent = replace(job, stores=[*job.stores, *self._beside(address)])
        result = call(dask_worker.work, sent, gpu)
        for _ in range(SENDS):
            if result.state != "missing":
                break
            with self._sending[address]:  # else two jobs would send the same files
                send(call, job, result.missing)
            result = call(dask_worker.work, sent, gpu)
        match result.state:
            case "broken":
                raise WorkerLost(result.reason)
            case "missing":
                raise WorkerLost("it loses what it is sent")
        return fetch(call, result, self._scratch)

    def _beside(self, address: str) -> list[str]:
        """Return the stores of the other workers on a worker's machine."""
        workers = dict(self._workers)  # another thread may add to it
        if address not in workers:
            raise WorkerLost("the worker died")
        host = workers[address].name
        others = [other for other, worker in workers.items() if worker.name == host]
        return [self._stores[other] for other in others if other != address]

    def _call(self, address: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function on a worker and return what it returns.

        Raises:
            WorkerLost: The worker has died, or has no room on its disk.
            ClusterLost: The scheduler is gone.
            Cancelled: The cluster was closed.
        """
        from distributed import KilledWorker

        future = None
        try:
            # Dask tries the standard pickle first, which sends a function by its name, and a worker
            # has not this project's code. A lambda has no name: it goes by value, with all that it
            # uses of the modules in BY_VALUE.
            future = self._client.submit(
                lambda: function(*arguments),
                workers=[address],
                allow_other_workers=False,
                pure=False,
            )
            return self._wait(future, address)
        except (WorkerLost, PipelineError, Cancelled):
            raise
        except Exception as error:  # whatever Dask meets where a worker dies
            self._check_scheduler()
            died = isinstance(error, CancelledError | KilledWorker)
            raise WorkerLost("the worker died" if died else reason(error)) from error
        finally:
            if future and self._client.status == "running":
                future.cancel()

    def _wait(self, future: Any, address: str) -> Any:
        patience = POLL
        while not self._stopped.is_set():
            self._check_scheduler()
            if address not in self._workers:
                raise WorkerLost("the worker died")
            try:
                return future.result(timeout=patience)
            except TimeoutError:
                if future.status == "error":  # it is the worker's own
                    raise
                if future.done():  # the answer itself takes long
                    patience *= 2
        raise Cancelled

    def close(self) -> None:
        """Cancel what runs, and leave the cluster as it was."""
        self._stopped.set()
        self._client.close(timeout=TIMEOUT)


def _connect(address: str) -> Any:
    """Return a client of a scheduler."""
    try:
        import cloudpickle
        from distributed import Client
    except ImportError as error:
        raise PipelineError(
            "--scheduler needs Dask: install the extra `cluster` of this project, or use --jobs"
        ) from error
    for module in BY_VALUE:
        cloudpickle.register_pickle_by_value(module)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        return Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise PipelineError(
            f"{address}: no scheduler of Dask answers there within {TIMEOUT} seconds: "
            f"{reason(error)}"
        ) from error
