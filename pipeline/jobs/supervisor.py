"""Run a command; kill all that it has started when it ends, or when nobody waits for it.

This stands between a worker and a command. The worker starts its text by ``python -c``, so it is a
program of its own, and imports only the standard library. Its standard input closes when the worker
dies, however it dies.

Every command waits for it. So it does without `subprocess`, `pathlib` and `signal`, whose imports
take longer than all that is done here.
"""

import ctypes
import os
import sys
import time
from _thread import start_new_thread

LINUX = sys.platform == "linux"
# Numbers of signals, the same on Linux and macOS.
SIGKILL, SIGPIPE, SIGXFSZ = 9, 13, 25
# Options of Linux's prctl: a signal when the parent dies; to be the new parent of orphans.
PDEATHSIG, CHILD_SUBREAPER = 1, 36
BY_SIGNAL = 128  # an exit code above it: a signal has killed the command, as shells say it
CANNOT_RUN = 126  # as shells say it


def main(command: list[str]) -> None:
    """Run a command, and exit with its exit code."""
    libc = ctypes.CDLL(None)
    if LINUX:
        # So `_children` finds also those that have left the command's process group.
        libc.prctl(CHILD_SUBREAPER, 1, 0, 0, 0)
    process = os.fork()
    if not process:
        _become(command, libc)
    try:  # noqa: SIM105 (contextlib takes long to import)
        os.setpgid(process, process)  # as the process does: whoever is first
    except OSError:
        pass
    start_new_thread(_end_with_worker, (process,))
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    _kill(process)
    os._exit(code if code >= 0 else BY_SIGNAL - code)


def _become(command: list[str], libc: ctypes.CDLL) -> None:
    """Go on as the command, in a process group of its own and without input."""
    try:
        os.setpgid(0, 0)
        if LINUX:
            # A command may kill its parent, which is the supervisor.
            libc.prctl(PDEATHSIG, SIGKILL, 0, 0, 0)
        for number in (SIGPIPE, SIGXFSZ):  # Python ignores them, and so would the command
            libc.signal(number, None)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execv(command[0], command)  # noqa: S606 (a shell, which the worker has chosen)
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    finally:
        os._exit(CANNOT_RUN)


def _end_with_worker(process: int) -> None:
    os.read(0, 1)
    _kill(process)


def _kill(process: int) -> None:
    """Kill a process, its process group and, on Linux, all others that they have started."""
    _send_kill(-process)
    while LINUX and (left := _children()):
        for child in left:
            _send_kill(child)
        time.sleep(0.01)


def _send_kill(number: int) -> None:
    try:  # noqa: SIM105 (as above)
        os.kill(number, SIGKILL)
    except ProcessLookupError:
        pass


def _children() -> list[int]:
    """Return the processes whose parent this is, and that have not ended."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []  # none at all, as nearly always; a look at every process takes longer
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 (no pathlib)
        try:
            with open(f"/proc/{number}/stat", errors="replace") as file:  # noqa: PTH123 (likewise)
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # it has ended
        if int(parent) == os.getpid() and state != "Z":
            found.append(int(number))
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
