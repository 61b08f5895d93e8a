"""Run a job on the machine where it was sent.

A worker of a cluster has not this project's code: it gets this module, and those that it imports,
by value. They import nothing but the standard library.
"""

import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from pipeline.jobs.job import Job, JobResult
from pipeline.jobs.sandbox import (
    FILES,
    NAMED,
    OUTPUT,
    remove_sandbox,
    strange_outputs,
    undeclared_files,
    unpack,
)

ASK = 0.5  # seconds between two questions whether the job is still wanted
BY_SIGNAL = 128  # an exit code above it: a signal has killed the command, as shells say it
# By its text, since a worker has not the file.
SUPERVISOR = Path(__file__).with_name("supervisor.py").read_text(encoding="utf-8")


class Cancelled(Exception):  # noqa: N818 (no error)
    """Nobody wants the job any longer."""


def run(job: Job, folder: Path, wanted: Callable[[], bool]) -> JobResult:
    """Run a job in a folder of its own, and return how it ended.

    Args:
        job: The job.
        folder: Its folder, the sandbox, is made in it.
        wanted: Is asked again and again; once it returns False, the commands are killed.

    Raises:
        Cancelled: It was no longer wanted.
    """
    sandbox = ""
    try:
        sandbox = tempfile.mkdtemp(prefix="job-", dir=folder)
        missing = unpack(job, Path(sandbox, FILES))
        if not missing:
            return _run(job, sandbox, wanted)
        result = JobResult("missing", missing=missing)
    except OSError as error:
        result = JobResult(
            "broken", f"{error.filename or sandbox or folder}: {error.strerror or error}"
        )
    except BaseException:
        remove_sandbox(sandbox)
        raise
    remove_sandbox(sandbox)
    return result


def _run(job: Job, sandbox: str, wanted: Callable[[], bool]) -> JobResult:
    """Run the commands in a sandbox that is filled, and list what they wrote."""
    files = Path(sandbox, FILES)
    problem = _commands(job, sandbox, wanted)
    absent = [out for out in job.outs if not (files / out).exists()]
    aside = undeclared_files(job, files)
    if absent and not problem:
        instead = f", but {', '.join(aside[:NAMED])}" if aside else ""
        problem = f"it did not write {', '.join(absent)}{instead}"
    if strange := strange_outputs(job, files):
        problem = problem or f"{', '.join(strange[:NAMED])}: neither a file nor a folder"
    if problem:
        return JobResult("failed", problem, sandbox=sandbox)
    return JobResult("done", sandbox=sandbox, undeclared=aside)


def _commands(job: Job, sandbox: str, wanted: Callable[[], bool]) -> str:
    """Run the commands until one fails; return what went wrong, or an empty text."""
    shell = job.shell if Path(job.shell).exists() else "/bin/sh"
    with Path(sandbox, OUTPUT).open("wb") as output:
        for command in job.commands:
            output.write(f"> {command}\n".encode())
            output.flush()
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", SUPERVISOR, shell, "-c", command],
                cwd=Path(sandbox, FILES, job.folder),
                env=_environment(job, sandbox),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = _wait(process, wanted)
            if code:
                killed = f": signal {code - BY_SIGNAL} killed it" if code > BY_SIGNAL else ""
                return f"`{command}` ended with exit code {code}{killed}"
    return ""


def _environment(job: Job, sandbox: str) -> dict[str, str]:
    """Return the variables of the commands."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(job.kept_prefixes) or not name.startswith(job.removed_prefixes)
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    # A repository around the sandbox is not the one that the commands mean.
    here = {
        "PATH": path,
        "DVC_ROOT": str(Path(sandbox, FILES, job.root)),
        "GIT_CEILING_DIRECTORIES": sandbox,
    }
    return kept | job.variables | here


def _wait(process: "subprocess.Popen[bytes]", wanted: Callable[[], bool]) -> int:
    """Return the exit code of a supervised command; kill it once it is not wanted."""
    stdin = cast("IO[bytes]", process.stdin)
    ended = select.poll()
    # An error of this pipe means that its other end, which only the supervisor has, is closed.
    ended.register(stdin, select.POLLERR)
    try:
        # Not every system tells of such an error, hence also a look at the supervisor.
        while not ended.poll(ASK * 1000) and process.poll() is None:
            if not wanted():
                raise Cancelled
        code = process.wait()
        return code if code >= 0 else BY_SIGNAL - code  # it has killed its supervisor
    finally:
        stdin.close()
        process.wait()
