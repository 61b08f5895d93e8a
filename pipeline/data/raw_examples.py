"""Read all examples of a raw file, in its order, before any is held out for validation."""

from pathlib import Path

import numpy as np

from pipeline.data.idx import open_idx
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples


def read_raw(images_file: Path, labels_file: Path) -> Examples:
    """Return the examples of a raw file, in its order, with values as ``preprocess`` writes them.

    Raises:
        IdxError: A file is damaged.
        PipelineError: The numbers of images and labels differ, or are 0.
    """
    with open_idx(images_file, 3) as images, open_idx(labels_file, 1) as labels:
        if not images.shape[0] == labels.shape[0] > 0:
            raise PipelineError(
                f"{images_file} has {images.shape[0]} images, "
                f"but {labels_file} has {labels.shape[0]} labels"
            )
        pixels = np.concatenate(list(images.chunks()))
        classes = np.concatenate(list(labels.chunks()))
    flat = np.divide(pixels, 255.0, dtype=np.float32).reshape(len(pixels), -1)
    return Examples(flat, classes.astype(np.int32))
