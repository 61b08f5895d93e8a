"""Seconds of the comparison of two revisions, against DVC's own difference of their metrics."""

import subprocess
import sys
from pathlib import Path

from side_by_side import report, side_by_side

PROJECT = Path(__file__).parents[1]


def run(*module: str) -> None:
    """Run a module as a command in the project's folder."""
    subprocess.run([sys.executable, "-m", *module], cwd=PROJECT, capture_output=True, check=True)


def main() -> None:
    """Measure and print."""
    print("Seconds of a comparison of the workspace with the last commit")
    medians = side_by_side(
        {
            "dvc metrics diff HEAD": lambda: run("dvc", "metrics", "diff", "HEAD"),
            "pipeline compare HEAD": lambda: run("pipeline", "compare", "HEAD"),
        }
    )
    seconds = medians["pipeline compare HEAD"]
    report("compare / metrics diff", seconds / medians["dvc metrics diff HEAD"], "none")
    report("compare, in seconds", seconds, "less than 3")


if __name__ == "__main__":
    main()
