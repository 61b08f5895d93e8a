import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NAMES, preprocess_params, sha256, synthetic_digits
from numpy.typing import NDArray

from pipeline.data.idx import IdxFile, write_idx
from pipeline.data.raw_examples import normalise
from pipeline.runtime.errors import PipelineError
from pipeline.stages.preprocess import preprocess

SETS = ("train", "validation", "test")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with a small data set of images of 6 x 6 pixels."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for part, count, seed in (("train", 230, 1), ("test", 70, 2)):
        images, labels = synthetic_digits(count, seed, side=6)
        write_idx(folder / NAMES[f"{part}_images"], images)
        write_idx(folder / NAMES[f"{part}_labels"], labels)
    return folder


def run(raw: Path, output: Path, **params: Any) -> dict[str, NDArray[Any]]:
    """Preprocess the files in ``raw`` and return what came out by its name."""
    output.mkdir(exist_ok=True)
    names = [f"{part}_{kind}" for part in SETS for kind in ("images", "labels")]
    preprocess(
        preprocess_params(**({"validation_size": 50} | params)),
        **{f"raw_{role}": raw / name for role, name in NAMES.items()},
        **{name: output / f"{name}.npy" for name in names},
    )
    return {name: np.load(output / f"{name}.npy") for name in names}


def test_every_image_arrives_once_with_its_label(raw: Path, tmp_path: Path) -> None:
    arrays = run(raw, tmp_path / "out")
    images, labels = synthetic_digits(230, 1, side=6)
    expected = {(int(y), x.tobytes()) for x, y in zip(images, labels, strict=True)}
    found = [
        (int(y), np.rint(x * 255).astype(np.uint8).tobytes())
        for part in ("train", "validation")
        for x, y in zip(arrays[f"{part}_images"], arrays[f"{part}_labels"], strict=True)
    ]
    assert len(found) == 230
    assert set(found) == expected


def test_test_set_is_the_raw_one_in_its_order_whatever_the_split(raw: Path, tmp_path: Path) -> None:
    images, labels = synthetic_digits(70, 2, side=6)
    expected = (images / 255.0).reshape(70, 36).astype("f4")
    for seed, size in ((0, 50), (7, 20)):
        arrays = run(raw, tmp_path / "out", validation_size=size, seed=seed)
        np.testing.assert_array_equal(arrays["test_images"], expected)
        np.testing.assert_array_equal(arrays["test_labels"], labels)


def test_arrays_have_the_documented_types_and_shapes(raw: Path, tmp_path: Path) -> None:
    arrays = run(raw, tmp_path / "out")
    for part, count in zip(SETS, (180, 50, 70), strict=True):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        assert images.dtype == np.float32
        assert images.shape == (count, 36)
        assert labels.dtype == np.int32
        assert labels.shape == (count,)
        assert images.flags.c_contiguous


def test_every_pixel_value_is_divided_by_255() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_array_equal(normalise(pixels)[0], (np.arange(256) / 255.0).astype(np.float32))


def test_seed_decides_the_split(raw: Path, tmp_path: Path) -> None:
    outputs = [run(raw, tmp_path / str(n), seed=seed) for n, seed in enumerate((0, 0, 1))]
    first, same, other = (output["validation_images"] for output in outputs)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda x, y: (x, np.where(y == 3, 11, y).astype(np.uint8)), "label 11 of image .* 0 to 9"),
        (lambda x, y: (x[:-1], y), "229 images, but .* 230 labels"),
        (lambda x, y: (x[:, :5], y), "square images, found 5 x 6"),
        (lambda x, y: (x[:0], y[:0]), "expected images, found none"),
        (lambda x, y: (x[:, :5, :5], y), "images of .*6, 6.* but .*5, 5"),
        (lambda x, y: (x, np.minimum(y, 7)), "test.* has label 8, 9, which no image of .*train"),
        (lambda x, y: (x, np.full_like(y, 7)), "at least two classes, every image has label 7 "),
    ],
)
def test_bad_data_are_refused_with_the_fact(
    raw: Path, tmp_path: Path, change: Callable[[Any, Any], tuple[Any, Any]], fact: str
) -> None:
    images, labels = change(*synthetic_digits(230, 1, side=6))
    write_idx(raw / NAMES["train_images"], images)
    write_idx(raw / NAMES["train_labels"], labels)
    with pytest.raises(PipelineError, match=fact):
        run(raw, tmp_path / "out")


@pytest.mark.parametrize(
    ("size", "fact"),
    [
        (230, "expected 10 to 220 of the 230 .*, found 230"),
        (10_000, "expected 10 to 220 of the 230 .*, found 10000"),
        (5, "expected 10 to 220 of the 230 training images, so .*, found 5"),
    ],
)
def test_validation_set_that_cannot_be_chosen_is_refused(
    raw: Path, tmp_path: Path, size: int, fact: str
) -> None:
    with pytest.raises(PipelineError, match=rf"validation_size: {fact}"):
        run(raw, tmp_path / "out", validation_size=size)


