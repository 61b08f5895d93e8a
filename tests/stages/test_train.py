"""What the stage ties a checkpoint to; training itself is in test_checkpoint and test_dvc."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import synthetic_digits

from pipeline.model.backend import Device
from pipeline.stages import train
from pipeline.training import sources
from pipeline.training.loop import TrainParams

RECIPE = {
    "activation": "relu",
    "optimizer": "adam",
    "batch_size": 10,
    "epochs": 2,
    "learning_rate": 0.01,
    "warm_up": 0.1,
    "weight_decay": None,
    "ema_momentum": 0.5,
    "distortion": None,
}
PARAMS = {
    "hidden_units": [8],
    "recipe": RECIPE,
    "seed": 0,
    "threads": 1,
    "checkpoint_every": 1,
}
FOLDER = Path("data/processed")


class Stop(Exception):  # noqa: N818 (nothing has gone wrong)
    """In place of the training."""


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return the key of the stage's checkpoint, with other parameters where they are given."""
    monkeypatch.chdir(tmp_path)
    FOLDER.mkdir(parents=True)
    for seed, name in enumerate(("train", "validation")):
        images, labels = synthetic_digits(30, seed, side=6)
        np.save(FOLDER / f"{name}_images.npy", images.reshape(30, 36).astype(np.float32) / 255)
        np.save(FOLDER / f"{name}_labels.npy", labels.astype(np.int32))

    def stop(*arguments: Any) -> None:
        raise Stop(arguments[-1].key)

    def found(**changes: Any) -> str:
        with pytest.raises(Stop) as stopped:
            train.train(TrainParams.model_validate(PARAMS | changes))
        return str(stopped.value)

    monkeypatch.setattr(train, "train_network", stop)
    # Threads cannot be set any more where another test has computed something.
    monkeypatch.setattr(train, "pin", lambda threads: Device("CPU", "CPU", {"threads": threads}))
    return found


def test_checkpoint_is_of_these_parameters(key: Callable[..., str]) -> None:
    distortion = dict.fromkeys(("rotation", "scale", "shear", "shift", "elastic"), 0.1)
    recipe: dict[str, Any] = {
        "activation": "silu",
        "optimizer": "muon",
        "batch_size": 11,
        "epochs": 3,
        "learning_rate": 0.02,
        "warm_up": None,
        "weight_decay": 0.1,
        "ema_momentum": None,
        "distortion": distortion | {"smoothness": 1.0, "stroke": 0.1},
    }
    others: list[dict[str, Any]] = [{"hidden_units": [8, 8]}, {"seed": 1}, {"threads": 2}]
    assert recipe.keys() == RECIPE.keys()
    assert PARAMS.keys() == {"recipe", "checkpoint_every"}.union(*others)
    changes = [{"recipe": RECIPE | {name: value}} for name, value in recipe.items()] + others
    found = [key(), *(key(**change) for change in changes)]
    assert len(set(found)) == len(found)
    assert key(checkpoint_every=7) == key() == found[0]


def test_checkpoint_is_of_these_data(key: Callable[..., str]) -> None:
    found = [key()]
    files = sorted(FOLDER.iterdir())
    assert len(files) == 4
    for path in files:
        array = np.load(path)
        other = array.copy()
        other.flat[-1] = 0.5 if array.dtype == np.float32 else (array.flat[-1] + 1) % 10
        np.save(path, other)
        found.append(key())
        np.save(path, array)
    assert len(set(found)) == len(found)
    assert key() == found[0]


def test_checkpoint_is_of_this_code_and_this_environment(
    key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [key()]
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    found.append(key())
    monkeypatch.setattr("pipeline.training.environment.version", lambda _: "0.0")
    found.append(key())
    monkeypatch.setattr("pipeline.training.environment.distributions", list)
    found.append(key())
    code = sources.loaded_code()
    monkeypatch.setattr(sources, "loaded_code", lambda: code | {"pipeline.model.network": "0"})
    found.append(key())
    assert len(set(found)) == len(found)
