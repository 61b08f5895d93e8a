"""Run DVC as a command, with this Python."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO


def dvc_environment() -> dict[str, str]:
    """Return this process's variables, with this Python as the ``python`` of the stages.

    A folder in MNIST_MIRROR, which may be relative to the current one, is found from everywhere.
    """
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    variables = dict(os.environ) | {"PATH": os.pathsep.join(folders)}
    mirror = variables.get("MNIST_MIRROR", "").strip()
    if mirror and Path(mirror).is_dir():
        variables["MNIST_MIRROR"] = str(Path(mirror).absolute())
    return variables


def run_dvc(
    *arguments: str, folder: Path, environment: Mapping[str, str], output: IO[str] | None = None
) -> int:
    """Run DVC in a folder and return its exit code.

    If this process is interrupted, DVC and the stage that it runs are killed. Use it only for
    copies of the project and for commands that write nothing to it: elsewhere work could be lost.

    Args:
        arguments: Of ``dvc``.
        folder: The project's root folder.
        environment: The variables of the process.
        output: Where its standard output goes; to this process's, if None.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=folder,
        env=environment,
        stdout=output,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait()
    except BaseException:
        with suppress(ProcessLookupError):  # it has ended at the same moment
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()  # Windows
        process.wait()
        raise
