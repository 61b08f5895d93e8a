import os
import sys
from pathlib import Path

import pytest
from conftest import NAMES, MirrorServer, sha256

from pipeline.data import mirrors
from pipeline.data.mirrors import fetch
from pipeline.runtime.errors import PipelineError

NAME = NAMES["test_labels"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    return tmp_path / "cache"


def remains(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.name != "lock"]


def test_mirror_that_never_ends_is_left_for_the_next(
    cache: Path,
    data_set: Path,
    server: MirrorServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wanted = data_set / NAME
    # No byte more than the file has.
    monkeypatch.setattr(mirrors, "LARGEST_FILE", wanted.stat().st_size)
    places = [server.address("endless"), server.address()]
    found = fetch(NAME, sha256(wanted), places, timeout=600)
    assert found.read_bytes() == wanted.read_bytes()
    assert remains(cache) == [found.name]
    assert f"endless: more than {wanted.stat().st_size} bytes" in capsys.readouterr().err


def test_control_characters_of_a_mirror_do_not_reach_the_terminal(
    cache: Path, server: MirrorServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PipelineError, match=r"rude: 500 \\x1b\[2Jred"):
        fetch(NAME, "0" * 64, [server.address("rude")] * 2, timeout=600)
    told = capsys.readouterr().err
    assert "; trying the next mirror" in told
    assert "\x1b" not in told
    assert remains(cache) == []


def test_file_too_large_in_a_folder_is_not_copied(cache: Path, tmp_path: Path) -> None:
    with (tmp_path / NAME).open("wb") as file:
        file.truncate(1 << 40)  # a hole of a terabyte
    with pytest.raises(PipelineError, match=r"more than 1073741824 bytes"):
        fetch(NAME, "0" * 64, [str(tmp_path)], timeout=600)
    assert remains(cache) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files; they would hang")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_in_a_folder_is_called_so(cache: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / NAME
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(PipelineError, match=rf"{NAME} is not a regular file"):
        fetch(NAME, "0" * 64, [str(tmp_path)], timeout=600)
    assert remains(cache) == []
