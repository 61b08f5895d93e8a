"""Seconds that the stages evaluate and plot take, against the import of Keras within them."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import report, side_by_side

PROJECT = Path(__file__).parents[1]
IMPORT = ("-c", "import pipeline.model.backend")
STAGES = [("-m", f"pipeline.stages.{stage}") for stage in ("evaluate", "plot")]


def copy_project(folder: Path) -> None:
    """Make a folder in which both stages can run, so that they write nothing to the project."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copyfile(PROJECT / name, folder / name)
    for name in ("data/model", "reports"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("data/processed", "pipeline"):
        (folder / name).symlink_to(PROJECT / name, target_is_directory=True)


def seconds(folder: Path, *commands: tuple[str, str]) -> float:
    """Return how long Python takes for commands, one after the other."""
    start = time.perf_counter()
    for command in commands:
        subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    if not (PROJECT / "data/model/model.keras").exists():
        sys.exit("evaluation.py measures a trained network: run `make repro` first")
    print("Seconds of both stages, and of the import")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_project(folder)
        medians = side_by_side(
            {
                "import of Keras": lambda: seconds(folder, IMPORT),
                "evaluate and plot": lambda: seconds(folder, *STAGES),
            }
        )
    beyond = medians["evaluate and plot"] - medians["import of Keras"]
    print(f"Beyond the import: {beyond:.1f} s (at most 25 s)")
    report("both / import", medians["evaluate and plot"] / medians["import of Keras"], "none")


if __name__ == "__main__":
    main()
