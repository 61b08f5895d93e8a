"""No file is ever loaded in a way in which it could bring code along."""

import ast
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from contract import House, call_name

from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_array
from pipeline.training.checkpoint import Checkpoint

HOUSE = House(ROOT)

# Modules that load objects, and with them whatever code these name.
LOADERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
# This one asks whether bytecode is whole, and runs none of it.
READS_BYTECODE = Path("pipeline/tools/doctor/bytecode.py")
# Functions that do, or that run a text; Keras's own loader is asked for safe mode.
UNSAFE = {"read_pickle", "read_hdf", "eval", "exec", "unsafe_load", "full_load"}
ARRAY_READERS = {"load", "read_array", "fromregex", "memmap"}
# It maps files, so it refuses objects, whatever it is told.
MAPPER = "open_memmap"
# It sends functions to Dask, and what comes back is what they return: whoever may connect to its
# scheduler runs code anyway (docs/scaling.md).
SENDS_CODE = Path("pipeline/jobs/cluster/calls.py")


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize("path", HOUSE.modules, ids=str)
def test_no_module_can_load_objects(path: Path) -> None:
    allowed = {READS_BYTECODE: {"marshal"}, SENDS_CODE: {"cloudpickle"}}
    assert not (LOADERS - allowed.get(path, set())) & {
        part for name in HOUSE.imported_names(path) for part in name.split(".")
    }
    for call in HOUSE.calls(path):
        name, options = call_name(call), keywords(call)
        place = f"{path}:{call.lineno}"
        assert options.get("allow_pickle", "False") == "False", place
        assert name not in UNSAFE, place
        owner = ast.unparse(call.func).split(".")[0]
        if owner in {"np", "numpy"} and name in ARRAY_READERS:
            assert options["allow_pickle"] == "False", place
        if name in {"load_model", "deserialize_keras_object"} and owner == "keras":
            assert options["safe_mode"] == "True", place
        if name == "YAML" and options:
            assert options["typ"] == "'safe'", place
        assert "enable_unsafe_deserialization" not in name, place


def test_arrays_are_read_in_two_places_at_least() -> None:
    # Else the test above would look for the wrong names.
    readers = {
        path.stem
        for path in HOUSE.modules
        for call in HOUSE.calls(path)
        if call_name(call) == MAPPER
        or (call_name(call) in ARRAY_READERS and "allow_pickle" in keywords(call))
    }
    assert readers == {"examples", "checkpoint"}


class Canary:
    """Makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_canary_sings(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([Canary(tmp_path / "canary")]), allow_pickle=True)
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (tmp_path / "canary").is_dir()


@pytest.mark.parametrize("is_bare", [False, True])  # np.load takes anything else for a pickle
def test_object_in_an_array_is_not_loaded(tmp_path: Path, *, is_bare: bool) -> None:
    array, path = np.array([Canary(tmp_path / "canary")]), tmp_path / "a.npy"
    if is_bare:
        array.dump(path)
    else:
        np.save(path, array, allow_pickle=True)
    with pytest.raises(PipelineError, match=r"a\.npy: damaged"):
        load_array(path, np.float32)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["key", "variable_0"])
def test_object_in_a_checkpoint_is_not_loaded(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = build_network(4, [3], "relu", 2, keras.optimizers.Adam(), seed=0)
    model.optimizer.build(model.trainable_variables)
    random = np.random.default_rng(1)
    checkpoint = Checkpoint("k" * 64, tmp_path)
    checkpoint.save(model, random, [])
    with np.load(checkpoint.path, allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays[name] = np.array([Canary(tmp_path / "canary")])
    np.savez(checkpoint.path, allow_pickle=True, **arrays)
    assert checkpoint.restore(model, random) == []
    assert "allow_pickle=False" in capsys.readouterr().err
    assert not (tmp_path / "canary").exists()
