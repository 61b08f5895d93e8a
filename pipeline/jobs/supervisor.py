"""Run a command; kill all that it has started when it ends, or when nobody waits for it.

This stands between a worker and a command. The worker starts its text by ``python -c``, so it is a
program of its own, and imports only the standard library. Its standard input closes when the worker
dies, however it dies.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LINUX = sys.platform == "linux"
# Options of Linux's prctl: a signal when the parent dies; to be the new parent of orphans.
PDEATHSIG, CHILD_SUBREAPER = 1, 36
BY_SIGNAL = 128  # an exit code above it: a signal has killed the command, as shells say it


def main(command: list[str]) -> None:
    """Run a command, and exit with its exit code."""
    if LINUX:
        # So `_children` finds also those that have left the command's process group.
        _prctl(CHILD_SUBREAPER, 1)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # A command may kill its parent, which is this.
        preexec_fn=(lambda: _prctl(PDEATHSIG, signal.SIGKILL)) if LINUX else None,  # noqa: PLW1509 (no thread yet)
    )
    threading.Thread(target=_end_with_worker, args=[process], daemon=True).start()
    code = process.wait()
    _kill(process)
    os._exit(code if code >= 0 else BY_SIGNAL - code)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end_with_worker(process: "subprocess.Popen[bytes]") -> None:
    os.read(0, 1)
    _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process, its process group and, on Linux, all others that they have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    while LINUX and (left := list(_children())):
        for number in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


def _children() -> Iterator[int]:
    """Yield the processes whose parent this is, and that have not ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = (folder / "stat").read_text(errors="replace")
            state, parent = status.rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                yield int(folder.name)


if __name__ == "__main__":
    main(sys.argv[1:])
