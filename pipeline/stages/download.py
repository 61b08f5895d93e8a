"""Download the four files of the data set into data/raw/, each verified by its SHA-256.

The mirrors are tried in the order of params.yaml; the environment variable MNIST_MIRROR (a
directory, or a file://, http:// or https:// address) is tried before them. It changes where
bytes come from, never which bytes are accepted. A file fetched once is kept in this user's
cache folder and not fetched again.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pooch
import requests
from filelock import FileLock
from pydantic import Field, PositiveFloat

from pipeline.stage import PipelineError, Section, run_stage

ADVICE = (
    "Check the network, or set MNIST_MIRROR to a directory or address that holds the files, "
    "or run `make demo`, which needs no download."
)


class RemoteFile(Section):
    """A file as the mirrors have it."""

    name: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataSet(Section):
    """The four files of a data set in IDX form."""

    train_images: RemoteFile
    train_labels: RemoteFile
    test_images: RemoteFile
    test_labels: RemoteFile


class DownloadParams(Section):
    """Section ``download`` of ``params.yaml``."""

    mirrors: list[str]
    timeout: PositiveFloat
    files: DataSet


def download(
    params: DownloadParams,
    *,
    train_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    train_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    test_images: Path = Path("data/raw/t10k-images-idx3-ubyte.gz"),
    test_labels: Path = Path("data/raw/t10k-labels-idx1-ubyte.gz"),
) -> None:
    """Write the four files, byte for byte those that ``params`` names.

    Raises:
        PipelineError: A file could not be had from any mirror; no part of it is left behind.
    """
    mirrors = [*filter(None, [os.environ.get("MNIST_MIRROR")]), *params.mirrors]
    for file, destination in (
        (params.files.train_images, train_images),
        (params.files.train_labels, train_labels),
        (params.files.test_images, test_images),
        (params.files.test_labels, test_labels),
    ):
        fetched = fetch(file, mirrors, params.timeout, pooch.os_cache("mnist-pipeline"))
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial = destination.with_name(f"{destination.name}.partial")
        shutil.copyfile(fetched, partial)
        partial.replace(destination)


def fetch(file: RemoteFile, mirrors: list[str], timeout: float, cache: Path) -> Path:
    """Return a file in the cache, verified, after fetching it from the first mirror that has it.

    Args:
        file: What to fetch.
        mirrors: Directories and addresses that may hold it, in the order to try them.
        timeout: Seconds without an answer or a byte after which the next mirror is tried.
        cache: The folder that keeps files from one run to the next.

    Raises:
        PipelineError: Every mirror failed; the message gives each one's reason.
    """
    cache.mkdir(parents=True, exist_ok=True)
    # Under its hash: the files of other data sets bear the same names.
    cached = cache / f"{file.sha256}.gz"
    with FileLock(cache / "lock"):
        # Nobody else is at work here, so a temporary file is what a killed run left behind.
        for remainder in cache.glob("tmp*"):
            remainder.unlink()
        if cached.exists() and pooch.file_hash(str(cached)) == file.sha256:
            print(f"{file.name}: already on this machine, verified")
            return cached
        failures = []
        for mirror in mirrors:
            try:
                _retrieve(file, mirror, timeout, cached)
            except (OSError, ValueError) as error:
                failures.append(f"  {mirror}: {_reason(error, timeout)}")
                print(f"{file.name}: not from{failures[-1][1:]}", file=sys.stderr)
            else:
                print(f"{file.name}: from {mirror}, verified")
                return cached
    raise PipelineError(
        "\n".join([f"{file.name} could not be had from any mirror:", *failures, ADVICE])
    )


def _retrieve(file: RemoteFile, mirror: str, timeout: float, cached: Path) -> None:
    """Fetch a file from one mirror with pooch: into a temporary file, then hash, then move."""
    local = _local_directory(mirror)
    pooch.get_logger().setLevel("ERROR")
    pooch.retrieve(
        f"{mirror.rstrip('/')}/{file.name}",
        f"sha256:{file.sha256}",
        fname=cached.name,
        path=cached.parent,
        downloader=(lambda _url, output, _pooch: shutil.copyfile(local / file.name, output))
        if local
        else pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(),
            timeout=timeout,
            # Some servers call a .gz file a compressed transfer, to be unpacked on the way.
            headers={"Accept-Encoding": "identity"},
        ),
    )


def _local_directory(mirror: str) -> Path | None:
    """Return the directory that a mirror is, or None for one on the network."""
    address = urlsplit(mirror)
    if address.scheme in {"http", "https"}:
        return None
    return Path(url2pathname(address.path) if address.scheme == "file" else mirror)


def _reason(error: Exception, timeout: float) -> str:
    """Return in a few words why a mirror failed; the libraries' own texts fill a paragraph."""
    match error:
        case requests.HTTPError(response=requests.Response() as response):
            return f"{response.status_code} {response.reason}"
        # In the middle of a transfer, requests reports a time-out as a lost connection.
        case requests.Timeout() | requests.ConnectionError() if "timed out" in str(error):
            return f"no answer for {timeout:g} s"
        case requests.ConnectionError():
            return "no connection, or it was cut"
        case requests.RequestException():
            return "the transfer was cut off"
        case OSError(strerror=str(text)):
            return text
        case _:
            return "other bytes than expected (SHA-256 differs)"


if __name__ == "__main__":
    run_stage(download, DownloadParams)
