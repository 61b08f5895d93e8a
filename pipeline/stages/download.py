"""Download the four files of the data set into data/raw/, each verified by its SHA-256.

The mirrors are tried in the order of params.yaml; the environment variable MNIST_MIRROR (a
directory, or a file://, http:// or https:// address) is tried before them. It changes where
bytes come from, never which bytes are accepted. A file fetched once is kept in this user's
cache folder and not fetched again.
"""

import os
import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.data.mirrors import fetch
from pipeline.runtime.atomic import replacing
from pipeline.runtime.command import run_stage
from pipeline.runtime.params import Section


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
    timeout: Annotated[float, Field(gt=0, le=3600)]
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
        PipelineError: A file cannot be downloaded from any mirror; no part of it stays.
    """
    preferred = os.environ.get("MNIST_MIRROR", "").strip()
    mirrors = [preferred, *params.mirrors] if preferred else params.mirrors
    for file, destination in (
        (params.files.train_images, train_images),
        (params.files.train_labels, train_labels),
        (params.files.test_images, test_images),
        (params.files.test_labels, test_labels),
    ):
        fetched = fetch(file.name, file.sha256, mirrors, params.timeout)
        with replacing(destination) as partial:
            shutil.copyfile(fetched, partial)


if __name__ == "__main__":
    run_stage(download, DownloadParams)