def test_labels_may_begin_anywhere_and_be_one_of_several_columns(raw: Path, tmp_path: Path) -> None:
    expected = run(raw, tmp_path / "expected")
    for part in ("train", "test"):
        images, labels = synthetic_digits(230 if part == "train" else 70, 1 + (part == "test"), 6)
        columns = np.stack([images[:, 0, 0], labels + 1, images[:, 1, 1]], axis=1)
        write_idx(raw / NAMES[f"{part}_labels"], columns)
    found = run(raw, tmp_path / "out", first_label=1, label_column=1)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    for change, message in (
        ({"label_column": 3}, "preprocess.label_column: .* has 3 of them, the first is 0"),
        ({"label_column": 1}, "label 10 of image .* none of the classes 0 to 9 .*first_label"),
        ({"label_column": 1, "first_label": 2}, "label 1 of image .* classes 2 to 11 .*classes"),
    ):
        with pytest.raises(PipelineError, match=message):
            run(raw, tmp_path / "out", **change)


def test_transposed_images_are_put_upright(raw: Path, tmp_path: Path) -> None:
    expected = run(raw, tmp_path / "expected")
    for part, count, seed in (("train", 230, 1), ("test", 70, 2)):
        images, _ = synthetic_digits(count, seed, side=6)
        write_idx(raw / NAMES[f"{part}_images"], images.transpose(0, 2, 1))
    found = run(raw, tmp_path / "out", transposed=True)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_class_without_training_images_is_told_and_one_of_two_images_is_on_either_side(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = synthetic_digits(230, 1, side=6)
    labels[np.flatnonzero(labels == 9)[2:]] = 4
    write_idx(raw / NAMES["train_labels"], labels)
    arrays = run(raw, tmp_path / "out", classes=12, first_label=0)
    assert "No training image has label 10, 11: is preprocess.classes right?" in (
        capsys.readouterr().out
    )
    assert len(images) == 230
    for part in ("train", "validation"):
        assert (arrays[f"{part}_labels"] == 9).sum() == 1


@pytest.mark.parametrize(
    "names",
    [
        ["a"],
        ["a"] * 10,
        list("abcdefghijk"),
        list("aabcdefghij"),
        *([*"abcdefghi", odd] for odd in ("", "j ", "\u202e", "j\nk")),
    ],
)
def test_names_that_are_not_one_for_each_class_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="class_names"):
        preprocess_params(class_names=names)
    assert preprocess_params(class_names=list("abcdefghij")).class_names


def test_labels_missing_from_the_first_classes_only_in_the_test_set_are_fine(
    raw: Path, tmp_path: Path
) -> None:
    images, labels = synthetic_digits(70, 2, side=6)
    write_idx(raw / NAMES["test_images"], images[labels > 4])
    write_idx(raw / NAMES["test_labels"], labels[labels > 4])
    assert run(raw, tmp_path / "out")["test_labels"].min() == 5


def test_size_of_the_chunks_changes_no_byte(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(raw, tmp_path / "whole")
    for size in (1, 100, 1000):
        monkeypatch.setattr(IdxFile.chunks, "__defaults__", (size,))
        run(raw, tmp_path / "chunks")
        for path in (tmp_path / "whole").iterdir():
            assert sha256(path) == sha256(tmp_path / "chunks" / path.name)


def peak_memory(folder: Path, count: int, side: int = 28) -> float:
    """Return the peak memory, in KiB, of the preprocess command on ``count`` training images."""
    (folder / "data/raw").mkdir(parents=True)
    for part, size in (("train", count), ("test", 100)):
        images, labels = synthetic_digits(size)
        images = images if side == 28 else np.zeros((size, side, side), np.uint8)
        write_idx(folder / "data/raw" / NAMES[f"{part}_images"], images)
        write_idx(folder / "data/raw" / NAMES[f"{part}_labels"], labels)
    params = preprocess_params(validation_size=count // 6).model_dump()
    (folder / "params.yaml").write_text(json.dumps({"preprocess": params}))
    # Not getrusage, which counts what the parent held when it forked.
    measure = (
        "import pathlib, runpy\n"
        "runpy.run_module('pipeline.stages.preprocess', run_name='__main__')\n"
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    result = subprocess.run(
        [sys.executable, "-c", measure],
        cwd=folder,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="needs /proc; compares memory for few, many and large images"
)
def test_peak_memory_grows_neither_with_the_number_of_images_nor_with_their_size(
    tmp_path: Path,
) -> None:
    few = peak_memory(tmp_path / "few", 2_000)
    many = peak_memory(tmp_path / "many", 12_000)
    large = peak_memory(tmp_path / "large", 120, side=512)
    assert max(many, large) < 1.1 * few
