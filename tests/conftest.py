"""What the tests share: synthetic digits, mirrors, a project in a scratch folder, a browser."""

import atexit
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

import hypothesis
import numpy as np
import pytest
from browser import Chromium, installed_chromium, running
from filelock import FileLock
from numpy.typing import NDArray
from ruamel.yaml import YAML
from s3_server import S3, Bucket

from pipeline.data.idx import write_idx
from pipeline.data.raw_examples import PreprocessParams

# A busy machine is no failure.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")

ROOT = Path(__file__).parents[1]
NAMES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}

# Seconds to wait for a process: a safety net, which no process reaches on a busy machine either.
PATIENCE = 3600
# What this test has started so far.
STARTED: list["subprocess.Popen[str]"] = []
# What a project and its studies have in Git, besides code and results.
FILES = (
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvcignore",
    ".gitattributes",
    ".gitignore",
    "dvc.yaml",
    "params.yaml",
)

# Runs a command on a terminal of 80 columns and copies what it shows to standard output.
TERMINAL = """
import fcntl, os, pty, struct, sys, termios
process, terminal = pty.fork()
if process == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    os.execvp(sys.executable, [sys.executable, *sys.argv[1:]])
try:
    while shown := os.read(terminal, 4096):
        os.write(1, shown)
except OSError:  # Linux's way to say that the other side is closed
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def synthetic_digits(
    count: int, seed: int = 0, side: int = 28, classes: int = 10
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images, uint8 (count, side, side), that a network can learn, and their labels."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.uint8)
    random.shuffle(labels)
    prototypes = np.random.default_rng(42).integers(0, 256, (classes, side, side))
    noise = random.integers(0, 256, (count, side, side))
    return (0.45 * prototypes[labels] + 0.55 * noise).astype(np.uint8), labels


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class MirrorHandler(BaseHTTPRequestHandler):
    """Serves a folder; the first part of the address says what is wrong with the mirror."""

    server: "MirrorServer"

    def do_GET(self) -> None:
        _, kind, name = self.path.split("/")
        self.server.requests.append((kind, name))
        content = (self.server.folder / name).read_bytes()
        if kind == "hang":
            self.server.released.wait(60)
            return
        if kind in {"missing", "rude"}:
            status, reason = (404, None) if kind == "missing" else (500, "\x1b[2Jred")
            self.send_response_only(status, reason)
            self.end_headers()
            return
        if kind == "endless":
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):  # until the client has enough
                while True:
                    self.wfile.write(content)
            return
        body = {
            "good": content,
            "labelled": content,
            "repeated": content,
            "wrong": bytes(len(content)),
            "html": b"<!DOCTYPE html><title>Moved</title>",
            "truncated": content[: len(content) // 2],
            "stalled": content[: len(content) // 2],
        }[kind]
        self.send_response(200)
        self.send_header(
            "Content-Length", str(len(content) if kind in {"truncated", "stalled"} else len(body))
        )
        if kind == "labelled":
            self.send_header("Content-Encoding", "gzip")
        if kind == "repeated":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if kind == "stalled":
            self.wfile.flush()
            self.server.released.wait(60)

    def log_message(self, *_: object) -> None:
        pass


class MirrorServer(ThreadingHTTPServer):
    """A mirror on this machine that remembers what it was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.folder = folder
        self.requests: list[tuple[str, str]] = []
        self.released = threading.Event()

    def address(self, kind: str = "good") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{kind}"


@pytest.fixture(scope="session")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four files of a small synthetic data set."""
    folder = tmp_path_factory.mktemp("data_set")
    for part, count, seed in (("train", 1300, 1), ("test", 200, 2)):
        images, labels = synthetic_digits(count, seed)
        write_idx(folder / NAMES[f"{part}_images"], images)
        write_idx(folder / NAMES[f"{part}_labels"], labels)
    return folder


@pytest.fixture(scope="session")
def server(data_set: Path) -> Iterator[MirrorServer]:
    with MirrorServer(data_set) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


def pytest_configure() -> None:
    """Let signals reach what the tests start, and let nothing of it outlive the tests.

    In the background of a script SIGINT is ignored, under nohup SIGHUP, and so they would be in
    all that pytest starts; a signal that is handled is not.
    """
    # A process of xdist ends with the one that has started it.
    outlives_terminal = "PYTEST_XDIST_WORKER" in os.environ or (
        signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, pass_over if outlives_terminal else end)
    atexit.register(kill_started)


def pass_over(*_: object) -> None:
    """Go on after a signal."""


def end(number: int, _: object) -> None:
    """End the tests as the signal would have."""
    # No more than that: the tests may be reading from them, or waiting for them.
    for process in STARTED:
        kill(process)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Kill what a test has started, before its folder goes."""
    kill_started()


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process that leads a session, with all that it has started."""
    with suppress(ProcessLookupError, PermissionError):  # they have ended
        os.killpg(process.pid, signal.SIGKILL)


def kill_started() -> None:
    """Kill the processes that the tests have started, with all that these have started."""
    while STARTED:
        process = STARTED.pop()
        kill(process)
        process.wait()
        if process.stdout:
            process.stdout.close()


def own_environment(home: Path) -> dict[str, str]:
    """Return the variables by which programs keep to a home, and to no settings of the machine."""
    return {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc"),
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def start(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    output: int | IO[str] = subprocess.PIPE,
) -> "subprocess.Popen[str]":
    """Start a command in a session of its own; it ends with the test at the latest."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=output,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    STARTED.append(process)
    return process


