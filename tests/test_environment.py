import importlib.metadata
import json
import os
import subprocess
import sys

from conftest import ROOT

from pipeline.environment import cpu_model, environment, instruction_sets


def test_environment_is_the_same_from_run_to_run() -> None:
    command = (
        "import json; from pipeline.environment import environment;"
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
    assert cpu_model()
    assert all(isinstance(name, str) for name in instruction_sets())
