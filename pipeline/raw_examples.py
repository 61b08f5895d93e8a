"""Examples in the order of their raw file, before any is held out."""

from pathlib import Path

import numpy as np

from pipeline.examples import Examples
from pipeline.idx import open_idx

CHUNK = 8192  # images at a time


def read_raw(images_file: Path, labels_file: Path) -> Examples:
    """Return the examples of a raw file in its own order, prepared as ``preprocess`` does it."""
    with open_idx(images_file, 3) as images, open_idx(labels_file, 1) as labels:
        pixels = np.concatenate(list(images.chunks(CHUNK)))
        classes = np.concatenate(list(labels.chunks(CHUNK)))
    flat = np.divide(pixels, 255.0, dtype=np.float32).reshape(len(pixels), -1)
    return Examples(flat, classes.astype(np.int32))
