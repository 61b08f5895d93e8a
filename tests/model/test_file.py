import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, sha256, synthetic_digits

from pipeline.model.backend import keras
from pipeline.model.file import load_model, save_model
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError

IMAGES, LABELS = synthetic_digits(40, side=8)
PIXELS = IMAGES.reshape(40, 64).astype(np.float32) / 255


def trained_network(learning_rate: Any = 0.01, **options: Any) -> keras.Model:
    optimizer = keras.optimizers.Adam(learning_rate, name="adam", **options)
    model = build_network(64, [16, 8], 10, optimizer, seed=3)
    model.train_on_batch(PIXELS, LABELS)
    return model


def test_equal_models_give_equal_bytes_whenever_they_are_saved(tmp_path: Path) -> None:
    for number in range(2):
        model = trained_network()
        save_model(model, tmp_path / f"{number}.keras")
        model.save(tmp_path / f"plain_{number}.keras")
        time.sleep(2.1)  # the resolution of times in a zip archive, and more than Keras's
    assert sha256(tmp_path / "0.keras") == sha256(tmp_path / "1.keras")
    assert sha256(tmp_path / "plain_0.keras") != sha256(tmp_path / "plain_1.keras")


def test_other_weights_give_other_bytes(tmp_path: Path) -> None:
    model = trained_network()
    save_model(model, tmp_path / "before.keras")
    model.train_on_batch(PIXELS, LABELS)
    save_model(model, tmp_path / "after.keras")
    assert sha256(tmp_path / "before.keras") != sha256(tmp_path / "after.keras")


def test_keras_opens_the_file_in_safe_mode_and_predicts_the_same(tmp_path: Path) -> None:
    model = trained_network()
    save_model(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(
        loaded.predict(PIXELS, verbose=0), model.predict(PIXELS, verbose=0)
    )


def test_training_goes_on_from_the_file_as_from_the_model(tmp_path: Path) -> None:
    model = trained_network()
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        one.train_on_batch(PIXELS, LABELS)
    for weights, same in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


def champion() -> keras.Model:
    """Return a network whose optimiser has all that a recipe can give it."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=8, warmup_target=0.01, warmup_steps=2
    )
    return trained_network(schedule, use_ema=True, ema_momentum=0.9)


def test_training_goes_on_from_the_file_with_schedule_and_moving_average(tmp_path: Path) -> None:
    model = champion()
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        for _ in range(3):
            one.train_on_batch(PIXELS, LABELS)
        one.optimizer.finalize_variable_values(one.trainable_variables)
    for weights, same in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, same)


def test_schedule_and_moving_average_give_equal_bytes_too(tmp_path: Path) -> None:
    for number in range(2):
        save_model(champion(), tmp_path / f"{number}.keras")
    assert sha256(tmp_path / "0.keras") == sha256(tmp_path / "1.keras")


def test_file_holds_no_time(tmp_path: Path) -> None:
    save_model(trained_network(), tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"].startswith("1980-01-01")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x05\x06" + bytes(18)])
def test_file_that_is_no_model_names_itself(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"model\.keras: not a model of this pipeline"):
        load_model(path)


def test_weights_that_are_no_numbers_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    model = trained_network()
    kernel = model.layers[0].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(PipelineError, match=r"model\.keras: .*hidden_1/kernel holds weights"):
        save_model(model, tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()
    model.save(tmp_path / "model.keras")
    with pytest.raises(PipelineError, match=r"model\.keras: .*hidden_1/kernel holds weights"):
        load_model(tmp_path / "model.keras")


def test_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "model.keras")


# Runs in name spaces of its own, where it may mount a disk in memory.
ON_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from pipeline.backend import keras
from pipeline.model_file import load_model, save_model
from pipeline.network import build_network

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], check=True)
model = build_network(784, [128, 64, 16], 10, keras.optimizers.Adam(name="adam"), seed=3)
model.optimizer.build(model.trainable_variables)
for free in range(0, 4096, 128):
    fill = disk / "fill"
    fill.write_bytes(bytes(2**24 - (free << 10) - 2**13))
    try:
        save_model(model, disk / "model.keras")
        saved = True
        load_model(disk / "model.keras")
        (disk / "model.keras").unlink()
    except OSError as error:
        saved = False
        assert str(error) == f"[Errno 28] No space left on device: '{disk}/model.keras'", error
    assert list(disk.iterdir()) == [fill]
    fill.unlink()
    print(saved)
"""


def test_full_disk_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    if shutil.which("unshare") is None or subprocess.call(["unshare", "-rm", "true"]) != 0:
        pytest.skip("needs unshare and user name spaces; would have shown what a full disk does")
    output = subprocess.run(
        ["unshare", "-rm", sys.executable, "-c", ON_SMALL_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert output.returncode == 0, output.stdout + output.stderr
    saved = output.stdout.split()
    assert saved == sorted(saved)  # False, and from some size on True
    assert saved[0] == "False"
    assert saved[-1] == "True"
