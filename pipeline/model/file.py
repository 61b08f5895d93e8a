"""The file of a Keras model: the same bytes for the same model every time.

Keras writes the time into its .keras archive, and Python's addresses of shared objects; DVC
would take each save for a new model. Here both are replaced. The archive stays one that
``keras.models.load_model`` opens in safe mode.
"""

import errno
import json
import os
import re
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.model.backend import keras
from pipeline.runtime.atomic import replacing
from pipeline.runtime.errors import UNREADABLE, PipelineError, readable

FRAME = 2**18  # bytes of a model file besides its numbers, generously
MEMBERS = ["metadata.json", "config.json", "model.weights.h5"]
ZIP_TIMESTAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can hold


def save_model(model: keras.Model, path: Path) -> None:
    """Write a model, with its optimiser's state, as a .keras archive.

    Raises:
        PipelineError: A weight is infinite or not a number.
        OSError: The file cannot be written; nothing of it is left behind.
    """
    _check_finite(model, path)
    with replacing(path) as partial:
        # Not as an archive: Keras's own fails where the clock stands before 1980.
        folder = partial.with_name(f"{partial.name}.saved")
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
        try:
            _check_room(model, path)
            model.save(folder, zipped=False)
            with zipfile.ZipFile(partial, "w") as archive:
                for name in MEMBERS:
                    content = _without_traces(name, Path(folder, name).read_bytes())
                    # Not compressed, since versions of zlib compress to different bytes.
                    archive.writestr(zipfile.ZipInfo(name, ZIP_TIMESTAMP), content)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _check_room(model: keras.Model, path: Path) -> None:
    """Refuse a full disk: HDF5 would fail without a clear message, or end the process."""
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else [])]
    size = sum(keras.ops.convert_to_numpy(variable).nbytes for variable in variables)
    # Keras's folder, then the archive of it.
    disk = shutil.disk_usage(path.parent)
    if disk.total and disk.free < 2 * (size + FRAME):  # some network disks say nothing
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def _without_traces(name: str, content: bytes) -> bytes:
    """Return a member of the archive without what differs from one save to the next."""
    if name == "metadata.json":
        return json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
    if name == "config.json":
        numbers: dict[bytes, int] = {}
        return re.sub(
            rb'(?<="shared_object_id": )\d+',
            lambda match: str(numbers.setdefault(match[0], len(numbers))).encode(),
            content,
        )
    return content


def load_model(path: Path) -> Any:
    """Return the compiled model in a .keras archive, opened by Keras in its safe mode.

    Safe mode runs no code that a file holds. It is no defence against a hostile file: what a stage
    reads is a file whose hash ``dvc.lock`` has.

    Raises:
        PipelineError: The file is damaged, holds code or a class that Keras does not know, or a
            weight in it is infinite or not a number.
        OSError: The file cannot be opened.
    """
    path.open("rb").close()
    if not zipfile.is_zipfile(path):
        raise PipelineError(f"{path}: Keras cannot open the model: it is no whole .keras archive")
    try:
        model = keras.saving.load_model(path, safe_mode=True)
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
        # Keras tells last what is wrong, after the whole configuration around it.
        why = readable(str(error).rpartition("Exception encountered: ")[2]) or type(error).__name__
        raise PipelineError(f"{path}: Keras cannot open the model: {why}") from error
    _check_finite(model, path)
    return model


def _check_finite(model: keras.Model, path: Path) -> None:
    """Refuse weights that are no numbers; a ReLU can hide them from every metric."""
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise PipelineError(f"{path}: {variable.path} holds weights that are not finite")
