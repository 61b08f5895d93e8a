"""Stages at once: sleeping ones against the ideal, small trainings against `dvc repro`, no-op."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from side_by_side import report, side_by_side

ROOT = Path(__file__).parents[1]
SLEEPERS, WORKERS = 200, 20
TRAININGS = 8
PARALLEL = [sys.executable, "-m", "pipeline.tools.parallel.command"]
SERIAL = [sys.executable, "-m", "dvc", "repro", "--quiet"]
# What a small training needs: most of it is the import of Keras.
TRAIN = """
import sys
import numpy as np
from pipeline.model.backend import pin
from pipeline.runtime.examples import Examples
from pipeline.runtime.params import load_section
from pipeline.training.loop import TrainParams, train_network
params = load_section("train", TrainParams, seed=int(sys.argv[1]), threads=1)
pin(1)
random = np.random.default_rng(0)
images = random.random((20_000, 784), np.float32)
examples = Examples(images, (np.arange(20_000) % 10).astype(np.int32))
_, curves = train_network(examples, examples, params)
curves.to_csv(sys.argv[2])
"""


def project(folder: Path, stages: dict[str, Any], **files: str) -> Path:
    """Make a DVC project of those stages."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    with (folder / "dvc.yaml").open("w", encoding="utf-8") as file:
        YAML(typ="safe").dump({"stages": stages}, file)
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


def seconds(folder: Path, *command: str, clean: bool = True) -> float:
    """Return how long a command takes in a project from which all results are gone."""
    for path in [*folder.glob("*.out"), folder / "dvc.lock"] if clean else []:
        path.unlink(missing_ok=True)
    if clean:
        shutil.rmtree(folder / ".dvc/cache", ignore_errors=True)
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    variables = os.environ | {"PYTHONPATH": str(ROOT), "PATH": os.pathsep.join(places)}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env=variables, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def independent(count: int, command: str) -> dict[str, Any]:
    """Return stages that do not know of each other."""
    return {
        f"s{number}": {
            "cmd": command.format(number=number),
            "deps": ["in.txt"],
            "outs": [f"{number}.out"],
        }
        for number in range(count)
    }


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        sleep = independent(SLEEPERS, "sleep 1; echo {number} > {number}.out")
        sleepers = project(Path(scratch, "sleep"), sleep, **{"in.txt": "in"})
        print(f"{SLEEPERS} stages that sleep a second, {WORKERS} slots, seconds")
        took = side_by_side(
            {"parallel": lambda: seconds(sleepers, *PARALLEL, "--jobs", str(WORKERS))}, rounds=3
        )["parallel"]
        report("ideal / parallel", SLEEPERS / WORKERS / took, "at least 0.8")

        print(f"The same {SLEEPERS} stages with nothing to do, seconds")
        nothing = side_by_side(
            {
                "dvc repro": lambda: seconds(sleepers, *SERIAL, clean=False),
                "parallel": lambda: seconds(sleepers, *PARALLEL, clean=False),
            }
        )
        report("parallel / dvc repro", nothing["parallel"] / nothing["dvc repro"], "at most 1.5")

        quick = independent(50, "echo {number} > {number}.out")
        quick_ones = project(Path(scratch, "quick"), quick, **{"in.txt": "in"})
        print("50 stages that do nothing, one slot, seconds")
        own = side_by_side(
            {
                "dvc repro": lambda: seconds(quick_ones, *SERIAL),
                "parallel": lambda: seconds(quick_ones, *PARALLEL, "--jobs", "1"),
            },
            rounds=3,
        )
        report("parallel / dvc repro", own["parallel"] / own["dvc repro"], "reported only")

        train = independent(TRAININGS, "python train.py {number} {number}.out")
        for stage in train.values():
            stage["deps"] += ["params.yaml", "train.py"]
        params = (ROOT / "params.yaml").read_text(encoding="utf-8")
        params = params.replace("epochs: 100 ", "epochs: 20 ")
        files = {"in.txt": "in", "train.py": TRAIN, "params.yaml": params}
        trainings = project(Path(scratch, "train"), train, **files)
        print(f"{TRAININGS} trainings of one thread on small data, two slots, seconds")
        both = side_by_side(
            {
                "dvc repro": lambda: seconds(trainings, *SERIAL),
                "parallel": lambda: seconds(trainings, *PARALLEL, "--jobs", "2"),
            },
            rounds=1,
        )
        report("dvc repro / parallel", both["dvc repro"] / both["parallel"], "at least 1.7")


if __name__ == "__main__":
    main()
