"""Give jobs to workers as slots become free, and a lost one to another worker."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.jobs.job import Job, JobResult
from pipeline.runtime.errors import PipelineError

ATTEMPTS = 3  # a job that is lost so often counts as failed
LOOK_AGAIN = 1.0  # seconds after which the pool asks which workers there are
PATIENCE = 60.0  # seconds that it waits for a worker where there is none
MOST_AT_ONCE = 1000  # jobs, each with a thread of this process that waits for it


@dataclass(frozen=True)
class Worker:
    """What runs jobs.

    Attributes:
        name: For people: its host, or "" for this machine.
        slots: A job takes one or more of them.
        gpus: If not 0, also the most jobs at once.
    """

    name: str
    slots: int
    gpus: int = 0


class WorkerLost(Exception):  # noqa: N818 (an event; the pool tries another worker)
    """A worker died, or failed by its own fault, while it had a job."""


class ClusterLost(PipelineError):  # noqa: N818 (as above)
    """The scheduler of a cluster is gone, and with it all jobs that ran."""


class Executor(Protocol):
    """Where jobs run: this machine, or a cluster."""

    def workers(self) -> Mapping[str, Worker]:
        """Return the workers by their addresses.

        Raises:
            PipelineError: None of its workers can be used.
            ClusterLost: Its scheduler is gone.
        """
        ...

    def run(self, job: Job, address: str) -> JobResult:
        """Run a job on a worker, and return how it ended when its files are on this machine.

        Raises:
            WorkerLost: It has to run elsewhere.
            PipelineError: It cannot run anywhere.
            ClusterLost: Its scheduler is gone.
            Cancelled: The pool was closed.
        """
        ...

    def close(self) -> None:
        """Kill all that runs."""
        ...


@dataclass
class _Queued:
    job: Job
    slots: int
    lost: list[str] = field(default_factory=list)  # where and why
    avoided: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Allocation:
    address: str
    slots: int
    since: float


@dataclass(frozen=True)
class FinishedJob:
    """A job that has ended.

    Attributes:
        name: Its name.
        worker: The name of its worker.
        seconds: How long it took there, including the transfer of its files.
        result: How it ended; its state is "done" or "failed".
    """

    name: str
    worker: str
    seconds: float
    result: JobResult


class Pool:
    """Jobs that wait for a worker, and jobs that run; to be closed."""

    def __init__(self, executor: Callable[[], Executor], tell: Callable[[str], None]) -> None:
        """Make a pool without jobs.

        Args:
            executor: Returns where they run; is called when there is a first job.
            tell: Is called with a line for the user when something is lost.
        """
        self._open = executor
        self._executor: Executor | None = None
        self._tell = tell
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="job")
        self._waiting: list[_Queued] = []
        self._running: dict[Future[JobResult], tuple[_Queued, _Allocation]] = {}
        self._ended: list[FinishedJob] = []  # jobs that `collect` has not yet yielded
        self._workers: Mapping[str, Worker] = {}
        self._asked = float("-inf")
        self._last_worker = 0.0  # when there was one, or when a first job began to wait for one

    def close(self) -> None:
        """Kill what runs, and forget what waits."""
        self._waiting.clear()
        if self._executor:
            self._executor.close()
        self._pool.shutdown(cancel_futures=True)

    def submit(self, job: Job, slots: int = 1) -> None:
        """Add a job, which starts when a worker has so many slots free.

        One that wants more than a worker has takes the whole worker.
        """
        if not self._waiting and not self._running:
            self._last_worker = time.monotonic()
        self._waiting.append(_Queued(job, slots))
        self._refill()

    def running(self) -> Iterator[tuple[str, str, float]]:
        """Yield name, worker and seconds since the start of each job that runs."""
        now = time.monotonic()
        for queued, allocation in self._running.values():
            yield queued.job.name, self._name(allocation.address), now - allocation.since

    @property
    def wants_more(self) -> bool:
        """Whether a job that is submitted now would start soon, and nothing has to be collected."""
        if self._ended or any(future.done() for future in self._running):
            return False
        return len(self._waiting) < max(1, len(self._running))

    def drop_waiting(self) -> list[str]:
        """Forget the jobs that have not started, and return their names."""
        names = [queued.job.name for queued in self._waiting]
        self._waiting.clear()
        return names

    def collect(self, patience: float = LOOK_AGAIN) -> Iterator[FinishedJob]:
        """Yield the jobs that have ended, failed ones last; maybe none, after so many seconds.

        Before each job that is yielded, waiting jobs start in the slots that have become free.

        Raises:
            PipelineError: The cluster is gone, or has had no worker for a minute. Never before all
                jobs that have ended were yielded.
        """
        self._refill()
        if not self._ended:
            self._wait(patience)
            self._refill()
        for _ in range(len(self._ended)):
            self._refill()
            yield self._ended.pop(0)

    def _wait(self, patience: float) -> None:
        """Wait until a job has ended, or a worker may have come."""
        if self._running:
            wait(self._running, timeout=patience, return_when=FIRST_COMPLETED)
        elif self._waiting:
            time.sleep(min(patience, LOOK_AGAIN))
            if time.monotonic() - self._last_worker > PATIENCE:
                raise PipelineError(
                    f"the cluster has had no worker that can be used for {PATIENCE:.0f} seconds: "
                    "start some, and run this again"
                )

    def _refill(self) -> None:
        """Take the jobs that have ended, and start waiting ones in their slots."""
        done = [future for future in self._running if future.done()]
        for future in sorted(done, key=lambda one: isinstance(one.exception(), ClusterLost)):
            if isinstance(future.exception(), ClusterLost) and self._ended:
                return
            finished = self._take(future)
            self._ended += [finished] if finished else []
        self._ended.sort(key=lambda one: one.result.state == "failed")
        if self._ended and self._ended[-1].result.state == "failed":
            return  # the caller may want nothing more to start
        try:
            self._start()
        except PipelineError:
            if not self._ended:
                raise

    def _take(self, future: "Future[JobResult]") -> FinishedJob | None:
        """Take a job whose thread has ended; None if it has to run again elsewhere."""
        queued, allocation = self._running.pop(future)
        worker = self._name(allocation.address)
        seconds = time.monotonic() - allocation.since
        try:
            return FinishedJob(queued.job.name, worker, seconds, future.result())
        except WorkerLost as lost:
            queued.lost.append(f"{worker or 'this machine'}: {lost}")
            queued.avoided.add(allocation.address)
            self._asked = float("-inf")
            if len(queued.lost) < ATTEMPTS:
                self._tell(f"{queued.job.name}: lost: {queued.lost[-1]}; it runs again")
                self._waiting.insert(0, queued)
                return None
            reason = f"was lost {ATTEMPTS} times: {'; '.join(queued.lost)}"
            return FinishedJob(queued.job.name, worker, seconds, JobResult("failed", reason))
        except ClusterLost:
            raise
        except Exception as error:  # noqa: BLE001 (a fault of one job does not end the others)
            known = isinstance(error, PipelineError | OSError)
            problem = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            return FinishedJob(queued.job.name, worker, seconds, JobResult("failed", problem))

    def _start(self) -> None:
        """Start what waits and fits, in the order in which it came."""
        if not self._waiting and not self._running:
            return
        self._executor = self._executor or self._open()
        if time.monotonic() - self._asked > LOOK_AGAIN:
            self._workers = self._executor.workers()
            self._asked = time.monotonic()
        if self._workers:
            self._last_worker = time.monotonic()
        for queued in list(self._waiting):
            allocation = self._free_slots(queued.slots, queued.avoided)
            if not allocation:
                break  # one that wants many slots would never get them if others went before it
            self._waiting.remove(queued)
            future = self._pool.submit(self._executor.run, queued.job, allocation.address)
            self._running[future] = queued, allocation

    def _free_slots(self, wanted: int, avoided: set[str]) -> _Allocation | None:
        """Return slots on the worker with most free ones, or None.

        Args:
            wanted: How many; more than a worker has are all that it has.
            avoided: Addresses of workers that it gets only where there is no other.
        """
        found: list[tuple[int, _Allocation]] = []
        others = self._workers.keys() - avoided
        for address in others or self._workers:
            worker = self._workers[address]
            taken = [one for _, one in self._running.values() if one.address == address]
            free = worker.slots - sum(one.slots for one in taken)
            slots = min(wanted, worker.slots)
            if slots <= free and (not worker.gpus or len(taken) < worker.gpus):
                found.append((free, _Allocation(address, slots, time.monotonic())))
        _, best = max(found, key=lambda one: one[0], default=(0, None))
        return best

    def _name(self, address: str) -> str:
        worker = self._workers.get(address)
        return worker.name if worker else address