def finish(process: "subprocess.Popen[str]", status: int) -> str:
    """Wait for a process, expect its exit code, and return what it printed."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, output
    return output


@dataclass
class Project:
    """A copy of the project in a scratch folder, with caches and a home of its own."""

    folder: Path
    home: Path

    @property
    def studies(self) -> "Project":
        """The DVC project in the folder of the studies."""
        return Project(self.folder / "studies", self.home)

    def start(self, *command: str, **environment: str) -> "subprocess.Popen[str]":
        """Start a command as a user of this project would, with nothing inherited that matters.

        It leads a session of its own: ``os.killpg(process.pid, ...)`` reaches all that it starts.
        """
        if command[0] == "python":
            command = (sys.executable, *command[1:])
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in {"SYSTEMROOT", "TMPDIR"} or name.startswith("OPENBLAS_")
        }
        own = own_environment(self.home) | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "GIT_AUTHOR_NAME": "Test",
            "GIT_AUTHOR_EMAIL": "test@example.invalid",
            "GIT_COMMITTER_NAME": "Test",
            "GIT_COMMITTER_EMAIL": "test@example.invalid",
        }
        return start(command, self.folder, kept | own | environment)

    def run(self, *command: str, status: int = 0, **environment: str) -> str:
        """Run a command, expect its exit code, and return what it printed."""
        return finish(self.start(*command, **environment), status)

    def repro(self, *arguments: str, **environment: str) -> list[str]:
        """Run ``dvc repro`` and return the stages that it ran."""
        output = finish(self.start("dvc", "repro", *arguments, **environment), 0)
        return [
            line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")
        ]

    def stage(self, name: str, status: int = 0, **environment: str) -> str:
        return finish(self.start("python", "-m", f"pipeline.stages.{name}", **environment), status)

    def edit_params(self, edit: Callable[[Any], object], name: str = "params.yaml") -> None:
        """Change the parameters in place."""
        yaml = YAML(typ="safe")
        params = yaml.load(self.folder / name)
        edit(params)
        yaml.dump(params, self.folder / name)

    def append(self, name: str, text: str) -> None:
        """Add to the end of a file."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


def preprocess_params(**changes: Any) -> PreprocessParams:
    """Return the project's own parameters of preprocessing, but for some changes."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")["preprocess"]
    return PreprocessParams(**(params | changes))


def copy_project(folder: Path, home: Path) -> Project:
    """Copy the project's own files, without its data and results, into a new Git repository.

    The studies' are with them: their DVC project, and its links to the pipeline's code and data.
    """
    # With Python's bytecode, else each copy would compile it anew; not what is being written of it.
    shutil.copytree(
        ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("*.pyc.*")
    )
    for source, target in ((ROOT, folder), (ROOT / "studies", folder / "studies")):
        shutil.copytree(source / ".dvc/plots", target / ".dvc/plots")
        for name in FILES:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)
        for link in filter(Path.is_symlink, source.iterdir()):
            (target / link.name).symlink_to(link.readlink())
    home.mkdir()
    project = Project(folder, home)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    return project


def use_small_data(params: Any, data_set: Path, mirrors: list[str]) -> None:
    """Set the parameters to a small data set, and to a short training that can be interrupted."""
    params["download"]["mirrors"] = mirrors
    params["download"]["timeout"] = 1.0
    for role, name in NAMES.items():
        params["download"]["files"][role]["sha256"] = sha256(data_set / name)
    params["preprocess"]["validation_size"] = 100
    params["train"]["checkpoint_every"] = 1
    params["export"]["made_up"] = 10
    for recipe in params["recipes"].values():
        recipe.update({"batch_size": 50, "epochs": 3})


# A lock file as DVC writes it, of a stage that nobody runs.
LOCK = """\
schema: '2.0'
stages:
  a:
    cmd: sh a.sh
    outs:
    - path: x
      md5: 0cc175b9c0f1b6a831c399e269772661
      size: 1
