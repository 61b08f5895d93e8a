"""Give jobs to machines as slots become free, and a lost one to another machine."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.jobs.job import Ended, Job
from pipeline.runtime.errors import PipelineError

ATTEMPTS = 3  # a job that is lost so often counts as failed
LOOK_AGAIN = 1.0  # seconds after which the pool asks which machines there are
PATIENCE = 60.0  # seconds that it waits for a machine where there is none
MOST_AT_ONCE = 1000  # jobs, each with a thread of this process that waits for it


@dataclass(frozen=True)
class Machine:
    """What runs jobs.

    Attributes:
        name: For people: its host, or "" for this machine.
        threads: Its slots; a job takes one or more.
        gpus: If not 0, also the most jobs at once.
    """

    name: str
    threads: int
    gpus: int = 0


class MachineLost(Exception):  # noqa: N818 (an event; the pool tries another machine)
    """A machine died, or failed by its own fault, while it had a job."""


class PlaceLost(PipelineError):  # noqa: N818 (as above)
    """The place where jobs run is gone, and with it all jobs that ran."""


class Place(Protocol):
    """Where jobs run: this machine, or a cluster."""

    def machines(self) -> Mapping[str, Machine]:
        """Return the machines by their addresses.

        Raises:
            PipelineError: None of its machines can be used.
            PlaceLost: It is gone.
        """
        ...

    def run(self, job: Job, address: str, gpu: int | None) -> Ended:
        """Run a job on a machine, and return how it ended when its files are on this machine.

        Raises:
            MachineLost: It has to run elsewhere.
            PipelineError: It cannot run anywhere.
            PlaceLost: The place is gone.
            Stopped: The pool was closed.
        """
        ...

    def close(self) -> None:
        """Kill all that runs."""
        ...


@dataclass
class _Queued:
    job: Job
    threads: int
    lost: list[str] = field(default_factory=list)  # where and why
    avoided: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Slot:
    address: str
    threads: int
    gpu: int | None
    since: float


@dataclass(frozen=True)
class Finished:
    """A job that has ended.

    Attributes:
        name: Its name.
        machine: The name of its machine.
        seconds: How long it took there, including the transfer of its files.
        ended: How it ended; its state is "done" or "failed".
    """

    name: str
    machine: str
    seconds: float
    ended: Ended


class Pool:
    """Jobs that wait for a machine, and jobs that run; to be closed."""

    def __init__(self, place: Callable[[], Place], tell: Callable[[str], None]) -> None:
        """Make a pool without jobs.

        Args:
            place: Returns where they run; is called when there is a first one.
            tell: Is called with a line for the user when something is lost.
        """
        self._open = place
        self._place: Place | None = None
        self._tell = tell
        self._threads = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="job")
        self._waiting: list[_Queued] = []
        self._running: dict[Future[Ended], tuple[_Queued, _Slot]] = {}
        self._machines: Mapping[str, Machine] = {}
        self._asked = float("-inf")
        self._last_machine = time.monotonic()

    def close(self) -> None:
        """Kill what runs, and forget what waits."""
        self._waiting.clear()
        if self._place:
            self._place.close()
        self._threads.shutdown(cancel_futures=True)

    def submit(self, job: Job, threads: int = 1) -> None:
        """Add a job, which starts when a machine has so many slots free.

        One that wants more than a machine has takes the whole machine.
        """
        self._waiting.append(_Queued(job, threads))
        self._start()

    def running(self) -> Iterator[tuple[str, str, float]]:
        """Yield name, machine and seconds since the start of each job that runs."""
        now = time.monotonic()
        for queued, slot in self._running.values():
            yield queued.job.name, self._name(slot.address), now - slot.since

    def has_room(self, threads: int) -> bool:
        """Return whether a job of so many threads would start at once, or be the only one."""
        self._look()
        idle = not self._waiting and not self._running
        return idle or (not self._waiting and self._free_slot(threads, set()) is not None)

    def drop_waiting(self) -> list[str]:
        """Forget the jobs that have not started, and return their names."""
        names = [queued.job.name for queued in self._waiting]
        self._waiting.clear()
        return names

    def collect(self, patience: float = LOOK_AGAIN) -> list[Finished]:
        """Return the jobs that have ended since the last call; maybe none, after so many seconds.

        Raises:
            PipelineError: The place is gone, or has had no machine for a minute.
        """
        self._start()
        if self._running:
            done, _ = wait(self._running, timeout=patience, return_when=FIRST_COMPLETED)
        elif self._waiting:
            done = set()
            time.sleep(min(patience, LOOK_AGAIN))
            self._wait_for_machines()
        else:
            return []
        finished: list[Finished] = []
        # What has ended is returned first; where the place is gone, the next call raises.
        for future in sorted(done, key=lambda one: isinstance(one.exception(), PlaceLost)):
            if isinstance(future.exception(), PlaceLost) and finished:
                break
            one = self._take(future)
            finished += [one] if one else []
        return finished

    def _take(self, future: "Future[Ended]") -> Finished | None:
        """Take a job whose thread has ended; None if it has to run again elsewhere."""
        queued, slot = self._running.pop(future)
        machine = self._name(slot.address)
        seconds = time.monotonic() - slot.since
        try:
            return Finished(queued.job.name, machine, seconds, future.result())
        except MachineLost as lost:
            queued.lost.append(f"{machine or 'this machine'}: {lost}")
            queued.avoided.add(slot.address)
            self._asked = float("-inf")
            if len(queued.lost) < ATTEMPTS:
                self._tell(f"{queued.job.name}: lost: {queued.lost[-1]}; it runs again")
                self._waiting.insert(0, queued)
                return None
            reason = f"was lost {ATTEMPTS} times: {'; '.join(queued.lost)}"
            return Finished(queued.job.name, machine, seconds, Ended("failed", reason))
        except PlaceLost:
            raise
        except Exception as error:  # noqa: BLE001 (a fault of one job does not end the others)
            known = isinstance(error, PipelineError | OSError)
            problem = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            return Finished(queued.job.name, machine, seconds, Ended("failed", problem))

    def _start(self) -> None:
        """Start what waits and fits, in the order in which it came."""
        if not self._waiting and not self._running:
            return
        place = self._look()
        for queued in list(self._waiting):
            slot = self._free_slot(queued.threads, queued.avoided)
            if slot:
                self._waiting.remove(queued)
                future = self._threads.submit(place.run, queued.job, slot.address, slot.gpu)
                self._running[future] = queued, slot

    def _look(self) -> Place:
        """Open the place if need be, ask it for its machines every second, and return it."""
        self._place = self._place or self._open()
        if time.monotonic() - self._asked > LOOK_AGAIN:
            self._machines = self._place.machines()
            self._asked = time.monotonic()
        if self._machines:
            self._last_machine = time.monotonic()
        return self._place

    def _free_slot(self, wanted: int, avoided: set[str]) -> _Slot | None:
        """Return a slot on the machine with most free threads, or None.

        Args:
            wanted: Threads of the job.
            avoided: Addresses of machines that it gets only where there is no other.
        """
        found: list[tuple[int, _Slot]] = []
        others = self._machines.keys() - avoided
        for address in others or self._machines:
            machine = self._machines[address]
            taken = [slot for _, slot in self._running.values() if slot.address == address]
            free = machine.threads - sum(slot.threads for slot in taken)
            threads = min(wanted, machine.threads)
            gpus = sorted(set(range(machine.gpus)) - {slot.gpu for slot in taken})
            if threads <= free and (gpus or not machine.gpus):
                gpu = gpus[0] if gpus else None
                found.append((free, _Slot(address, threads, gpu, time.monotonic())))
        _, best = max(found, key=lambda one: one[0], default=(0, None))
        return best

    def _wait_for_machines(self) -> None:
        if time.monotonic() - self._last_machine > PATIENCE:
            raise PipelineError(
                f"the cluster has had no worker that can be used for {PATIENCE:.0f} seconds: "
                "start some, and run this again"
            )

    def _name(self, address: str) -> str:
        machine = self._machines.get(address)
        return machine.name if machine else address
