"""Seconds of a `dvc repro` that has nothing to do, against `dvc status`."""

import subprocess
import sys
import time
from pathlib import Path

from side_by_side import report, side_by_side

PROJECT = Path(__file__).parents[1]


def seconds(command: str) -> float:
    """Return how long a DVC command takes that finds everything up to date."""
    start = time.perf_counter()
    output = subprocess.run(
        [sys.executable, "-m", "dvc", command],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "up to date" not in output:
        sys.exit("noop.py measures a pipeline that is up to date: run `make repro` first")
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    print("Seconds of a command that has nothing to do")
    medians = side_by_side(
        {"dvc status": lambda: seconds("status"), "dvc repro": lambda: seconds("repro")}
    )
    report("repro / status", medians["dvc repro"] / medians["dvc status"], "at most 1.3")


if __name__ == "__main__":
    main()
