"""Data that are not MNIST go through all stages by a change of parameters alone."""

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import NAMES, ROOT, Project, synthetic_digits, use_small_data
from contract import House
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from pipeline.model.backend import Device
from pipeline.runtime.params import load_section

STAGES = [stage for stage in House(ROOT).stages if stage.folder == Path()]
LETTERS = [f"letter {chr(97 + number)}" for number in range(26)]
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker"]
CLOTHES += ["Bag", "<b>$_{$ boot"]


def idx(array: NDArray[Any], code: int) -> bytes:
    """Return an IDX file, built from the description of the format."""
    numbers = array.astype({8: "u1", 12: ">i4"}[code])
    return (
        bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">u4").tobytes() + numbers.tobytes()
    )


@dataclass(frozen=True)
class Form:
    """A form of data: its files, and the parameters that describe it."""

    classes: int
    counts: tuple[int, int] = (600, 200)  # training images, test images
    side: int = 12
    first_label: int = 0
    columns: int = 1
    transposed: bool = False
    compress: Callable[[bytes], bytes] = gzip.compress
    relabel: Callable[[NDArray[np.uint8], str], None] = lambda *_: None
    params: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        for part, count in zip(("train", "test"), self.counts, strict=True):
            images, labels = synthetic_digits(count, count, self.side, self.classes)
            self.relabel(labels, part)
            if self.transposed:
                images = images.transpose(0, 2, 1)
            written = labels.astype(np.int64) + self.first_label
            if self.columns > 1:
                others = np.random.default_rng(1).integers(0, 2**31, (count, self.columns - 1))
                written = np.column_stack([written, others])
            kinds = {
                "images": idx(images, 8),
                "labels": idx(written, 12 if self.columns > 1 else 8),
            }
            for kind, content in kinds.items():
                (folder / NAMES[f"{part}_{kind}"]).write_bytes(self.compress(content))


def rare(labels: NDArray[np.uint8], part: str) -> None:
    """Leave two training images of the last class, and no test image of it."""
    last = labels.max()
    labels[np.flatnonzero(labels == last)[2 if part == "train" else 0 :]] = 0


def lacking(labels: NDArray[np.uint8], part: str) -> None:
    if part == "test":
        labels[labels == 4] = 5


FORMS = {
    "letters, and all else that can differ": Form(
        classes=26,
        first_label=1,
        columns=8,
        transposed=True,
        compress=bytes,
        relabel=rare,
        params={"first_label": 1, "transposed": True, "class_names": LETTERS},
    ),
    "EMNIST ByClass": Form(classes=62, transposed=True, params={"transposed": True}),
    "Fashion-MNIST": Form(classes=10, params={"class_names": CLOTHES}),
    "two classes too many": Form(classes=10, params={"classes": 12}),
    "32 x 32": Form(classes=10, side=32),
    "binary": Form(classes=2),
    "200 classes": Form(classes=200, counts=(1200, 600)),
    "class without test images": Form(classes=10, relabel=lacking),
}


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    "form",
    [
        pytest.param(form, id=name, marks=[pytest.mark.slow] if number else [])
        for number, (name, form) in enumerate(FORMS.items())
    ],
)
def test_form_of_data_is_a_change_of_parameters(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    mirror = tmp_path / "other"
    mirror.mkdir()
    form.write(mirror)

    def describe(params: Any) -> None:
        use_small_data(params, mirror, [str(mirror)])
        size = max(100, form.classes)
        params["preprocess"].update({"classes": form.classes, "validation_size": size})
        params["preprocess"].update(form.params)
        params["recipes"]["original"]["epochs"] = 6

    project.edit_params(describe)
    monkeypatch.chdir(project.folder)
    for stage in STAGES:
        (section,) = stage.sections().values()
        if hasattr(stage.imported(), "pin"):  # which has to come before any other computation
            monkeypatch.setattr(stage.imported(), "pin", lambda _: Device("CPU", "CPU", {}))
        stage.function()(load_section(stage.name, section))

    predictions = pd.read_csv("reports/predictions.csv")
    actual, predicted = predictions["actual"], predictions["predicted"]
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert (
        metrics["accuracy"] == (actual == predicted).mean() > 2 / form.classes or form.classes == 2
    )
    assert metrics["macro_f1"] == pytest.approx(f1_score(actual, predicted, average="macro"))
    units = [form.side**2, 128, 64, 16, form.classes]
    weights = sum((before + 1) * after for before, after in pairwise(units))
    assert metrics["parameters"] == weights
    by_class = pd.read_csv("reports/by_class.csv")
    assert by_class["class"].tolist() == sorted({*actual, *predicted})

    page = Path("reports/index.html").read_text(encoding="utf-8")
    text = unescape(re.sub(r"<(style|script)\b.*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL))
    assert "digit" not in text.lower()
    assert ('class="matrix' in page) == (form.classes <= 20)
    for label in actual[actual != predicted].head(3):
        names = form.params.get("class_names")
        assert f" {names[label] if names else label} " in " ".join(text.split())
    pictures = [path.stat().st_size for path in Path("reports").glob("**/*.png")]
    assert len(pictures) == 5
    assert max(pictures) < 1_000_000
    assert len(page) < 2_000_000