"""


@pytest.fixture
def project(tmp_path: Path, data_set: Path, server: MirrorServer) -> Project:
    """The project on small data that nothing has been run of."""
    project = copy_project(tmp_path / "project", tmp_path / "home")
    project.edit_params(lambda params: use_small_data(params, data_set, [server.address()]))
    return project


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new home for what is called in this very process, with nothing inherited that matters."""
    home = tmp_path / "own home"
    home.mkdir()
    for name, value in own_environment(home).items():
        monkeypatch.setenv(name, value)
    for name in ("MNIST_MIRROR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return home


def made_once(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> tuple[Path, Any]:
    """Return a folder that all processes of the tests share, and what is known of it.

    Args:
        factory: Knows where these tests may write.
        name: Of the folder.
        make: Fills the new folder, and returns what is known, as JSON types; the first process
            that needs the folder calls it.
    """
    shared = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, known = shared / name, shared / f"{name}.json"
    with FileLock(shared / f"{name}.lock"):
        if not known.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
            folder.mkdir()
            facts = json.dumps(make(folder))
            known.write_text(facts)
    return folder, json.loads(known.read_text())


def copied(project: Project, folder: Path) -> Project:
    """Return a copy of a project with all that it has; both share a home."""
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder, project.home)


@pytest.fixture(scope="session")
def original(
    tmp_path_factory: pytest.TempPathFactory, data_set: Path
) -> Iterator[tuple[Project, list[str]]]:
    """The project on small data, reproduced and committed, with the stages that ran."""

    def make(folder: Path) -> list[str]:
        project = copy_project(folder / "project", folder / "home")
        project.edit_params(lambda params: use_small_data(params, data_set, [str(data_set)]))
        ran = project.repro()
        project.commit("Results")
        return ran

    folder, ran = made_once(tmp_path_factory, "original", make)
    project = Project(folder / "project", folder / "home")
    yield project, ran
    # Nothing of what the tests did with copies may have come back to it.
    assert project.run("git", "status", "--porcelain") == ""


@pytest.fixture(scope="session")
def original_with_branch(
    tmp_path_factory: pytest.TempPathFactory, original: tuple[Project, list[str]]
) -> tuple[Project, str]:
    """The original, at its branch `longer` with another epoch and target error, and the output."""

    def edit(params: Any) -> None:
        params["recipes"]["original"]["epochs"] = 4
        params["evaluate"]["target_errors"] = [0.1]  # which so few images can keep

    def make(folder: Path) -> str:
        project = copied(original[0], folder / "project")
        project.run("git", "checkout", "--quiet", "-b", "longer")
        project.edit_params(edit)
        output = project.run("dvc", "repro")
        project.commit("Longer")
        return output

    folder, output = made_once(tmp_path_factory, "original with branch", make)
    return Project(folder / "project", original[0].home), output


@pytest.fixture
def reproduced(original: tuple[Project, list[str]], tmp_path: Path) -> Project:
    """A copy of the reproduced project to do as one likes with."""
    return copied(original[0], tmp_path / "project")


@pytest.fixture
def branched(original_with_branch: tuple[Project, str], tmp_path: Path) -> Project:
    """A copy of the project that has a branch, likewise."""
    return copied(original_with_branch[0], tmp_path / "project")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    executable = installed_chromium()
    if executable is None:
        pytest.skip("needs Chromium or Chrome; would have shown that pages are whole, and offline")
    with running(executable) as chromium:
        yield chromium


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    with S3().running() as server:
        yield server


@pytest.fixture
def bucket(s3: S3) -> Bucket:
    """An empty bucket."""
    return s3.bucket(f"bucket-{uuid.uuid4()}")


def use_remote(project: Project, bucket: Bucket) -> None:
    """Give a project a remote, as the commands of docs/sharing.md do."""
    config = project.folder / ".dvc/config"
    text = config.read_text().replace("[core]", "[core]\n    remote = storage")
    remote = f"url = {bucket.address}\nverify = true\nendpointurl = {bucket.server.address}\n"
    config.write_text(f"{text}['remote \"storage\"']\n{remote}")
