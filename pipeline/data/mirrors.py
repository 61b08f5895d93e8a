"""Download a file from the first of several mirrors that has it, verified by its SHA-256.

A mirror may be down, slow or wrong; nothing that it sends is trusted. A verified file stays in the
user's cache folder. It is not downloaded again, but verified at each use.
"""

import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pooch
import requests
import urllib3.exceptions
from filelock import FileLock, Timeout
from tqdm import tqdm

from pipeline.runtime.errors import PipelineError, readable

LARGEST_FILE = 1 << 30  # bytes, a hundred times MNIST; a mirror may send without end
ADVICE = (
    "`make demo` needs no internet: it runs the whole pipeline on real digits that are installed "
    "with it. For all of the data, check the network, or set MNIST_MIRROR to a directory or "
    "address that holds the files."
)


def fetch(name: str, sha256: str, mirrors: Sequence[str], timeout: float) -> Path:
    """Return the path of a verified file in the user's cache, downloaded if it is not there.

    Args:
        name: The file's name on the mirrors.
        sha256: The only content accepted, in hexadecimal digits.
        mirrors: Directories and addresses to try, in this order.
        timeout: Seconds without an answer or a byte after which the next mirror is tried.

    Raises:
        PipelineError: Every mirror failed; the message gives each one's reason.
    """
    cache = Path(pooch.os_cache("mnist-pipeline"))
    # Named by its hash: the files of other data sets have the same names.
    cached = cache / f"{sha256}.gz"
    with _locked(cache):
        # No other process is in here, so a killed run has left these temporary files.
        for remainder in cache.glob("tmp*"):
            remainder.unlink()
        if cached.exists() and pooch.file_hash(str(cached)) == sha256:
            print(f"{name}: already on this machine, verified")
            return cached
        failures: list[str] = []
        for mirror in mirrors:
            if failures:
                print(f"{name}: {failures[-1]}; trying the next mirror", file=sys.stderr)
            try:
                _retrieve(name, sha256, mirror, timeout, cached)
            except (OSError, ValueError, RuntimeError, urllib3.exceptions.HTTPError) as error:
                failures.append(f"{mirror}: {readable(_failure(error, timeout))}")
            else:
                print(f"{name}: from {mirror}, verified")
                return cached
    raise PipelineError("\n  ".join([f"{name} cannot be downloaded:", *failures]) + f"\n{ADVICE}")


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Make the cache folder, and keep other processes out of it meanwhile."""
    lock = FileLock(cache / "lock")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Waiting for another download into {cache}", flush=True)
            lock.acquire()
    except OSError as error:
        raise PipelineError(
            f"{cache} cannot be used as a cache: {error.strerror}. "
            "Set XDG_CACHE_HOME to a folder that you may write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _retrieve(name: str, sha256: str, mirror: str, timeout: float, cached: Path) -> None:
    """Download a file from one mirror: pooch writes a temporary file, checks its hash, moves it."""
    pooch.get_logger().setLevel("ERROR")
    pooch.retrieve(
        f"{mirror.rstrip('/')}/{name}",
        f"sha256:{sha256}",
        fname=cached.name,
        path=cached.parent,
        downloader=_downloader(name, mirror, timeout),
    )


def _downloader(name: str, mirror: str, timeout: float) -> Callable[[str, str, object], None]:
    """Return the function by which pooch gets a mirror's file of that name into a path."""
    address = urlsplit(mirror)

    def copy(_url: str, output: str, _pooch: object) -> None:
        folder = url2pathname(address.path) if address.scheme == "file" else mirror
        source = Path(folder).expanduser() / name
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(source.stat().st_mode):
            raise ValueError(f"{source} is not a regular file")
        if source.stat().st_size > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE} bytes")
        with source.open("rb") as content, Path(output).open("wb") as file:
            _copy(content.read, file)

    def transfer(url: str, output: str, _pooch: object) -> None:
        headers = {"Accept-Encoding": "identity"}
        with (
            requests.get(url, headers=headers, stream=True, timeout=timeout) as response,
            Path(output).open("wb") as file,
        ):
            if response.status_code != HTTPStatus.OK:
                raise requests.HTTPError(response=response)
            size = response.headers.get("Content-Length", "")
            # The raw bytes: some servers call a .gz file a compressed transfer though nobody asked
            # for one, and pooch's own downloader would unpack it.
            with tqdm.wrapattr(
                response.raw,
                "read",
                total=int(size) if size.isdecimal() else None,
                desc=name,
                disable=not sys.stderr.isatty(),
            ) as body:
                _copy(body.read, file)

    if address.scheme in {"http", "https"}:
        return transfer
    # One letter is a drive of Windows.
    if address.scheme == "file" or len(address.scheme) <= 1:
        return copy
    raise ValueError("neither a directory nor a file://, http:// or https:// address")


def _copy(read: Callable[[int], bytes], target: IO[bytes]) -> None:
    """Copy what a mirror sends, up to the largest size that a file may have."""
    copied = 0
    while chunk := read(1 << 16):
        copied += len(chunk)
        if copied > LARGEST_FILE:
            raise ValueError(f"more than {LARGEST_FILE} bytes")
        target.write(chunk)


def _failure(error: Exception, timeout: float) -> str:  # noqa: PLR0911 (a table of cases)
    """Return why a mirror failed, in a few words; the libraries' own texts fill a paragraph."""
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"{response.status_code} {response.reason}".strip()
        case requests.Timeout() | urllib3.exceptions.ReadTimeoutError():
            return f"no answer for {timeout:g} s"
        case urllib3.exceptions.ProtocolError():
            return "the transfer was cut off"
        case urllib3.exceptions.HTTPError():
            return "no valid HTTP answer"
        case requests.exceptions.SSLError():
            return "its certificate was refused"
        case requests.exceptions.ProxyError():
            return "the proxy gave no connection"
        case requests.ConnectionError():
            return "no connection"
        case OSError(strerror=str(text)):
            return text
        case ValueError() if "hash" in str(error):
            return "other bytes than expected (SHA-256 differs)"
        case _:
            return str(error)
