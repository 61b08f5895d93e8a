"""SIGKILL to a worker, the scheduler or the driver of `parallel`, at random moments."""

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from conftest import finish
from dask_cluster import DaskCluster
from made_up_pipelines import contents, made_up, parallel, stages_of_all_kinds
from states import FULL

KILLS = 100 if FULL else 3
LONGEST = 6.0  # seconds until the kill; the run takes about as long


@pytest.mark.parametrize("number", range(KILLS))
def test_run_goes_on_after_a_kill_and_leaves_the_lock_file_of_dvc_repro(
    tmp_path: Path, number: int
) -> None:
    choose = random.Random(number)
    stages = stages_of_all_kinds(10, number % 5)
    for stage in stages.values():
        stage.pop("always_changed", None)  # it would also run again in the end
    serial, there = (made_up(tmp_path / name, stages) for name in ("serial", "here"))
    serial.repro()
    cluster = DaskCluster(tmp_path / "cluster", hidden=(tmp_path / "here",))
    cluster.start_worker()
    cluster.start_worker()
    process = parallel(there, "--scheduler", cluster.address, **cluster.variables)
    time.sleep(choose.uniform(0, LONGEST))
    victim = ("worker", "scheduler", "driver")[number % 3]
    match victim:
        case "worker":
            cluster.kill_worker(choose.randrange(2))
        case "scheduler":
            cluster.kill_scheduler()
        case "driver":
            os.kill(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    allowed = {"worker": {0}, "scheduler": {0, 2}, "driver": {0, -signal.SIGKILL}}
    assert process.returncode in allowed[victim], output
    if victim == "scheduler":
        cluster.start_scheduler()
        cluster.start_worker()
    finish(parallel(there, "--scheduler", cluster.address, **cluster.variables), 0)
    # A DVC that was killed may leave the file that it was copying to, whoever started it.
    left = {name for name in contents(there) if re.search(r"(^|/)\.[\w-]{22}\.tmp$", name)}
    assert {n: one for n, one in contents(there).items() if n not in left} == contents(serial)
