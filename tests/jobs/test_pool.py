"""The pool, with real commands in real folders; some workers lose what they get."""

import errno
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.local import HERE, LocalExecutor
from pipeline.jobs.pool import LOOK_AGAIN, ClusterLost, FinishedJob, Pool, Worker, WorkerLost
from pipeline.runtime.errors import PipelineError


class SomeWorkers:
    """Workers that are folders of this one; what is sent to a broken one is lost."""

    def __init__(self, scratch: Path, *broken: str, **slots: int) -> None:
        self._here = LocalExecutor(1, scratch)
        self._workers = {name: Worker(name, count) for name, count in slots.items()}
        self._broken = broken
        self.asked: list[str] = []

    def workers(self) -> Mapping[str, Worker]:
        return self._workers

    def run(self, job: Job, address: str) -> JobResult:
        self.asked.append(address)
        if address in self._broken:
            raise WorkerLost("no space left")
        return self._here.run(job, HERE)

    def close(self) -> None:
        self._here.close()


def collect(pool: Pool, count: int) -> list[FinishedJob]:
    found: list[FinishedJob] = []
    while len(found) < count:
        found += pool.collect()
    return found


def test_lost_job_runs_on_a_worker_that_has_not_lost_it(tmp_path: Path) -> None:
    executor = SomeWorkers(tmp_path, "large", large=8, small=1)
    told: list[str] = []
    with closing(Pool(lambda: executor, told.append)) as pool:
        pool.submit(Job("a", ["true"]))
        (finished,) = collect(pool, 1)
    assert (finished.result.state, finished.worker) == ("done", "small")
    assert executor.asked == ["large", "small"]
    assert told == ["a: lost: large: no space left; it runs again"]


def test_job_that_every_worker_loses_fails_after_three_attempts(tmp_path: Path) -> None:
    executor = SomeWorkers(tmp_path, "only", only=1)
    with closing(Pool(lambda: executor, lambda _: None)) as pool:
        pool.submit(Job("a", ["true"]))
        (finished,) = collect(pool, 1)
    assert finished.result.state == "failed"
    assert finished.result.reason.startswith("was lost 3 times: only: no space left;")
    assert executor.asked == ["only"] * 3


def test_fault_of_this_machine_fails_one_job_and_no_other(tmp_path: Path) -> None:
    class Full(SomeWorkers):
        def run(self, job: Job, address: str) -> JobResult:
            if job.name == "a":
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().run(job, address)

    with closing(Pool(lambda: Full(tmp_path, only=2), print)) as pool:
        for name in "ab":
            pool.submit(Job(name, ["true"]))
        found = {one.name: one.result for one in collect(pool, 2)}
    assert found["a"].state == "failed"
    assert "No space left on device" in found["a"].reason
    assert found["b"].state == "done"


def test_job_that_wants_more_than_a_worker_has_takes_all_of_it(tmp_path: Path) -> None:
    note = tmp_path / "note"
    executor = LocalExecutor(2, tmp_path)
    with closing(Pool(lambda: executor, lambda _: None)) as pool:
        for name in "ab":
            command = f"echo + >> {note}; sleep 0.2; echo - >> {note}"
            pool.submit(Job(name, [command]), slots=16)
        collect(pool, 2)
    assert note.read_text() == "+\n-\n" * 2


def test_jobs_that_were_dropped_are_named_and_never_run(tmp_path: Path) -> None:
    with closing(Pool(lambda: LocalExecutor(1, tmp_path), lambda _: None)) as pool:
        for name in "abc":
            pool.submit(Job(name, ["sleep 0.2"]))
        assert pool.drop_waiting() == ["b", "c"]
        assert [one.name for one in collect(pool, 1)] == ["a"]
        assert list(pool.collect()) == []


def test_slot_that_is_free_again_is_used_before_anybody_collects(tmp_path: Path) -> None:
    with closing(Pool(lambda: LocalExecutor(1, tmp_path), lambda _: None)) as pool:
        pool.submit(Job("0", ["true"]))
        count = 1
        while any(name == "0" for name, _, _ in pool.running()):
            time.sleep(0.05)
            pool.submit(Job(str(count), ["true"]))
            count += 1
        assert [one.name for one in collect(pool, count)] == [str(one) for one in range(count)]


def test_as_many_jobs_are_wanted_as_run_and_none_once_one_has_ended(tmp_path: Path) -> None:
    def open_pool() -> Pool:
        return Pool(lambda: LocalExecutor(2, tmp_path), lambda _: None)

    with closing(open_pool()) as pool:
        wanted = []
        for name in "abcd":
            pool.submit(Job(name, ["sleep 600"]))
            wanted.append(pool.wants_more)
    assert wanted == [True, True, True, False]
    # What has ended would else wait until all others are prepared, or had from the cache.
    with closing(open_pool()) as pool:
        pool.submit(Job("a", ["true"]))
        for _ in range(6000):
            if not pool.wants_more:
                break
            time.sleep(0.01)
        assert not pool.wants_more
        assert [one.name for one in pool.collect()] == ["a"]
        assert pool.wants_more


def test_lost_job_that_wants_many_slots_is_not_overtaken(tmp_path: Path) -> None:
    class LoseOnce(SomeWorkers):
        def run(self, job: Job, address: str) -> JobResult:
            if job.name == "wide" and "lost" not in self.asked:
                self.asked.append("lost")
                raise WorkerLost("no space left")
            return super().run(job, address)

    executor = LoseOnce(tmp_path, one=2, other=2)
    names = ["0", "1", "wide", *map(str, range(2, 30))]
    with closing(Pool(lambda: executor, lambda _: None)) as pool:
        order: list[str] = []
        waiting = list(names)
        while len(order) < len(names):
            while waiting and pool.wants_more:
                name = waiting.pop(0)
                pool.submit(Job(name, ["sleep 0.1"]), slots=2 if name == "wide" else 1)
            order += [one.name for one in pool.collect()]
    assert order.index("wide") < len(names) / 2


def test_what_has_ended_is_yielded_before_it_is_told_that_the_cluster_is_gone(
    tmp_path: Path,
) -> None:
    class Gone(SomeWorkers):
        def workers(self) -> Mapping[str, Worker]:
            if (tmp_path / "gone").exists():
                raise ClusterLost("the scheduler is gone")
            return super().workers()

    with closing(Pool(lambda: Gone(tmp_path, only=1), lambda _: None)) as pool:
        pool.submit(Job("a", [f"touch {tmp_path}/gone"]))
        while not (tmp_path / "gone").exists():
            time.sleep(0.01)
        time.sleep(LOOK_AGAIN)  # so the executor is asked again
        assert [one.name for one in collect(pool, 1)] == ["a"]
        with pytest.raises(ClusterLost):
            pool.submit(Job("b", ["true"]))


def test_place_that_cannot_be_opened_says_so() -> None:
    def fail() -> LocalExecutor:
        raise PipelineError("nobody there")

    with closing(Pool(fail, print)) as pool, pytest.raises(PipelineError, match="nobody there"):
        pool.submit(Job("a", ["true"]))


def test_closing_kills_what_runs(tmp_path: Path) -> None:
    with closing(Pool(lambda: LocalExecutor(1, tmp_path), print)) as pool:
        pool.submit(Job("a", ["sleep 600"]))
        while not list(pool.running()):
            time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
