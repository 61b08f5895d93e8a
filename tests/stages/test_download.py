import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import NAMES, MirrorServer, Project, finish
from filelock import FileLock

RAW = Path("data/raw")


def raw_files(project: Project) -> dict[str, bytes]:
    folder = project.folder / RAW
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in NAMES.values()}


def cached_files(project: Project) -> list[str]:
    """What lies in the user's cache folder, wherever the system keeps that."""
    return sorted(
        path.name
        for path in project.home.rglob("*")
        if path.is_file() and "mnist-pipeline" in path.parts and path.name != "lock"
    )


def use_mirrors(project: Project, *mirrors: str) -> None:
    project.edit_params(lambda params: params["download"].update(mirrors=list(mirrors)))


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_files_arrive_byte_for_byte(project: Project, data_set: Path) -> None:
    output = project.stage("download")
    assert raw_files(project) == files(data_set)
    assert output.count("verified") == 4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "404 Not Found"),
        ("truncated", "cut off"),
        ("stalled", "no answer for 1 s"),
        ("hang", "no answer for 1 s"),
        ("wrong", "SHA-256 differs"),
        ("html", "SHA-256 differs"),
    ],
)
def test_next_mirror_serves_after_a_bad_one(
    project: Project, data_set: Path, server: MirrorServer, kind: str, reason: str
) -> None:
    use_mirrors(project, server.address(kind), server.address())
    output = project.stage("download")
    assert f"not from {server.address(kind)}: " in output
    assert reason in output
    assert raw_files(project) == files(data_set)


def test_next_mirror_serves_after_one_that_is_down(
    project: Project, data_set: Path, server: MirrorServer
) -> None:
    use_mirrors(project, f"http://127.0.0.1:{closed_port()}", server.address())
    assert "no connection" in project.stage("download")
    assert raw_files(project) == files(data_set)


@pytest.mark.parametrize("kind", ["labelled", "repeated"])
def test_server_with_odd_headers_and_right_bytes_serves(
    project: Project, data_set: Path, server: MirrorServer, kind: str
) -> None:
    # A .gz file labelled as a compressed transfer; its length given twice.
    use_mirrors(project, server.address(kind))
    assert "not from" not in project.stage("download")
    assert raw_files(project) == files(data_set)


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
    project: Project, server: MirrorServer, mirror: str, reason: str
) -> None:
    use_mirrors(project, mirror.replace("PORT", str(server.server_address[1])))
    output = project.stage("download", status=1)
    assert re.search(f"not from .*: .*({reason})", output)
    assert "Traceback" not in output


def test_blank_variable_names_no_mirror(project: Project) -> None:
    assert "not from" not in project.stage("download", MNIST_MIRROR=" ")


def test_cache_that_cannot_be_used_is_named_with_what_to_do(project: Project) -> None:
    (project.home / "file").write_text("not a folder")
    output = project.stage("download", status=1, XDG_CACHE_HOME=str(project.home / "file"))
    assert "not to be used as a cache" in output
    assert "Set XDG_CACHE_HOME" in output
    assert "Traceback" not in output


def test_second_download_waits_for_the_first(project: Project, data_set: Path) -> None:
    project.stage("download")
    cache = next(path.parent for path in project.home.rglob("*.gz"))
    with FileLock(cache / "lock"):
        process = project.start("python", "-m", "pipeline.stages.download")
        assert process.stdout
        assert "Waiting for another download" in process.stdout.readline()
    assert finish(process, 0).count("already on this machine") == 4
    assert raw_files(project) == files(data_set)


def test_file_that_cannot_be_put_in_its_place_leaves_no_part_of_it(project: Project) -> None:
    # A folder stands where the file is to go.
    (project.folder / RAW / NAMES["train_images"]).mkdir(parents=True)
    output = project.stage("download", status=1)
    assert "Traceback" not in output
    assert not list((project.folder / RAW).glob("*.partial"))


