"""The options of a command line that say where jobs run."""

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path

from pipeline.history.dvc_command import dvc_environment
from pipeline.jobs.job import Job
from pipeline.jobs.pool import Executor

LOCK = "requirements.lock"  # in the project's folder, or one that holds it
MOST_PORTS = 65535


def parse_arguments(parser: argparse.ArgumentParser, default: str) -> argparse.Namespace:
    """Add --jobs, --scheduler and --any-environment to a parser, and parse the command line.

    Args:
        parser: Of the command.
        default: For its help: what is done without any of them.
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs", type=_positive, metavar="N", help=f"slots, about one a core (default: {default})"
    )
    where.add_argument(
        "--scheduler",
        type=_address,
        metavar="ADDRESS",
        help="of a Dask cluster that runs, such as tcp://10.0.0.1:8786",
    )
    parser.add_argument(
        "--any-environment",
        action="store_true",
        help="with --scheduler: also use workers whose Python, platform or packages differ",
    )
    given = parser.parse_args()
    if given.any_environment and not given.scheduler:
        parser.error("--any-environment is about the workers of a cluster: it needs --scheduler")
    return given


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a number of slots from 1 on, found {text!r}")
    return int(text)


def _address(text: str) -> str:
    found = re.fullmatch(r"(tcp|tls|wss?)://(\[[\da-fA-F:.]+\]|[^\s:/@\[\]]+):(\d+)", text)
    if not found or not 0 < int(found[3]) <= MOST_PORTS:
        raise argparse.ArgumentTypeError(
            f"expected an address such as tcp://10.0.0.1:8786, found {text!r}"
        )
    return text


def open_executor(
    given: argparse.Namespace, scratch: Path, tell: Callable[[str], None]
) -> Executor:
    """Return where the jobs run; on this machine, they find this Python and MNIST_MIRROR.

    Args:
        given: The command line.
        scratch: A folder of this machine for their files.
        tell: Is called with a line for the user.

    Raises:
        PipelineError: No scheduler answers.
    """
    if not given.scheduler:
        from pipeline.jobs.local import LocalExecutor, cores

        os.environ.update(dvc_environment())
        return LocalExecutor(given.jobs or cores(), scratch)
    from pipeline.jobs.cluster.calls import Cluster
    from pipeline.jobs.cluster.executor import DaskExecutor
    from pipeline.jobs.environment import locked_packages

    here = Path.cwd()
    lock = next((one / LOCK for one in [here, *here.parents] if (one / LOCK).exists()), Path(LOCK))
    locked = None if given.any_environment else locked_packages(lock)
    cluster = Cluster(given.scheduler)
    if link := cluster.dashboard:
        tell(f"Dashboard of the cluster: {link}")
    return DaskExecutor(cluster, scratch, tell, locked=locked)


def base_job(given: argparse.Namespace) -> Job:
    """Return a job without commands, with the variables that steer the libraries that compute.

    On a cluster these are as they are here, whatever the workers have: Dask, for one, sets
    ``OMP_NUM_THREADS`` to 1.
    """
    if not given.scheduler:
        return Job("", [])
    from pipeline.training.environment import INDIFFERENT, LIBRARIES

    mine = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(LIBRARIES) and not name.startswith(INDIFFERENT)
    }
    return Job("", [], variables=mine, removed_prefixes=LIBRARIES, kept_prefixes=INDIFFERENT)
