"""Checkpoints: an interrupted training resumes from one and ends with the same bytes.

A checkpoint has a key, the hash of everything that decides the result, so that no other training
uses it. It is no output of DVC, since DVC removes the outputs of a stage before the stage runs.
"""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.model.backend import keras
from pipeline.runtime.atomic import discard, replacing
from pipeline.runtime.errors import UNREADABLE, reason
from pipeline.training.epochs import Epoch

CHECKPOINTS = Path("data/checkpoints")


def run_key(settings: Mapping[str, Any], arrays: Iterable[NDArray[Any]]) -> str:
    """Return the SHA-256, in hexadecimal digits, of what decides the result of a training.

    Args:
        settings: Parameters, environment and code, as JSON types.
        arrays: The data.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Checkpoint:
    """The state of one training on disk, an .npz file of arrays.

    Attributes:
        key: Of the training, as ``run_key`` returns it.
        path: The file. Others beside it are of other trainings that were interrupted.
    """

    def __init__(self, key: str, folder: Path = CHECKPOINTS) -> None:
        """Name the checkpoint of a training; nothing is read or written yet."""
        self.key = key
        self.path = folder / f"{key[:16]}.npz"

    def save(
        self, model: keras.Model, random: np.random.Generator, epochs: Sequence[Epoch]
    ) -> None:
        """Write the state after the last of ``epochs``, in place of an older one.

        Args:
            model: Its variables and those of its optimiser are kept, moving averages included.
            random: Where orders and distortions come from.
            epochs: All so far.
        """
        arrays = {
            f"variable_{number}": keras.ops.convert_to_numpy(variable)
            for number, variable in enumerate(_variables(model))
        }
        state = json.dumps(random.bit_generator.state)
        arrays |= {"key": np.array(self.key), "random": np.array(state), "epochs": np.array(epochs)}
        with replacing(self.path) as partial, zipfile.ZipFile(partial, "w") as archive:
            for name, array in arrays.items():
                # NumPy's own savez fails where the clock stands before 1980.
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    def restore(self, model: keras.Model, random: np.random.Generator) -> list[Epoch]:
        """Put model and random numbers back into the state of the checkpoint, if there is one.

        A checkpoint that is damaged or another run's is reported and left alone.

        Returns:
            The epochs so far; none where training begins anew, both arguments being as they were.
        """
        model.optimizer.build(model.trainable_variables)
        if not self.path.exists():
            if any(self.path.parent.glob("*.npz")):
                print("There is no checkpoint of this training, only of others", flush=True)
            return []
        variables = _variables(model)
        fresh = np.random.default_rng()
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if str(stored["key"]) != self.key:
                    raise ValueError("of another run")
                fresh.bit_generator.state = json.loads(str(stored["random"]))
                epochs = [Epoch(int(row[0]), *row[1:].tolist()) for row in stored["epochs"]]
                values = [stored[f"variable_{number}"] for number in range(len(variables))]
            for variable, value in zip(variables, values, strict=True):
                if (value.shape, value.dtype.name) != (tuple(variable.shape), variable.dtype):
                    raise ValueError(f"{variable.path} does not fit")
        except (*UNREADABLE, TokenError, zipfile.BadZipFile) as error:
            why = reason(error)
            print(f"{self.path}: not usable, training begins anew: {why}", file=sys.stderr)
            return []
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        random.bit_generator.state = fresh.bit_generator.state
        return epochs

    def clear(self) -> None:
        """Remove the file: the training is done, and its results are written.

        Raises:
            OSError: It cannot be removed.
        """
        discard(self.path)


def _variables(model: keras.Model) -> list[Any]:
    return [*model.variables, *model.optimizer.variables]
