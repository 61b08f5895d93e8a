"""Turn the raw files into arrays: checked, normalised to [0, 1], flattened, and split.

A stratified validation set is held out of the training file; the test file is never touched
by the split. Images pass through in chunks, so memory hardly grows with their number or size.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pipeline.data.idx import IdxFile
from pipeline.data.raw_examples import (
    PreprocessParams,
    normalise,
    open_raw,
    read_labels,
    upright,
)
from pipeline.data.split import stratified_choice
from pipeline.runtime.atomic import replacing
from pipeline.runtime.command import run_stage
from pipeline.runtime.errors import PipelineError


def preprocess(
    params: PreprocessParams,
    *,
    raw_train_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_train_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    raw_test_images: Path = Path("data/raw/t10k-images-idx3-ubyte.gz"),
    raw_test_labels: Path = Path("data/raw/t10k-labels-idx1-ubyte.gz"),
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
) -> None:
    """Write each set's images (float32, (n, pixels), in [0, 1]) and labels (int32, (n,)).

    The images of a set keep the order that they have in the raw file.

    Raises:
        IdxError: A raw file is damaged or not what it should be.
        PipelineError: Images and labels do not belong together or cannot be split as asked.
    """
    with open_raw(raw_train_images, raw_train_labels) as (images, labels_file):
        labels = read_labels(labels_file, params)
        held_out = stratified_choice(labels, params.validation_size, params.classes, params.seed)
        write_images(images, {train_images: ~held_out, validation_images: held_out}, params)
        write_labels(train_labels, labels[~held_out])
        write_labels(validation_labels, labels[held_out])
        pixels = images.shape[1:]
        kept, held = len(labels) - params.validation_size, params.validation_size
        print(f"{kept} training and {held} validation images of {pixels[0]} x {pixels[1]} pixels")
        learned = {*labels.tolist()}
        if len(learned) == 1:
            raise PipelineError(
                f"{raw_train_labels}: expected at least two classes, every image has "
                f"{_as_written(learned, params)} (column preprocess.label_column)"
            )
        if absent := {*range(params.classes)} - learned:
            names = _as_written(absent, params)
            print(f"No training image has {names}: is preprocess.classes right?")
    with open_raw(raw_test_images, raw_test_labels) as (images, labels_file):
        if images.shape[1:] != pixels:
            raise PipelineError(
                f"{raw_test_images} has images of {images.shape[1:]} pixels, "
                f"but {raw_train_images} of {pixels}"
            )
        labels = read_labels(labels_file, params)
        if unknown := {*labels.tolist()} - learned:
            raise PipelineError(
                f"{raw_test_labels} has {_as_written(unknown, params)}, "
                f"which no image of {raw_train_labels} has: a network cannot learn it"
            )
        write_images(images, {test_images: np.ones(len(labels), bool)}, params)
        write_labels(test_labels, labels)
        print(f"{len(labels)} test images")


def _as_written(classes: set[int], params: PreprocessParams) -> str:
    """Return classes as the labels that the raw files have for them."""
    return "label " + ", ".join(str(label + params.first_label) for label in sorted(classes))


def write_labels(path: Path, labels: NDArray[np.uint8]) -> None:
    """Write labels as int32."""
    with replacing(path) as partial:
        np.save(partial, labels.astype(np.int32))


def write_images(
    images: IdxFile, parts: dict[Path, NDArray[np.bool_]], params: PreprocessParams
) -> None:
    """Write the images that each mask, of shape (n,), chooses, normalised and flattened.

    Written chunk by chunk behind an .npy header, since ``np.save`` wants the whole array at
    once and a memory map counts as memory.
    """
    pixels = images.shape[1] * images.shape[2]
    with ExitStack() as stack:
        files = [
            (stack.enter_context(_open_npy(path, (int(mask.sum()), pixels))), mask)
            for path, mask in parts.items()
        ]
        start = 0
        for chunk in images.chunks():
            rows = normalise(upright(chunk, params))
            for file, mask in files:
                file.write(rows[mask[start : start + len(rows)]].tobytes())
            start += len(rows)


@contextmanager
def _open_npy(path: Path, shape: tuple[int, int]) -> Iterator[BinaryIO]:
    """Open an .npy file of float32 in C order and write its header."""
    with replacing(path) as partial, partial.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        yield file


if __name__ == "__main__":
    run_stage(preprocess, PreprocessParams)
