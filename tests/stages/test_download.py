import hashlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import NAMES, ROOT, MirrorServer, Project, finish, use_small_data
from filelock import FileLock
from ruamel.yaml import YAML

from pipeline.runtime.errors import PipelineError
from pipeline.stages.download import DownloadParams, download

RAW = Path("data/raw")
SHORT = 0.2  # seconds; only where another mirror, a folder, needs none


@pytest.fixture
def fetched(
    own_home: Path,
    tmp_path: Path,
    data_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """Run the stage in this process, in a folder of its own; return what it printed.

    Its arguments are the mirrors and other parameters.
    """
    assert own_home.exists()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    use_small_data(params, data_set, [])

    def run(*mirrors: str, **changes: Any) -> str:
        values = params["download"] | {"mirrors": list(mirrors), "timeout": 3600.0} | changes
        download(DownloadParams.model_validate(values))
        return "".join(capsys.readouterr())

    return run


def raw_files(folder: Path = Path()) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / RAW).glob("*")}


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES.values()}


def cached_files(home: Path) -> list[str]:
    """What lies in the user's cache folder, wherever the system keeps that."""
    return sorted(
        path.name
        for path in home.rglob("*")
        if path.is_file() and "mnist-pipeline" in path.parts and path.name != "lock"
    )


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "404 Not Found"),
        ("truncated", "cut off"),
        ("stalled", f"no answer for {SHORT} s"),
        ("hang", f"no answer for {SHORT} s"),
        ("wrong", "SHA-256 differs"),
        ("html", "SHA-256 differs"),
    ],
)
def test_next_mirror_serves_after_a_bad_one(
    fetched: Callable[..., str], data_set: Path, server: MirrorServer, kind: str, reason: str
) -> None:
    changes = {"timeout": SHORT} if str(SHORT) in reason else {}
    output = fetched(server.address(kind), str(data_set), **changes)
    assert re.search(rf"{server.address(kind)}: .*{reason}", output)
    assert raw_files() == files(data_set)


def test_next_mirror_serves_after_one_that_is_down(
    fetched: Callable[..., str], data_set: Path, server: MirrorServer
) -> None:
    assert "no connection" in fetched(f"http://127.0.0.1:{closed_port()}", server.address())
    assert raw_files() == files(data_set)


@pytest.mark.parametrize("kind", ["labelled", "repeated"])
def test_server_with_odd_headers_and_right_bytes_serves(
    fetched: Callable[..., str], data_set: Path, server: MirrorServer, kind: str
) -> None:
    # A .gz file labelled as a compressed transfer; its length given twice.
    assert fetched(server.address(kind)).count("verified") == 4
    assert raw_files() == files(data_set)


