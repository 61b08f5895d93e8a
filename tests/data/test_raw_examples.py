from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from conftest import NAMES, preprocess_params, synthetic_digits
from numpy.typing import NDArray

from pipeline.data.idx import CHUNK, write_idx
from pipeline.data.raw_examples import read_raw
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.stages.preprocess import preprocess

TRAIN = [NAMES["train_images"], NAMES["train_labels"]]
TEST = [NAMES["test_images"], NAMES["test_labels"]]


@pytest.fixture(scope="module")
def processed(data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the arrays that ``preprocess`` makes of the small data set."""
    folder = tmp_path_factory.mktemp("processed")
    names = [f"{part}_{kind}" for part in ("train", "validation", "test") for kind in KINDS]
    preprocess(
        preprocess_params(validation_size=100),
        **{f"raw_{role}": data_set / name for role, name in NAMES.items()},
        **{name: folder / f"{name}.npy" for name in names},
    )
    return folder


KINDS = ("images", "labels")


def read(names: Iterable[Path]) -> Examples:
    images, labels = names
    return read_raw(images, labels, preprocess_params())


def test_raw_test_images_are_those_of_preprocess(data_set: Path, processed: Path) -> None:
    found = read(data_set / name for name in TEST)
    for kind, array in zip(KINDS, found, strict=True):
        expected = np.load(processed / f"test_{kind}.npy")
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def rows(images: NDArray[np.float32], labels: NDArray[np.int32]) -> list[tuple[bytes, int]]:
    return [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]


def test_held_out_images_are_in_their_old_place_again(data_set: Path, processed: Path) -> None:
    found = rows(*read(data_set / name for name in TRAIN))
    places = {row: place for place, row in enumerate(found)}
    assert len(places) == 1300
    parts = {}
    for part in ("train", "validation"):
        arrays = (np.load(processed / f"{part}_{kind}.npy") for kind in KINDS)
        parts[part] = [places[row] for row in rows(*arrays)]
    assert sorted([*parts["train"], *parts["validation"]]) == list(range(1300))
    assert len(parts["validation"]) == 100


def test_study_sees_other_data_as_preprocess_does(tmp_path: Path) -> None:
    """Letters that are counted from 1 and lie on their side, with several numbers an image."""
    params = preprocess_params(
        classes=26, first_label=1, label_column=1, transposed=True, validation_size=60
    )
    for role, count in (("train", 400), ("test", 90)):
        images, labels = synthetic_digits(count, side=7, classes=26)
        write_idx(tmp_path / NAMES[f"{role}_images"], images.transpose(0, 2, 1))
        write_idx(tmp_path / NAMES[f"{role}_labels"], np.column_stack([labels, labels + 1]))
    names = [f"{part}_{kind}" for part in ("train", "validation", "test") for kind in KINDS]
    preprocess(
        params,
        **{f"raw_{role}": tmp_path / name for role, name in NAMES.items()},
        **{name: tmp_path / f"{name}.npy" for name in names},
    )
    arrays = {name: np.load(tmp_path / f"{name}.npy") for name in names}
    images_file, labels_file = (tmp_path / name for name in TEST)
    found = read_raw(images_file, labels_file, params)
    np.testing.assert_array_equal(found.images, arrays["test_images"])
    np.testing.assert_array_equal(found.labels, arrays["test_labels"])
    images_file, labels_file = (tmp_path / name for name in TRAIN)
    both = rows(*read_raw(images_file, labels_file, params))
    parts = [arrays[f"{part}_{kind}"] for part in ("train", "validation") for kind in KINDS]
    assert sorted(both) == sorted([*rows(*parts[:2]), *rows(*parts[2:])])


def test_order_is_that_of_the_raw_file_beyond_a_chunk(tmp_path: Path) -> None:
    images, labels = synthetic_digits(CHUNK // 9 + 5, side=3)
    for name, array in zip(TRAIN, (images, labels), strict=True):
        write_idx(tmp_path / name, array)
    found = read(tmp_path / name for name in TRAIN)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(np.rint(found.images * 255), images.reshape(len(images), -1))


def test_labels_that_are_too_few_are_refused(data_set: Path, tmp_path: Path) -> None:
    write_idx(tmp_path / TRAIN[1], np.zeros(7, np.uint8))
    with pytest.raises(PipelineError, match="7"):
        read_raw(data_set / TRAIN[0], tmp_path / TRAIN[1], preprocess_params())
