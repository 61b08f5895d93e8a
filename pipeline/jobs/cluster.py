"""Jobs on a Dask cluster that is there already; no file system need be shared with it."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import requests

from pipeline.jobs import dask_worker, environment, job, sandbox, worker
from pipeline.jobs.environment import Environment, clock_error, differences
from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.pool import ClusterLost, Worker, WorkerLost
from pipeline.jobs.transfer import fetch, send
from pipeline.jobs.worker import Cancelled
from pipeline.runtime.errors import PipelineError, reason

TIMEOUT_OF_PAGE = 2  # seconds
TIMEOUT = 10  # seconds in which a scheduler has to answer
POLL = 0.5  # seconds after which a call to a worker is looked at again
SENDS = 3  # times that a worker may say that it lacks a file
BY_VALUE = (sandbox, dask_worker, environment, job, worker)  # modules whose code goes to workers


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
        self._asked: dict[str, tuple[float, Any]] = {}  # when, and Dask's future of the answer
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
        """Return the workers that may get jobs, by their addresses.

        Raises:
            PipelineError: Every worker is refused.
            ClusterLost: The scheduler is gone.
        """
        self._check_scheduler()
        found = self._client.scheduler_info(n_workers=-1)["workers"]
        new = found.keys() - self._workers.keys() - self._refused - self._asked.keys()
        if new:
            self._ask(new)
        for address, (since, future) in list(self._asked.items()):
            if future.done():
                del self._asked[address]
                if address in found:
                    self._take_answer(address, found[address], since, future)
        self._workers = {a: one for a, one in self._workers.items() if a in found}
        if found and found.keys() <= self._refused:
            raise PipelineError(
                f"{self._address}: none of its workers can be used. Install the lock file of this "
                "project there; --any-environment takes workers with other packages too"
            )
        # A worker whose memory is full is paused: what it has goes on, but it begins nothing.
        return {a: one for a, one in self._workers.items() if found[a]["status"] == "running"}

    def _ask(self, new: set[str]) -> None:
        """Ask workers for their environments; one that does not answer delays no other."""
        drivers = self._client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.clients])
        for address in new:
            future = self._submit(address, dask_worker.describe_worker, drivers)
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
        here = environment.this_environment()
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

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise ClusterLost(
                f"{self._address}: the scheduler is gone. What had ended is recorded: run this "
                "again, with a scheduler that runs, and it goes on from there"
            )

    def run(self, job: Job, address: str) -> JobResult:
        """Run a job on a worker, and bring back what it wrote.

        Raises:
            WorkerLost: The worker died, or its disk is full.
            PipelineError: A file changed on its way.
            OSError: This machine's disk is full.
            ClusterLost: The scheduler is gone.
            Cancelled: The executor was closed.
        """
        call = partial(self._call, address)
        me = self._client.id
        sent, needs_gpu = self._with_stores(job, address), bool(self._workers[address].gpus)
        # Dask hands out GPUs also where several drivers use the cluster.
        resources = {"GPU": 1} if needs_gpu else None
        start = partial(call, dask_worker.work, sent, me, needs_gpu, resources=resources)
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

    def _with_stores(self, job: Job, address: str) -> Job:
        """Return a job that finds files also in the stores of all workers on the same machine."""
        workers = dict(self._workers)  # another thread may add to it
        if address not in workers:
            raise WorkerLost("the worker died")
        host = workers[address].name
        beside = [self._stores[other] for other, worker in workers.items() if worker.name == host]
        return replace(job, stores=[self._stores[address], *job.stores, *beside])

    def _call(
        self,
        address: str,
        function: Callable[..., Any],
        *arguments: Any,
        resources: dict[str, int] | None = None,
    ) -> Any:
        """Call a function on a worker and return what it returns.

        Raises:
            WorkerLost: The worker has died, or has no room on its disk.
            ClusterLost: The scheduler is gone.
            Cancelled: The executor was closed.
        """
        from distributed import KilledWorker

        future = None
        try:
            future = self._submit(address, function, *arguments, resources=resources)
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

    def _submit(
        self, address: str, function: Callable[..., Any], *arguments: Any, **more: Any
    ) -> Any:
        """Start a call of a function on a worker, and return Dask's future of it."""
        # Dask tries the standard pickle first, which sends a function by its name, and a worker has
        # not this project's code. A lambda has no name: it goes by value, with all that it uses of
        # the modules in BY_VALUE.
        return self._client.submit(
            lambda: function(*arguments),
            workers=[address],
            allow_other_workers=False,
            pure=False,
            **more,
        )

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
        """Cancel what runs, and leave nothing of it at the workers."""
        self._stopped.set()
        # One that does not answer is not waited for.
        cleaning = Thread(target=self._remove_from_workers, daemon=True)
        cleaning.start()
        cleaning.join(TIMEOUT_OF_PAGE)
        self._client.close(timeout=TIMEOUT)

    def _remove_from_workers(self) -> None:
        with suppress(Exception):  # a cluster that is gone has nothing to be removed
            self._client.run(dask_worker.remove_driver, self._client.id, on_error="ignore")


def _connect(address: str) -> Any:
    """Return a client of a scheduler."""
    try:
        import cloudpickle
        from distributed import Client, Security
    except ImportError as error:
        raise PipelineError(
            "--scheduler needs Dask: install the extra `cluster` of this project, or use --jobs"
        ) from error
    if address.startswith("tls:") and not Security().get_connection_args("client")["ssl_context"]:
        raise PipelineError(f"{address}: tls:// needs certificates (docs/scaling.md)")
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
