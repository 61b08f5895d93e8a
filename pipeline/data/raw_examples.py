"""The raw files as images and labels: which class a label means, and how an image lies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from pipeline.data.idx import IdxFile, open_idx
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.runtime.params import Section


class PreprocessParams(Section):
    """Section ``preprocess`` of ``params.yaml``."""

    classes: Annotated[int, Field(ge=2, le=256)]
    class_names: list[Annotated[str, Field(min_length=1, max_length=40)]] | None
    first_label: NonNegativeInt
    label_column: NonNegativeInt
    transposed: bool
    validation_size: PositiveInt
    seed: NonNegativeInt

    @model_validator(mode="after")
    def _a_name_for_each_class(self) -> Self:
        names = self.class_names
        if names is None:
            return self
        if not len(names) == len(set(names)) == self.classes:
            raise ValueError(f"class_names: expected {self.classes} different names, or null")
        if not all(name.isprintable() and name == name.strip() for name in names):
            raise ValueError("class_names: a name has blanks at its ends or cannot be printed")
        return self


@contextmanager
def open_raw(images_file: Path, labels_file: Path) -> Iterator[tuple[IdxFile, IdxFile]]:
    """Open images and their labels, and check that they can belong together.

    Raises:
        IdxError: A header is damaged.
        PipelineError: The numbers of images and labels differ, or are 0, or images are not square.
    """
    with open_idx(images_file, "images") as images, open_idx(labels_file, "labels") as labels:
        count, height, width = images.shape
        if count != labels.shape[0]:
            raise PipelineError(
                f"{images_file} has {count} images, but {labels_file} has {labels.shape[0]} labels"
            )
        if count == 0:
            raise PipelineError(f"{images_file}: expected images, found none")
        if height != width:
            raise PipelineError(
                f"{images_file}: expected square images, found {height} x {width} pixels"
            )
        yield images, labels


def read_labels(file: IdxFile, params: PreprocessParams) -> NDArray[np.uint8]:
    """Return the class of every image, uint8 of shape (n,), each in 0 to ``classes`` - 1.

    Raises:
        IdxError: The file is damaged.
        PipelineError: A label is none of the classes, or there is no such column.
    """
    columns = file.shape[1] if len(file.shape) > 1 else 1
    if params.label_column >= columns:
        raise PipelineError(
            f"preprocess.label_column: {file.path} has {columns} of them, the first is 0"
        )
    rows = np.concatenate(list(file.chunks())).reshape(-1, columns)
    labels = rows[:, params.label_column].astype(np.int64)
    last = params.first_label + params.classes - 1
    outside = (labels < params.first_label) | (labels > last)
    if outside.any():
        position = int(np.argmax(outside))
        raise PipelineError(
            f"{file.path}: label {labels[position]} of image {position} is none of the classes "
            f"{params.first_label} to {last} (preprocess.first_label and preprocess.classes)"
        )
    return (labels - params.first_label).astype(np.uint8)


def upright(images: NDArray[np.uint8], params: PreprocessParams) -> NDArray[np.uint8]:
    """Return images, shape (n, side, side), as people see them."""
    return images.transpose(0, 2, 1) if params.transposed else images


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return images of shape (n, height, width) as float32 (n, height * width) in [0, 1]."""
    return np.divide(images, 255.0, dtype=np.float32).reshape(len(images), -1)


def read_raw(images_file: Path, labels_file: Path, params: PreprocessParams) -> Examples:
    """Return the examples of a raw file, in its order, before any is held out for validation.

    Raises:
        IdxError: A file is damaged.
        PipelineError: Images and labels do not belong together, or are not what is expected.
    """
    with open_raw(images_file, labels_file) as (images, labels):
        classes = read_labels(labels, params)
        pixels = np.concatenate(list(images.chunks()))
    return Examples(normalise(upright(pixels, params)), classes.astype(np.int32))