@pytest.mark.parametrize(
    ("mirror", "reason"),
    [
        ("ftp://127.0.0.1/mnist", "neither a directory nor a file://, http:// or https:// address"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://", "No host supplied"),
        ("file:///nowhere", "No such file or directory"),
        ("~/nowhere", "No such file or directory"),
        ("~nobody-here/mnist", "home directory"),
        ("https://127.0.0.1:PORT/good", "its certificate was refused|no connection"),
    ],
)
def test_mirror_that_is_no_mirror_is_called_so(
    fetched: Callable[..., str], server: MirrorServer, mirror: str, reason: str
) -> None:
    address = mirror.replace("PORT", str(server.server_address[1]))
    with pytest.raises(PipelineError, match=rf"(?m)^  {re.escape(address)}: .*({reason})"):
        fetched(address)


def test_cache_that_cannot_be_used_is_named_with_what_to_do(
    fetched: Callable[..., str], own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_home / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(own_home / "file"))
    with pytest.raises(PipelineError, match=r"cache.* Set XDG_CACHE_HOME"):
        fetched()


def test_second_download_waits_for_the_first(project: Project, data_set: Path) -> None:
    project.stage("download")
    cache = next(path.parent for path in project.home.rglob("*.gz"))
    with FileLock(cache / "lock"):
        process = project.start("python", "-m", "pipeline.stages.download")
        assert process.stdout
        assert "Waiting for another download" in process.stdout.readline()
    assert finish(process, 0).count("already on this machine") == 4
    assert raw_files(project.folder) == files(data_set)


def test_file_that_cannot_be_put_in_its_place_leaves_no_part_of_it(
    fetched: Callable[..., str], data_set: Path
) -> None:
    # A folder stands where the file is to go.
    (RAW / NAMES["train_images"]).mkdir(parents=True)
    with pytest.raises(OSError, match=NAMES["train_images"]):
        fetched(str(data_set))
    assert not list(RAW.glob("*.partial*"))


def test_all_mirrors_bad_says_why_and_what_to_do(
    fetched: Callable[..., str], own_home: Path, server: MirrorServer
) -> None:
    bad = {
        server.address("missing"): "404",
        server.address("html"): "SHA-256",
        "/nowhere": "No such file",
        f"http://127.0.0.1:{closed_port()}": "no connection",
    }
    with pytest.raises(PipelineError, match="MNIST_MIRROR") as caught:
        fetched(*bad)
    lines = str(caught.value).splitlines()
    for mirror, reason in bad.items():
        assert any(line.startswith(f"  {mirror}: ") and reason in line for line in lines)
    assert "make demo" in lines[-1]
    assert raw_files() == {}
    assert cached_files(own_home) == []
    with pytest.raises(PipelineError, match="MNIST_MIRROR"):
        fetched()  # no mirror at all


@pytest.mark.parametrize("form", ["directory", "relative", "file", "http"])
def test_environment_names_a_mirror_to_try_first(
    fetched: Callable[..., str],
    data_set: Path,
    server: MirrorServer,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
) -> None:
    mirror = {
        "directory": str(data_set),
        "relative": os.path.relpath(data_set),
        "file": data_set.as_uri(),
        "http": server.address() + "/",
    }[form]
    monkeypatch.setenv("MNIST_MIRROR", mirror)
    assert server.address("missing") not in fetched(server.address("missing"))
    assert raw_files() == files(data_set)


def test_environment_changes_not_which_bytes_are_accepted_and_blank_it_names_no_mirror(
    fetched: Callable[..., str],
    data_set: Path,
    server: MirrorServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MNIST_MIRROR", server.address("wrong"))
    assert "SHA-256 differs" in fetched(server.address())
    assert raw_files() == files(data_set)
    monkeypatch.setenv("MNIST_MIRROR", " ")
    assert len(fetched(server.address()).splitlines()) == 4


def test_fetched_files_are_not_fetched_again_unless_they_are_damaged(
    fetched: Callable[..., str], own_home: Path, data_set: Path, server: MirrorServer
) -> None:
    fetched(server.address())
    asked = len(server.requests)
    for name in NAMES.values():
        (RAW / name).unlink()
    assert fetched(server.address()).count("already on this machine, verified") == 4
    assert len(server.requests) == asked
    assert raw_files() == files(data_set)
    for path in own_home.rglob("*.gz"):
        path.write_bytes(b"rot")
    assert "already" not in fetched(server.address())
    assert raw_files() == files(data_set)


@pytest.mark.parametrize(
    "sent",
    [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_killed_halfway_leaves_no_partial_file_and_the_next_run_succeeds(
    project: Project, data_set: Path, server: MirrorServer, sent: signal.Signals
) -> None:
    stalled = {"mirrors": [server.address("stalled")], "timeout": 3600.0}
    project.edit_params(lambda params: params["download"].update(stalled))
    asked = len(server.requests)
    process = project.start("python", "-m", "pipeline.stages.download")
    while len(server.requests) == asked or not list(project.home.rglob("tmp*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(sent)
    output, _ = process.communicate()
    assert process.returncode == (-sent if sent is signal.SIGKILL else 128 + sent)
    assert "Traceback" not in output
    assert raw_files(project.folder) == {}
    project.edit_params(lambda params: params["download"].update(mirrors=[server.address()]))
    assert project.stage("download").count("verified") == 4
    assert raw_files(project.folder) == files(data_set)
    assert len(cached_files(project.home)) == 4


def test_other_data_set_is_a_change_of_parameters_alone(
    fetched: Callable[..., str], data_set: Path, tmp_path: Path
) -> None:
    other = {}
    (tmp_path / "other").mkdir()
    for role, name in NAMES.items():
        content = (data_set / name).read_bytes()
        (tmp_path / "other" / f"other_{role}.gz").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        other[role] = {"name": f"other_{role}.gz", "sha256": sha256}
    fetched(str(tmp_path / "other"), files=other)
    assert raw_files() == files(data_set)
