"""How fast pictures are read: the whole command for one, many at once, and the network alone."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import report, side_by_side

from pipeline.export.network import answers
from pipeline.export.onnx_file import network_in
from pipeline.model.backend import pin
from pipeline.model.file import load_model
from pipeline.tools.demo import digits

PICTURES = 1000
KERAS_FILE = Path("data/model/model.keras")
ONNX_FILE = Path("data/model/model.onnx")


def saved(folder: Path) -> list[Path]:
    """Save digits of MNIST as pictures of 28 x 28 pixels, and return their paths."""
    paths = [folder / f"{number}.png" for number in range(PICTURES)]
    for path, image in zip(paths, digits()[0], strict=False):
        Image.fromarray(image).save(path)
    return paths


def seconds(*words: object) -> float:
    """Return how long the command takes, all of it."""
    command = [sys.executable, "-m", "pipeline", "read", "--one", *map(str, words)]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    elapsed = time.perf_counter() - start
    if done.returncode > 1:
        sys.exit(done.stderr)
    return elapsed


def network_alone() -> None:
    """Print the time of the network alone, here and in Keras."""
    pin(2)
    model, network = load_model(KERAS_FILE), network_in(ONNX_FILE.read_bytes())
    images = digits()[0][:PICTURES].reshape(PICTURES, -1).astype(np.float32) / np.float32(255)

    def one_at_a_time(count: int) -> float:
        start = time.perf_counter()
        for image in images[:count]:
            answers(network, image[np.newaxis])
        return (time.perf_counter() - start) / count

    def keras_one_at_a_time(count: int) -> float:
        start = time.perf_counter()
        for image in images[:count]:
            model.predict(image[np.newaxis], verbose=0)
        return (time.perf_counter() - start) / count

    print("Seconds of the network alone")
    found = side_by_side(
        {
            "one digit": lambda: one_at_a_time(500),
            "one digit, predict of Keras": lambda: keras_one_at_a_time(20),
            "1,000 digits": lambda: answers(network, images) and None,
            "1,000 digits, predict of Keras": lambda: (
                model.predict(images, batch_size=PICTURES, verbose=0).sum() * 0 or None
            ),
        }
    )
    one, many = (
        found[f"{name}, predict of Keras"] / found[name] for name in ("one digit", "1,000 digits")
    )
    report("Keras over the network alone, one digit at a time", one, "at least 20")
    report("Keras over the network alone, 1,000 at once", many, "at least 1")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        paths = saved(Path(folder))
        print("Seconds of the whole command")
        found = side_by_side(
            {"one picture": lambda: seconds(paths[0]), "1,000 pictures": lambda: seconds(*paths)},
            rounds=5,
        )
    report("one picture, seconds", found["one picture"], "at most 0.8")
    report("pictures a second, of 1,000", PICTURES / found["1,000 pictures"], "at least 200")
    network_alone()


if __name__ == "__main__":
    main()
