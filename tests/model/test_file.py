import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, synthetic_digits

from pipeline.model.backend import keras
from pipeline.model.file import load_model, save_model
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError

IMAGES, LABELS = synthetic_digits(40, side=8)
PIXELS = IMAGES.reshape(40, 64).astype(np.float32) / 255


def trained_network() -> keras.Model:
    """Return a network whose optimiser has all that a recipe can give it."""
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=8, warmup_target=0.01, warmup_steps=2
    )
    optimizer = keras.optimizers.Adam(schedule, name="adam", use_ema=True, ema_momentum=0.9)
    model = build_network(64, [16, 8], "relu", 10, optimizer, seed=3)
    model.train_on_batch(PIXELS, LABELS)
    return model


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """A network that no test changes."""
    return trained_network()


@pytest.fixture(scope="module")
def saved(network: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of its file."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    save_model(network, path)
    return path.read_bytes()


def assert_same_bits(weights: Iterable[Any], others: Iterable[Any]) -> None:
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_equal_models_give_equal_bytes_whenever_they_are_saved(
    tmp_path: Path, saved: bytes
) -> None:
    save_model(trained_network(), tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == saved
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert json.loads(archive.read("metadata.json"))["date_saved"].startswith("1980-01-01")


def test_training_goes_on_from_the_file_as_from_the_model(tmp_path: Path, saved: bytes) -> None:
    (tmp_path / "model.keras").write_bytes(saved)
    model, loaded = trained_network(), load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    for one in (model, loaded):
        for _ in range(3):
            one.train_on_batch(PIXELS, LABELS)
        one.optimizer.finalize_variable_values(one.trainable_variables)
    assert_same_bits(model.get_weights(), loaded.get_weights())


def refused(path: Path) -> str:
    """Expect one line that names the file, and return it."""
    with pytest.raises(PipelineError, match=rf"^{path}: Keras cannot open the model: ") as caught:
        load_model(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_file_that_is_no_model_or_cut_off_names_itself(tmp_path: Path, saved: bytes) -> None:
    lengths = (1, 100, len(saved) // 2, len(saved) - 22, len(saved) - 1)
    no_models = (b"", b"rubbish", b"PK\x05\x06" + bytes(18))
    for content in (*no_models, *(saved[:length] for length in lengths)):
        (tmp_path / "model.keras").write_bytes(content)
        refused(tmp_path / "model.keras")
    (tmp_path / "model.keras").write_bytes(saved[: len(saved) // 2])
    assert "it is no whole .keras archive" in refused(tmp_path / "model.keras")
    middle = len(saved) // 2
    damaged = saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :]
    (tmp_path / "model.keras").write_bytes(damaged)
    assert "Bad CRC-32 for file 'model.weights.h5'" in refused(tmp_path / "model.keras")


@pytest.mark.parametrize("bits", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_flipped_bit_is_noticed_or_without_effect(
    tmp_path: Path, network: keras.Model, saved: bytes, bits: int
) -> None:
    path = tmp_path / "model.keras"
    # Of the archive's own structure, and anywhere, which is mostly weights.
    structure = [*range(8 * 30), *range(8 * (len(saved) - 250), 8 * len(saved))]
    random = np.random.default_rng(bits)
    noticed = 0
    for position in [*random.choice(structure, bits), *random.integers(0, 8 * len(saved), bits)]:
        content = bytearray(saved)
        content[position // 8] ^= 1 << position % 8
        path.write_bytes(content)
        try:
            loaded = load_model(path)
        except PipelineError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (either is right)
            assert str(error).isprintable()  # noqa: PT017
            noticed += 1
        else:
            assert_same_bits(loaded.get_weights(), network.get_weights())
    assert noticed > bits


# Where what a file holds would be run, it would write a file of its own.
HOSTILE = """
from pathlib import Path
Path({canary!r}).touch()
class Layer:
    def __init__(self, **options):
        Path({canary!r}).touch()
"""


@pytest.mark.parametrize("kind", ["lambda", "registered", "module"])
def test_code_and_classes_that_keras_does_not_know_are_refused_and_nothing_of_them_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    canary, path = tmp_path / "ran", tmp_path / "model.keras"

    class Spy(keras.layers.Layer):  # type: ignore[misc] # Keras has no types
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            canary.touch()

        def call(self, inputs: Any) -> Any:
            return inputs

    def spy(inputs: Any) -> Any:
        canary.touch()
        return inputs

    layer = keras.layers.Lambda(spy) if kind == "lambda" else Spy()
    model = keras.Sequential([keras.Input((64,)), layer, keras.layers.Dense(10, "softmax")])
    model.compile(loss="sparse_categorical_crossentropy")
    model.save(path)
    if kind == "module":
        # One that Python could import, where its folder is on the path.
        (tmp_path / "hostile.py").write_text(HOSTILE.format(canary=str(canary)))
        monkeypatch.syspath_prepend(tmp_path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
        found = config["config"]["layers"][1]
        assert found["class_name"] == "Spy"
        found.update(module="hostile", class_name="Layer", registered_name=None)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in (members | {"config.json": json.dumps(config).encode()}).items():
                archive.writestr(name, content)
    assert canary.exists()
    canary.unlink()
    refused(path)
    assert not canary.exists()
    assert "hostile" not in sys.modules


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


def test_full_disk_is_told_and_leaves_nothing_behind(
    tmp_path: Path, network: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=2**24, free=2**18))
    with pytest.raises(OSError, match=r"No space left on device: .*model\.keras"):
        save_model(network, tmp_path / "model.keras")
    assert not list(tmp_path.iterdir())


# Runs in name spaces of its own, where it may mount a disk in memory.
ON_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from pipeline.model.backend import keras
from pipeline.model.file import load_model, save_model
from pipeline.model.network import build_network

disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)], check=True)
model = build_network(784, [128, 64, 16], "relu", 10, keras.optimizers.Adam(name="adam"), seed=3)
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


@pytest.mark.slow
def test_disk_of_any_size_takes_the_model_or_nothing_of_it(tmp_path: Path) -> None:
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
