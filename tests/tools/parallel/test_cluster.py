"""`parallel --scheduler`, on real clusters whose processes share no folder with the project."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Project, finish, start
from dask_cluster import CABLE, DaskCluster, may_be_apart, network_of_its_own
from made_up_pipelines import (
    WRITE,
    contents,
    gate,
    made_up,
    parallel,
    run_parallel,
    stage,
    stages_of_all_kinds,
    until,
)

from pipeline.jobs.environment import this_environment


@pytest.fixture
def cluster(tmp_path: Path) -> DaskCluster:
    """A scheduler without workers; these will not see the folder of the project."""
    (tmp_path / "here").mkdir()
    return DaskCluster(tmp_path / "cluster", hidden=(tmp_path / "here",))


def run_there(cluster: DaskCluster, project: Project, *arguments: str, status: int = 0) -> str:
    arguments = ("--scheduler", cluster.address, *arguments)
    return finish(parallel(project, *arguments, **cluster.variables), status)


def stage_at_work(
    tmp_path: Path, cluster: DaskCluster
) -> tuple[Project, "subprocess.Popen[str]", Path, Path]:
    """Start a worker, and a stage on it that waits; return project, command and gate's files."""
    command, begun, go_on = gate(tmp_path, "a.txt")
    project = made_up(tmp_path / "here", {"a": stage("a.txt", command)})
    cluster.start_worker()
    process = parallel(project, "--scheduler", cluster.address, **cluster.variables)
    until(begun.exists)
    return project, process, begun, go_on


def test_cluster_leaves_what_dvc_repro_leaves(tmp_path: Path, cluster: DaskCluster) -> None:
    stages = stages_of_all_kinds(12, 2)
    big = "python -c \"open('big.bin', 'wb').write(open('in.bin', 'rb').read()[::-1])\""
    stages["big"] = {"cmd": big, "deps": ["in.bin"], "outs": ["big.bin"]}
    serial = made_up(tmp_path / "serial", stages)
    there = made_up(tmp_path / "here", stages)
    for project in (serial, there):
        (project.folder / "in.bin").write_bytes(bytes(range(256)) * 40_000)  # some parts
    serial.repro()
    cluster.start_worker()
    cluster.start_worker()
    output = run_there(cluster, there)
    assert contents(there) == contents(serial)
    assert ", on " in output
    if not may_be_apart():
        pytest.skip("no mounts of its own for a worker here; it would have shared no folder")


def test_outputs_come_as_they_were_written(tmp_path: Path, cluster: DaskCluster) -> None:
    make = (
        "mkdir -p m/v1/empty m/many; echo 1 > m/v1/x; chmod +x m/v1/x; ln -s v1 m/latest; "
        "ln -s .. m/v1/up; ln -s v1/x m/file; seq 300 | split -l 1 -a 3 - 'm/many/a b é'"
    )
    stages = {
        "a": {"cmd": make, "deps": ["in.txt"], "outs": ["m"]},
        "b": {"cmd": "cat m/latest/x m/many/* > b.txt", "deps": ["m"], "outs": ["b.txt"]},
        "c": {"cmd": "mkfifo c", "deps": ["in.txt"], "outs": ["c"]},
    }
    serial = made_up(tmp_path / "serial", stages)
    there = made_up(tmp_path / "here", stages)
    serial.repro("b")
    cluster.start_worker()
    output = run_there(cluster, there, "--keep-going", status=1)
    assert "c: failed: c: neither a file nor a folder" in output
    assert contents(there) == contents(serial)
    assert (there.folder / "m/latest").is_symlink()
    assert (there.folder / "m/v1/empty").is_dir()
    assert os.access(there.folder / "m/v1/x", os.X_OK)


def test_worker_that_does_not_answer_delays_no_other(tmp_path: Path, cluster: DaskCluster) -> None:
    project = made_up(tmp_path / "here", {"a": stage("a.txt")})
    log = cluster.folder / "worker.log"
    cluster.start_worker()
    cluster.start_worker()
    until(lambda: log.exists() and log.read_text().count("Registered to:") == 2)
    os.killpg(cluster.workers[0].pid, signal.SIGSTOP)
    run_there(cluster, project)
    assert (project.folder / "a.txt").exists()


def test_worker_whose_memory_is_full_gets_nothing(tmp_path: Path, cluster: DaskCluster) -> None:
    project = made_up(tmp_path / "here", {name: stage(f"{name}.txt") for name in "abc"})
    cluster.start_worker("--memory-limit", "60MiB")
    until(lambda: "Pausing worker" in (cluster.folder / "worker.log").read_text())
    cluster.start_worker()
    run_there(cluster, project)
    assert all((project.folder / f"{name}.txt").exists() for name in "abc")


