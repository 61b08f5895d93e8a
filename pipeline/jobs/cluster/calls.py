"""Calls of functions on the workers of a Dask scheduler, to which they travel by value."""

import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from threading import Event, Thread
from typing import Any

import requests

from pipeline.jobs import environment, job, sandbox, worker
from pipeline.jobs.cluster import on_worker
from pipeline.jobs.pool import ClusterLost, WorkerLost
from pipeline.jobs.worker import Cancelled
from pipeline.runtime.errors import PipelineError, reason

TIMEOUT_OF_PAGE = 2  # seconds
TIMEOUT = 10  # seconds in which a scheduler has to answer
POLL = 0.5  # seconds after which a call is looked at again
BY_VALUE = (on_worker, environment, job, sandbox, worker)  # modules whose code goes to workers


class Cluster:
    """A Dask scheduler and its workers; to be closed."""

    def __init__(self, address: str) -> None:
        """Connect to a scheduler.

        Args:
            address: Such as ``tcp://10.0.0.1:8786``; for ``tls://``, Dask's own configuration
                names the certificates.

        Raises:
            PipelineError: Dask is not installed, or no scheduler answers.
        """
        self.address = address
        self._stopped = Event()
        self._present: set[str] = set()
        self._client = _connect(address)

    @property
    def driver(self) -> str:
        """Dask's name of this client."""
        return str(self._client.id)

    @property
    def drivers(self) -> list[str]:
        """Dask's names of all clients."""
        return list(self._client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.clients]))

    @property
    def dashboard(self) -> str:
        """The address of Dask's own page about the cluster; "" where there is none."""
        link = str(self._client.dashboard_link)
        try:  # Dask tells an address also where it lacks the packages for such a page
            return link if requests.get(link, timeout=TIMEOUT_OF_PAGE).ok else ""
        except requests.RequestException:
            return ""

    def look(self) -> dict[str, Any]:
        """Return what Dask says of each worker that is there now, by its address.

        Raises:
            ClusterLost: The scheduler is gone.
        """
        self.check_scheduler()
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        self._present = set(found)
        return found

    def check_scheduler(self) -> None:
        """Do nothing, if the scheduler is there.

        Raises:
            ClusterLost: It is gone.
        """
        if self._client.status != "running":
            raise ClusterLost(
                f"{self.address}: the scheduler is gone. What had ended is recorded: run this "
                "again, with a scheduler that runs, and it goes on from there"
            )

    def call(
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
            future = self.submit(address, function, *arguments, resources=resources)
            return self._wait(future, address)
        except (WorkerLost, PipelineError, Cancelled):
            raise
        except Exception as error:  # whatever Dask meets where a worker dies
            self.check_scheduler()
            died = isinstance(error, CancelledError | KilledWorker)
            raise WorkerLost("the worker died" if died else reason(error)) from error
        finally:
            if future and self._client.status == "running":
                future.cancel()

    def submit(
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
        # Dask fetches the answers to several calls at once, so a timeout of one would cut off all;
        # and where a worker dies meanwhile, it waits for ever. So a thread of its own waits.
        answer: Future[Any] = Future()
        Thread(target=_settle, args=[answer, future.result], daemon=True).start()
        while True:
            try:
                return answer.result(timeout=POLL)
            except TimeoutError:
                if answer.done():  # it is the worker's own
                    raise
            if self._stopped.is_set():
                raise Cancelled
            self.check_scheduler()
            if address not in self._present:
                raise WorkerLost("the worker died")

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
            self._client.run(on_worker.remove_driver, self.driver, on_error="ignore")


def _settle(answer: "Future[Any]", function: Callable[[], Any]) -> None:
    """Call a function, and let an answer be what it returns or raises."""
    try:
        answer.set_result(function())
    except Exception as error:  # noqa: BLE001 (it is raised where the answer is taken)
        answer.set_exception(error)


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
