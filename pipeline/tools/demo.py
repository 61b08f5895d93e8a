"""Run the whole pipeline without any download, on the handwritten digits inside scikit-learn.

The 1,797 digits (8 x 8 pixels; Alpaydin and Kaynak, 1998) are scaled to 28 x 28 and written as
IDX files. The pipeline runs on them in a folder of its own, demo/, that neither Git nor the
project's dvc.lock knows of. A second run finds everything up to date.
"""

import argparse
import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.ndimage import zoom
from sklearn.datasets import load_digits

from pipeline.data.idx import write_idx
from pipeline.history.dvc_command import dvc_environment

PROJECT = Path(__file__).parents[2]
TEST_SIZE = 397
# All that suits this data set, whatever the project's own parameters have been changed to.
PARAMETERS = {
    "preprocess": {"classes": 10, "validation_size": 200, "seed": 0},
    "train": {
        "hidden_units": [128, 64, 16],
        "recipe": "original",
        "seed": 0,
        "threads": 2,
        "checkpoint_every": 5,
    },
    "recipes": {
        "original": {
            "batch_size": 50,
            "epochs": 40,
            "learning_rate": 0.001,
            "warm_up": None,
            "ema_momentum": None,
            "distortion": None,
        },
    },
    "evaluate": {
        "batch_size": 100,
        "threads": 2,
        "target_errors": [0.05, 0.02],
        "certainty": 0.9,
    },
    "plot": {"gallery_size": 24, "dpi": 150},
}
# The folder lies in a Git repository that is not to know of it.
DVC_CONFIG = """\
[core]
    analytics = false
    check_update = false
    no_scm = true
"""


def demo(folder: Path = PROJECT / "demo") -> None:
    """Run the pipeline on scikit-learn's digits in ``folder``; print what came out and where."""
    copy_project(folder)
    images, labels = digits()
    parts = {"train": slice(None, -TEST_SIZE), "test": slice(-TEST_SIZE, None)}
    files = {}
    for part, rows in parts.items():
        files[f"{part}_images"] = images[rows]
        files[f"{part}_labels"] = labels[rows]
    use_data_set(folder, files)
    surroundings = dvc_environment()
    surroundings.pop("MNIST_MIRROR", None)  # the mirror is the one made here
    subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=folder, env=surroundings, check=True)
    metrics = json.loads((folder / "reports/metrics.json").read_text(encoding="utf-8"))
    low, high = metrics["accuracy_interval"]["low"], metrics["accuracy_interval"]["high"]
    print(
        f"\n{metrics['accuracy']:.1%} of {TEST_SIZE} test digits classified correctly "
        f"(95% interval {low:.1%} to {high:.1%}).\nIn pictures: {folder / 'reports/index.html'}"
    )


def copy_project(folder: Path) -> None:
    """Copy what the pipeline consists of into ``folder``, making it a DVC project of its own."""
    for name in ("pipeline", ".dvc/plots"):
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(PROJECT / "dvc.yaml", folder / "dvc.yaml")
    (folder / ".dvc/config").write_text(DVC_CONFIG, encoding="utf-8", newline="\n")


def digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return scikit-learn's digits in MNIST's form: uint8 (1797, 28, 28) and (1797,)."""
    bunch = load_digits()
    enlarged = zoom(bunch.images, (1, 3.5, 3.5), order=1)  # 8 x 8 pixels of 0 to 16
    return np.rint(enlarged * (255 / 16)).astype(np.uint8), bunch.target.astype(np.uint8)


def use_data_set(folder: Path, files: dict[str, NDArray[np.uint8]]) -> None:
    """Write a data set into ``folder``/mirror, and the parameters there that use it."""
    mirror = folder / "mirror"
    mirror.mkdir(exist_ok=True)
    described = {}
    for role, content in files.items():
        path = mirror / f"{role}.gz"
        write_idx(path, content)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        described[role] = {"name": path.name, "sha256": sha256}
    download = {"mirrors": ["mirror"], "timeout": 30.0, "files": described}
    YAML().dump({"download": download, **PARAMETERS}, folder / "params.yaml")


def main() -> None:
    """Parse the command line, which knows only ``--help``, and run the demo."""
    argparse.ArgumentParser(
        prog="python -m pipeline demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        demo()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"demo: dvc repro ended with exit status {error.returncode}; its message stands above"
        )


if __name__ == "__main__":
    main()