def test_two_projects_may_use_one_cluster_at_once(tmp_path: Path, cluster: DaskCluster) -> None:
    note = tmp_path / "note"
    command = f"echo + $CUDA_VISIBLE_DEVICES >> {note}; sleep 1; echo - >> {note}; cp in.txt a.txt"
    projects = [
        made_up(tmp_path / "here" / name, {"a": stage("a.txt", command)}) for name in ("one", "two")
    ]
    for project in projects:
        (project.folder / "in.txt").write_bytes(b"x" * 50_000_000)
    cluster.start_worker("--resources", "GPU=1")
    arguments = ("--scheduler", cluster.address)
    processes = [parallel(project, *arguments, **cluster.variables) for project in projects]
    for process in processes:
        assert "lost" not in finish(process, 0)
    assert note.read_text() == "+ 0\n-\n" * 2


# Retires the worker that runs something. Since it has somebody's data, this takes a moment.
RETIRE = """
import sys
from distributed import Client
client = Client(sys.argv[1])
client.wait_for_workers(2)
[busy] = [worker for worker, tasks in client.processing().items() if tasks]
data = client.scatter("x" * 10**8, workers=[busy])
client.retire_workers([busy])
"""


def test_stage_of_a_worker_that_retires_runs_on_another(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    _, process, begun, go_on = stage_at_work(tmp_path, cluster)
    cluster.start_worker()
    other = start([sys.executable, "-c", RETIRE, cluster.address], tmp_path, cluster.variables)
    until(lambda: begun.read_text().count("\n") == 2)
    go_on.touch()
    assert "a: lost: " in finish(process, 0)
    finish(other, 0)


def test_worker_in_a_network_of_its_own_is_as_good(tmp_path: Path) -> None:
    inside = network_of_its_own()
    if inside is None:
        pytest.skip("no network name spaces here; a worker would have run in one")
    (tmp_path / "here").mkdir()
    cluster = DaskCluster(tmp_path / "cluster", hidden=(tmp_path / "here",), host=CABLE[0])
    project = made_up(tmp_path / "here", {"a": stage("a.txt")})
    cluster.start_worker("--host", CABLE[1], wrap=inside)
    run_there(cluster, project)
    assert (project.folder / "a.txt").exists()


def first_of_all(tmp_path: Path, code: str) -> tuple[str, ...]:
    """Return the options of a worker that runs some code before it does anything else."""
    path = tmp_path / "preload.py"
    path.write_text(code)
    return "--preload", str(path)


def test_worker_with_other_packages_is_refused_by_name(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    project = made_up(tmp_path / "here", {"a": stage("a.txt")})
    change = (
        "import importlib.metadata as metadata, platform\n"
        "found = list(metadata.distributions())\n"
        "metadata.distributions = lambda: [one for one in found if one.name != 'numpy']\n"
        "platform.python_version = lambda: '3.9.1'\n"
    )
    cluster.start_worker(*first_of_all(tmp_path, change))
    output = run_there(cluster, project, status=2)
    assert "refused: python 3.9.1 in place of " in output
    assert "numpy missing in place of " in output
    assert "none of its workers can be used" in output
    assert not (project.folder / "dvc.lock").exists()
    run_there(cluster, project, "--any-environment")
    assert (project.folder / "a.txt").exists()


def test_worker_whose_clock_is_wrong_is_named_and_used(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    project = made_up(tmp_path / "here", {"a": stage("a.txt")})
    # Only for what the driver asks: Dask's own intervals would go wrong in the middle of them.
    change = (
        "import sys, time\n"
        "right = time.__dict__.setdefault('right', time.time)\n"
        "def wrong():\n"
        f"    asked = sys._getframe(1).f_code.co_name == '{this_environment.__name__}'\n"
        "    return right() - 7200 * asked\n"
        "time.time = wrong\n"
    )
    cluster.start_worker(*first_of_all(tmp_path, change))
    output = run_there(cluster, project)
    assert "its clock is 7200 seconds behind" in output or "its clock is 7199" in output
    assert (project.folder / "a.txt").stat().st_mtime > time.time() - 3600


def test_nobody_listening_is_an_error_of_one_line(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt")})
    output = run_parallel(project, "--scheduler", "tcp://127.0.0.1:9", status=2)
    assert "parallel: tcp://127.0.0.1:9: no scheduler of Dask answers there" in output
    assert output.count("\n") == 1
    assert not (project.folder / "dvc.lock").exists()
    output = run_parallel(project, "--scheduler", "tls://127.0.0.1:9", status=2)
    assert output == "parallel: tls://127.0.0.1:9: tls:// needs certificates (docs/scaling.md)\n"


@pytest.mark.parametrize(
    "address", ["", "8786", "host", "tcp://", "http://host:1", "tcp://::1:1", "tcp://host:0"]
)
def test_what_is_no_address_is_told_at_once(tmp_path: Path, address: str) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt")})
    output = run_parallel(project, f"--scheduler={address}", status=2)
    assert "expected an address such as tcp://10.0.0.1:8786" in output
    assert not (project.folder / "a.txt").exists()


def test_stage_of_a_worker_that_dies_runs_on_another(tmp_path: Path, cluster: DaskCluster) -> None:
    project, process, begun, go_on = stage_at_work(tmp_path, cluster)
    cluster.start_worker()
    cluster.kill_worker(0)
    until(lambda: begun.read_text().count("\n") == 2)
    go_on.touch()
    output = finish(process, 0)
    assert "a: lost: " in output
    assert "the worker died; it runs again" in output
    assert (project.folder / "a.txt").exists()


def test_death_of_the_scheduler_is_told_and_nothing_that_ended_is_lost(
    tmp_path: Path, cluster: DaskCluster
) -> None:
    command, begun, go_on = gate(tmp_path, "z.txt")
    project = made_up(tmp_path / "here", {"a": stage("a.txt"), "z": stage("z.txt", command)})
    cluster.start_worker()
    process = parallel(project, "--scheduler", cluster.address, **cluster.variables)
    until(begun.exists)
    lock = project.folder / "dvc.lock"
    until(lock.exists)
    cluster.kill_scheduler()
    output = finish(process, 2)
    assert "the scheduler is gone. What had ended is recorded" in output
    assert "  a:" in lock.read_text()
    assert "  z:" not in lock.read_text()
    assert_gone(begun)
    go_on.touch()
    cluster.start_scheduler()
    cluster.start_worker()
    output = run_there(cluster, project)
    assert "a: done" not in output
    assert "z: done" in output


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_stage_goes_on_at_a_worker_without_the_driver(
    tmp_path: Path, cluster: DaskCluster, how: signal.Signals
) -> None:
    _, process, begun, _ = stage_at_work(tmp_path, cluster)
    os.kill(process.pid, how)
    process.wait()
    assert_gone(begun)
    # Its folder goes next.
    until(lambda: not list((cluster.folder / "worker0").rglob("job-*")))
    if how == signal.SIGINT:
        assert not list((cluster.folder / "worker0").rglob("driver-*"))


def assert_gone(begun: Path) -> None:
    """Wait until the process whose number is in a file has ended."""
    number = begun.read_text().split()[-1]
    until(lambda: not Path(f"/proc/{number}").exists())


def test_full_disk_of_a_worker_is_named(tmp_path: Path, cluster: DaskCluster) -> None:
    if not may_be_apart():
        pytest.skip("no mounts of its own for a worker here; its disk would have been full")
    project = made_up(tmp_path / "here", {"a": stage("a.txt")})
    project.append("in.txt", "x" * 3_000_000)
    small = tmp_path / "cluster/worker0"
    full = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", FULL, "full")
    cluster.start_worker(wrap=full, SMALL=str(small))
    output = run_there(cluster, project, status=1)
    assert "a: failed: was lost 3 times" in output
    assert "No space left on device" in output
    assert not (project.folder / "dvc.lock").exists()


FULL = 'mount -t tmpfs -o size=1m none "$SMALL" && exec "$@"'


def test_stage_gets_no_variables_of_dask(tmp_path: Path, cluster: DaskCluster) -> None:
    # What steers the libraries that compute is everywhere as it is here.
    command = "(printenv OMP_NUM_THREADS || echo none; printenv OPENBLAS_NUM_THREADS) > a.txt"
    project = made_up(tmp_path / "here", {"a": stage("a.txt", command)})
    cluster.start_worker(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    variables = cluster.variables | {"OPENBLAS_NUM_THREADS": "7"}
    finish(parallel(project, "--scheduler", cluster.address, **variables), 0)
    assert (project.folder / "a.txt").read_text() == "none\n7\n"


def test_worker_with_a_gpu_runs_one_stage_on_each(tmp_path: Path, cluster: DaskCluster) -> None:
    note = tmp_path / "note"
    command = f"echo + $CUDA_VISIBLE_DEVICES >> {note}; sleep 0.5; echo - >> {note}; " + WRITE
    names = ("a.txt", "b.txt", "c.txt")
    stages = {name[0]: stage(name, command.format(name)) for name in names}
    project = made_up(tmp_path / "here", stages)
    cluster.start_worker("--resources", "GPU=1", CUDA_VISIBLE_DEVICES="5")
    run_there(cluster, project)
    assert note.read_text() == "+ 5\n-\n" * 3


def test_without_dask_the_message_says_what_to_install(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt")})
    (project.folder / "distributed.py").write_text("raise ImportError\n")
    output = run_parallel(project, "--scheduler", "tcp://127.0.0.1:9", status=2)
    assert output == (
        "parallel: --scheduler needs Dask: install the extra `cluster` of this project, "
        "or use --jobs\n"
    )
    run_parallel(project)