def test_all_mirrors_bad_says_why_and_what_to_do(project: Project, server: MirrorServer) -> None:
    bad = [
        server.address("missing"),
        server.address("html"),
        "/nowhere",
        f"http://127.0.0.1:{closed_port()}",
    ]
    use_mirrors(project, *bad)
    output = project.stage("download", status=1)
    message = output[output.index("download: ") :]
    for mirror, reason in zip(
        bad, ("404", "SHA-256", "No such file", "no connection"), strict=True
    ):
        assert any(
            line.startswith(f"  {mirror}: ") and reason in line for line in message.splitlines()
        )
    assert "MNIST_MIRROR" in message
    assert "make demo" in message
    assert "Traceback" not in output
    assert raw_files(project) == {}
    assert cached_files(project) == []


def test_no_mirror_at_all_is_a_message_too(project: Project) -> None:
    use_mirrors(project)
    assert "could not be had from any mirror" in project.stage("download", status=1)


@pytest.mark.parametrize("form", ["directory", "relative", "file", "http"])
def test_environment_names_a_mirror_to_try_first(
    project: Project, data_set: Path, server: MirrorServer, form: str
) -> None:
    use_mirrors(project, server.address("missing"))
    mirror = {
        "directory": str(data_set),
        "relative": os.path.relpath(data_set, project.folder),
        "file": data_set.as_uri(),
        "http": server.address() + "/",
    }[form]
    output = project.stage("download", MNIST_MIRROR=mirror)
    assert "not from" not in output
    assert raw_files(project) == files(data_set)


def test_environment_changes_not_which_bytes_are_accepted(
    project: Project, data_set: Path, server: MirrorServer
) -> None:
    output = project.stage("download", MNIST_MIRROR=server.address("wrong"))
    assert "SHA-256 differs" in output
    assert raw_files(project) == files(data_set)


def test_fetched_files_are_not_fetched_again(
    project: Project, data_set: Path, server: MirrorServer
) -> None:
    project.stage("download")
    asked = len(server.requests)
    for name in NAMES.values():
        (project.folder / RAW / name).unlink()
    assert project.stage("download").count("already on this machine, verified") == 4
    assert len(server.requests) == asked
    assert raw_files(project) == files(data_set)


def test_damaged_file_in_the_cache_is_fetched_again(project: Project, data_set: Path) -> None:
    project.stage("download")
    for path in project.home.rglob("*.gz"):
        path.write_bytes(b"rot")
    assert "already" not in project.stage("download")
    assert raw_files(project) == files(data_set)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_halfway_leaves_no_partial_file_and_the_next_run_succeeds(
    project: Project, data_set: Path, server: MirrorServer, sent: signal.Signals
) -> None:
    use_mirrors(project, server.address("stalled"))
    project.edit_params(lambda params: params["download"].update(timeout=60.0))
    asked = len(server.requests)
    process = project.start("python", "-m", "pipeline.stages.download")
    deadline = time.monotonic() + 30
    while len(server.requests) == asked:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)  # some bytes have come by now
    process.send_signal(sent)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == (-sent if sent is signal.SIGKILL else 128 + sent)
    assert "Traceback" not in output
    assert raw_files(project) == {}
    use_mirrors(project, server.address())
    project.stage("download")
    assert raw_files(project) == files(data_set)
    assert len(cached_files(project)) == 4


def test_other_data_set_is_a_change_of_parameters_alone(
    project: Project, data_set: Path, tmp_path: Path
) -> None:
    def use_other_names(params: Any) -> None:
        params["download"]["mirrors"] = [str(tmp_path / "other")]
        for role in NAMES:
            params["download"]["files"][role]["name"] = f"other_{role}.gz"

    (tmp_path / "other").mkdir()
    for role, name in NAMES.items():
        (tmp_path / "other" / f"other_{role}.gz").write_bytes((data_set / name).read_bytes())
    project.edit_params(use_other_names)
    project.stage("download")
    assert raw_files(project) == files(data_set)
