"""A real Dask cluster on this machine: processes that share nothing, and encrypted connections."""

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from conftest import kill, own_environment, start
from distributed.security import Security

# Mounts empty folders over those that a worker on another machine would not have.
APART = 'for one in $HIDDEN; do mount -t tmpfs none "$one" || exit; done; exec "$@"'
# A name space of the network, and a cable into it: (address here, address there).
CABLE = ("10.203.7.1", "10.203.7.2")


@cache
def may_be_apart() -> bool:
    """Return whether this machine lets the tests give a process other mounts and a network."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False).returncode == 0


def network_of_its_own() -> tuple[str, ...] | None:
    """Make a network name space with a cable to it, for as long as the test runs.

    Returns:
        What a command begins with that runs there; None where this machine does not allow it.
    """
    if os.geteuid() or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        return None
    holder = start(["unshare", "--net", "sleep", "infinity"], Path("/"), dict(os.environ))
    inside = ("nsenter", f"--net=/proc/{holder.pid}/ns/net")
    here, there = f"dask{holder.pid}", "eth0"
    commands = [
        [
            "ip",
            "link",
            "add",
            here,
            "type",
            "veth",
            "peer",
            "name",
            there,
            "netns",
            str(holder.pid),
        ],
        ["ip", "address", "add", f"{CABLE[0]}/30", "dev", here],
        ["ip", "link", "set", here, "up"],
        [*inside, "ip", "address", "add", f"{CABLE[1]}/30", "dev", there],
        [*inside, "ip", "link", "set", there, "up"],
        [*inside, "ip", "link", "set", "lo", "up"],
    ]
    while (
        Path(f"/proc/{holder.pid}/ns/net").stat().st_ino == Path("/proc/self/ns/net").stat().st_ino
    ):
        time.sleep(0.01)  # unshare has not got so far
    done = (subprocess.run(one, capture_output=True, check=False).returncode for one in commands)
    return inside if not any(done) else None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class DaskCluster:
    """A scheduler and workers, each in a folder of its own.

    Attributes:
        folder: Where these are.
        hidden: Folders that workers do not see, as on a machine of their own.
        host: The address of the scheduler's network.
    """

    folder: Path
    hidden: tuple[Path, ...] = ()
    host: str = "127.0.0.1"
    workers: list["subprocess.Popen[str]"] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make certificates, and start a scheduler."""
        (self.folder / "scheduler").mkdir(parents=True)
        keys = Security.temporary()
        for name, text in {"cert": keys.tls_ca_file, "key": keys.tls_client_key}.items():
            (self.folder / f"{name}.pem").write_text(text)
        self.port = free_port()
        self.start_scheduler()

    @property
    def address(self) -> str:
        return f"tls://{self.host}:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The configuration of Dask that names the certificates."""
        own = own_environment(self.folder)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        tls = {"CA_FILE": "cert"}
        for role in ("CLIENT", "SCHEDULER", "WORKER"):
            tls |= {f"{role}__CERT": "cert", f"{role}__KEY": "key"}
        named = {
            f"DASK_DISTRIBUTED__COMM__TLS__{name}": f"{self.folder}/{file}.pem"
            for name, file in tls.items()
        }
        return own | named | {"PATH": path}

    def start_scheduler(self) -> None:
        self.scheduler = self._start(
            "scheduler", "--host", self.address.rpartition(":")[0], "--port", str(self.port)
        )

    def start_worker(self, *arguments: str, wrap: tuple[str, ...] = (), **more: str) -> None:
        """Start a worker of two threads, without a nanny that would start it again."""
        folder = self.folder / f"worker{len(self.workers)}"
        folder.mkdir()
        options = ["--no-nanny", "--nthreads", "2", "--local-directory", str(folder), *arguments]
        if self.hidden and may_be_apart():
            apart = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", APART, "apart"]
            wrap = (*wrap, *apart)
            more["HIDDEN"] = " ".join(map(str, self.hidden))
        self.workers.append(self._start("worker", self.address, *options, wrap=wrap, **more))

    def _start(
        self, kind: str, *arguments: str, wrap: tuple[str, ...] = (), **more: str
    ) -> "subprocess.Popen[str]":
        command = [*wrap, sys.executable, "-m", "dask", kind, "--no-dashboard", *arguments]
        log = (self.folder / f"{kind}.log").open("a")
        process = start(command, self.folder, self.variables | more, output=log)
        log.close()
        return process

    def kill_worker(self, number: int) -> None:
        kill(self.workers[number])
        self.workers[number].wait()

    def kill_scheduler(self) -> None:
        kill(self.scheduler)
        self.scheduler.wait()
