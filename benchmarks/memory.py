"""Peak memory of the preprocess stage on 60,000 and on 600,000 training images."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from side_by_side import report, side_by_side

from pipeline.data.idx import write_idx

COUNTS = (60_000, 600_000)
# The peak of this process alone; getrusage would count what its parent held.
MEASURE = """
import pathlib, runpy
runpy.run_module("pipeline.stages.preprocess", run_name="__main__")
print(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


def prepare(folder: Path, count: int) -> None:
    """Write a data set of random images, ``count`` of them for training."""
    raw = folder / "data/raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, size in (("train", count), ("t10k", 10_000)):
        images = random.integers(0, 256, (size, 28, 28), np.uint8)
        write_idx(raw / f"{part}-images-idx3-ubyte.gz", images)
        labels = (np.arange(size) % 10).astype(np.uint8)
        write_idx(raw / f"{part}-labels-idx1-ubyte.gz", labels)
    params = "preprocess: {classes: 10, validation_size: 5000, seed: 0}\n"
    (folder / "params.yaml").write_text(params, encoding="utf-8")


def peak(folder: Path) -> float:
    """Return the peak memory of the stage, in MiB."""
    command = [sys.executable, "-c", MEASURE]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return int(result.stdout.split()[-1]) / 1024


def main() -> None:
    """Measure and print."""
    if sys.platform != "linux":
        sys.exit("memory.py reads Linux's /proc; nothing was measured")
    print("Peak memory of preprocess, in MiB")
    with tempfile.TemporaryDirectory() as scratch:
        folders = {count: Path(scratch) / str(count) for count in COUNTS}
        for count, folder in folders.items():
            prepare(folder, count)
        medians = side_by_side(
            {
                f"{count:,} images": lambda folder=folder: peak(folder)  # type: ignore[misc]
                for count, folder in folders.items()
            },
            rounds=5,
        )
    few, many = medians.values()
    report("600,000 / 60,000 images", many / few, "at most 1.1")


if __name__ == "__main__":
    main()
