import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline.training.environment import (
    cpu_model,
    environment,
    environment_of_checkpoints,
    instruction_sets,
)


def test_environment_is_the_same_from_run_to_run() -> None:
    command = (
        "import json; from pipeline.training.environment import environment;"
        "print(json.dumps(environment('tensorflow', 'CPU', {'threads': 2})))"
    )
    for zone in ("UTC", "Asia/Tokyo"):
        output = subprocess.run(
            [sys.executable, "-c", command],
            cwd=ROOT,
            env=os.environ | {"TZ": zone, "PYTHONHASHSEED": "random", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert json.loads(output) == environment("tensorflow", "CPU", {"threads": 2})


def test_environment_names_the_versions_that_are_installed() -> None:
    for backend, package in (("tensorflow", "tensorflow"), ("jax", "jaxlib")):
        versions = environment(backend, "CPU", {})["packages"]
        assert versions[package] == importlib.metadata.version(package)
        assert versions["keras"] == importlib.metadata.version("keras")


def test_processor_and_its_instruction_sets_are_known_here() -> None:
    assert cpu_model() not in {"", "unknown"}
    assert instruction_sets()
    assert all(isinstance(name, str) and name for name in instruction_sets())


def test_variables_that_steer_the_libraries_are_recorded_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/another/program")
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1 --xla_dump_to=/a/folder --xla_two=2")
    variables = environment("tensorflow", "CPU", {})["variables"]
    assert variables["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert variables["XLA_FLAGS"] == "--xla_one=1 --xla_two=2"
    assert "TF_CLI_CONFIG_FILE" not in variables


def test_every_variable_of_the_libraries_is_in_the_key_of_checkpoints_with_the_file_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "flags"
    found = [environment_of_checkpoints()]
    for value in ("1", "2", "long" * 2000, str(file)):
        monkeypatch.setenv("TF_DETERMINISTIC_OPS", value)
        found.append(environment_of_checkpoints())
    for content in ("--one", "--two"):
        file.write_text(content)
        found.append(environment_of_checkpoints())
    assert environment_of_checkpoints() == found[-1]
    for name in ("JAX_DISABLE_JIT", "XLA_SOME_NEW_FLAG", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "7")
        found.append(environment_of_checkpoints())
    assert all(one != other for number, one in enumerate(found) for other in found[:number])


def test_what_only_says_more_or_less_is_not_in_the_key_of_checkpoints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = environment_of_checkpoints()
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("LANG", "de_AT.UTF-8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1")
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("TF_VAR_region", "1")
    assert environment_of_checkpoints() == before
    assert f"numpy {importlib.metadata.version('numpy')}" in before["packages"]
