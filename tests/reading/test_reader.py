"""Pictures with known answers, read by the champion: digits written on paper made up here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from no_digits import pictures
from numpy.typing import NDArray
from paper import BLUE, Sheet, row_of_digits
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits

from pipeline.reading import Reader
from pipeline.reading.reader import CHAMPION
from pipeline.reading.thresholds import THRESHOLDS_FILE, Thresholds
from pipeline.reading.verdict import Reading, Verdict
from pipeline.runtime.errors import PipelineError
from pipeline.tools.demo import digits

Picture = NDArray[np.float64]
IMAGES, LABELS = digits()
MNIST = IMAGES.astype(np.float32) / 255
SIZE = 60


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def chosen(rng: np.random.Generator, count: int) -> tuple[NDArray[np.float32], str]:
    """Return digits of MNIST, and what they say."""
    which = rng.integers(len(MNIST), size=count)
    return np.asarray(MNIST[which], np.float32), "".join(str(label) for label in LABELS[which])


def plain(rng: np.random.Generator) -> tuple[Picture, str]:
    images, text = chosen(rng, 5)
    sheet = Sheet(100, 420)
    row_of_digits(sheet, images, top=20, left=20, size=SIZE, gap=20)
    return sheet.photographed(rng, 0.01, 0.5), text


def in_a_box(rng: np.random.Generator) -> tuple[Picture, str]:
    images, text = chosen(rng, 4)
    sheet = Sheet(100, 400, ink=BLUE)
    for row in (6, 93):
        sheet.line(row=row, thickness=3, colour=(0.1, 0.1, 0.1))
    for column in (5, 394):
        sheet.line(column=column, thickness=3, colour=(0.1, 0.1, 0.1))
    row_of_digits(sheet, images, top=20, left=30, size=SIZE, gap=25)
    return sheet.photographed(rng, 0.02, 0.6), text


def on_ruled_paper_in_a_shadow(rng: np.random.Generator) -> tuple[Picture, str]:
    sheet, said = Sheet(230, 420), ""
    for line in range(2):
        images, text = chosen(rng, 4)
        said += text
        sheet.line(row=100 + 95 * line, thickness=1.5, colour=(0.6, 0.7, 0.85), tilt=3)
        row_of_digits(sheet, images, top=35 + 95 * line, left=30, size=SIZE, gap=25)
    sheet.shaded(0.6)
    sheet.shadow(0.4, 200)
    return sheet.photographed(rng, 0.015, 0.7), said


def in_cells(rng: np.random.Generator) -> tuple[Picture, str]:
    images, text = chosen(rng, 5)
    sheet = Sheet(100, 400)
    kind: dict[str, Any] = {"thickness": 2, "colour": (0.2, 0.2, 0.2)}
    for row in (8, 92):
        sheet.line(row=row, start=10, stop=390, **kind)
    for column in range(10, 391, 76):
        sheet.line(column=column, start=8, stop=92, **kind)
    for place, image in enumerate(images):
        sheet.write(image, 20, 18 + 76 * place, SIZE)
    return sheet.photographed(rng, 0.02, 0.6), text


def chalk(rng: np.random.Generator) -> tuple[Picture, str]:
    images, text = chosen(rng, 4)
    sheet = Sheet(120, 400, paper=(0.12, 0.2, 0.15), ink=(0.85, 0.85, 0.8))
    row_of_digits(sheet, images, top=30, left=40, size=SIZE, gap=25)
    return sheet.photographed(rng, 0.03, 0.7), text


@pytest.mark.parametrize("paper", [plain, in_a_box, on_ruled_paper_in_a_shadow, in_cells, chalk])
def test_fields_are_read_and_what_is_decided_is_right(
    reader: Reader, paper: Callable[[np.random.Generator], tuple[Picture, str]]
) -> None:
    right = decided = 0
    for seed in range(20):
        picture, text = paper(np.random.default_rng(seed))
        found = reader.read(picture, digits=len(text))
        right += found.text == text
        decided += found.verdict is Verdict.DECIDED
        assert found.verdict is not Verdict.DECIDED or found.text == text
    assert right >= 17
    assert decided >= 10


def test_single_digits_of_other_writers_are_read_at_eight_pixels(reader: Reader) -> None:
    # From the UCI repository (Alpaydin and Kaynak, 1998), with 17 levels of grey.
    known = load_digits()
    found = [reader.read(image / 16, one=True) for image in known.images[:300]]
    right = np.array(
        [one.text == str(label) for one, label in zip(found, known.target, strict=False)]
    )
    decided = np.array([one.verdict is Verdict.DECIDED for one in found])
    assert right.mean() > 0.85
    assert right[decided].mean() > 0.99


def test_digits_of_mnist_are_read_as_the_network_alone_reads_them(reader: Reader) -> None:
    found = [reader.read(image, one=True) for image in MNIST[::10]]
    right = [one.text == str(label) for one, label in zip(found, LABELS[::10], strict=True)]
    assert np.mean(right) > 0.985


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_picture_is_read_as_the_camera_was_held(reader: Reader, turns: int, tmp_path: Path) -> None:
    picture, text = plain(np.random.default_rng(0))
    exif = Image.Exif()
    exif[0x0112] = {1: 6, 2: 3, 3: 8}[turns]
    turned = np.rot90(np.uint8(picture * 255), turns)
    path = tmp_path / "turned.jpg"
    Image.fromarray(np.ascontiguousarray(turned)).save(path, exif=exif)
    assert reader.read(path).text == text


def test_most_pictures_of_something_else_are_not_decided(reader: Reader) -> None:
    wrong = [
        reader.read(picture, one=one).verdict is Verdict.DECIDED
        for _, picture in list(pictures())[::10]
        for one in (True, False)
    ]
    assert np.mean(wrong) < 0.07


def test_reason_says_what_is_wrong(reader: Reader) -> None:
    empty = reader.read(np.ones((50, 80)))
    assert (empty.text, empty.verdict, empty.reason) == ("", Verdict.NO_DIGIT, "nothing is written")
    sheet = Sheet(200, 200)
    sheet.cover(np.hypot(*(np.indices((200, 200)) - 100)) < 60, (0, 0, 0))
    assert reader.read(sheet.picture, one=True).reason == "not written with a pen"
    bar = np.ones((60, 300))
    bar[28:32, 20:280] = 0
    assert reader.read(bar, one=True).reason == "too wide for one digit"
    picture, text = plain(np.random.default_rng(0))
    for expected in (len(text) - 1, len(text) + 1, 100):
        other = reader.read(picture, digits=expected)
        assert (other.verdict, other.reason) == (
            Verdict.ASK,
            f"{len(text)} found, {expected} expected",
        )
        assert not other.is_decidable
    assert other.text == text  # nothing can be cut into a hundred


@pytest.mark.parametrize("gap", [20, 80])
def test_second_digit_makes_the_one_digit_doubtful(reader: Reader, gap: int) -> None:
    alone, beside = Sheet(140, 420), Sheet(140, 420)
    for sheet in (alone, beside):
        sheet.write(MNIST[100], top=14, left=20, size=112)
    beside.write(MNIST[700], top=14, left=132 + gap, size=112)
    assert reader.read(alone.picture, one=True).reason == ""
    found = reader.read(beside.picture, one=True)
    assert (found.verdict, found.reason) == (Verdict.ASK, "something else is written beside it")


def test_bars_alone_may_be_lines(reader: Reader) -> None:
    bars = np.ones((100, 200))
    for left in range(20, 180, 30):
        bars[20:80, left : left + 6] = 0
    found = reader.read(bars)
    assert (found.text, found.verdict) == ("111111", Verdict.ASK)
    assert found.reason == "nothing but bars: perhaps lines"
    assert reader.read(bars, digits=6).reason != found.reason


@pytest.mark.parametrize("side", [84, 400, 1000])
def test_bold_digits_in_a_shadow_are_read_at_any_size(reader: Reader, side: int) -> None:
    rng = np.random.default_rng(0)
    right = 0
    for number in range(0, 5000, 250):
        digit = Image.fromarray(IMAGES[number]).resize((side, side), Image.Resampling.BICUBIC)
        picture = (1 - 0.75 * np.asarray(digit) / 255) * np.linspace(1, 0.5, side)
        picture = np.clip(picture + rng.normal(0, 0.01, picture.shape), 0, 1)
        right += reader.read(picture, one=True).text == str(LABELS[number])
    assert right >= 18


def test_pencil_is_read_in_the_noise_of_a_camera(reader: Reader) -> None:
    rng = np.random.default_rng(0)
    right = 0
    for number in range(0, 5000, 250):
        digit = Image.fromarray(IMAGES[number]).resize((250, 250), Image.Resampling.BICUBIC)
        picture = np.full((400, 350), 0.85)
        picture[75:325, 50:300] -= 0.3 * (np.asarray(digit) > 100)
        seen = ndimage.gaussian_filter(picture * np.linspace(1, 0.6, 350), 1)
        seen += ndimage.gaussian_filter(rng.normal(0, 0.04, seen.shape), 0.8)
        right += reader.read(np.clip(seen, 0, 1), one=True).text == str(LABELS[number])
    assert right >= 15


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("length", [10, 300, 1200])
@pytest.mark.parametrize("thickness", [1, 2])
def test_hair_lines_are_read_at_any_length(
    reader: Reader, length: int, thickness: int, *, one: bool
) -> None:
    paper = np.ones((length + 40, 100 + length // 2))
    paper[20 : 20 + length, 50 : 50 + thickness] = 0
    for picture in (paper, paper.T, 1 - 0.1 * (1 - paper)):
        reader.read(picture, one=one)
    if one:
        assert reader.read(paper, one=True).text == "1"


@pytest.mark.parametrize(("row", "tall", "wide"), [(72, 7, 7), (50, 5, 18)], ids=["point", "dash"])
def test_mark_among_digits_makes_the_number_doubtful(
    reader: Reader, row: int, tall: int, wide: int
) -> None:
    images, text = chosen(np.random.default_rng(1), 2)
    sheet = Sheet(100, 240)
    for image, left in zip(images, (20, 150), strict=True):
        sheet.write(image, top=20, left=left, size=SIZE)
    assert reader.read(sheet.picture).text == text
    assert "mark" not in reader.read(sheet.picture).reason
    mark = np.zeros((100, 240))
    mark[row : row + tall, 112 : 112 + wide] = 1
    sheet.cover(mark, sheet.ink)
    found = reader.read(sheet.picture)
    assert (found.text, found.verdict) == (text, Verdict.ASK)
    assert found.reason == "a mark among the digits is left out"
    assert not found.is_decidable
    assert "mark" not in reader.read(sheet.picture, digits=2).reason


def test_touching_digits_are_proposed_but_never_decided(reader: Reader) -> None:
    proposed = 0
    for seed in range(15):
        images, text = chosen(np.random.default_rng(seed), 3)
        sheet = Sheet(100, 300)
        row_of_digits(sheet, images, top=20, left=30, size=SIZE, gap=-2)
        found = reader.read(sheet.picture, digits=3)
        touching = any(digit.reason == "touches another" for digit in found.digits)
        proposed += touching and found.text == text
        assert not touching or found.verdict is Verdict.ASK
    assert proposed >= 3


def test_box_is_around_the_digit(reader: Reader) -> None:
    sheet = Sheet(100, 200)
    sheet.cover(np.pad(np.ones((60, 8)), ((20, 20), (30, 162))), (0, 0, 0))
    sheet.cover(np.pad(np.ones((60, 8)), ((20, 20), (130, 62))), (0, 0, 0))
    found = [digit.box for digit in reader.read(sheet.picture).digits]
    assert found == [(0.15, 0.2, 0.19, 0.8), (0.65, 0.2, 0.69, 0.8)]


def test_field_is_as_sure_as_its_least_sure_digit(reader: Reader) -> None:
    for seed in range(5):
        found = reader.read(plain(np.random.default_rng(seed))[0])
        assert found.confidence == min(digit.confidence for digit in found.digits)
        for digit in found.digits:
            assert digit.image.shape == (28, 28)
            assert (digit.verdict is Verdict.DECIDED) == (digit.reason == "")
            if digit.verdict is not Verdict.ASK:
                assert digit.others == []
            assert all(share <= digit.confidence for _, share in digit.others)


def read(model: Path, picture: Picture, **options: float) -> Reading:
    return Reader(model).read(picture, **options)  # type: ignore[arg-type]


def test_thresholds_set_on_pictures_take_the_place_of_those_of_mnist(tmp_path: Path) -> None:
    shutil.copyfile(CHAMPION / "model.onnx", tmp_path / "model.onnx")
    fields = (plain(np.random.default_rng(seed))[0] for seed in range(10))
    picture = next(one for one in fields if read(tmp_path, one).is_decidable)
    confidence = read(tmp_path, picture).confidence
    facts = {
        "network": Reader(tmp_path).fingerprint,
        "field": {"thresholds": {"0.01": confidence, "0.001": None}},
    }
    path = tmp_path / THRESHOLDS_FILE
    path.write_text(json.dumps(facts))
    assert read(tmp_path, picture, target=0.01).verdict is Verdict.DECIDED
    assert read(tmp_path, picture, target=0.001).verdict is Verdict.ASK
    assert read(tmp_path, picture).verdict is Verdict.DECIDED  # the strictest that there is
    with pytest.raises(PipelineError, match=r"no threshold was set for a target of 0\.02, only"):
        read(tmp_path, picture, target=0.02)
    path.write_text(json.dumps(facts | {"network": "another"}))
    assert Reader(tmp_path).thresholds.on_pictures == {}
    path.write_text("{")
    with pytest.raises(PipelineError, match="damaged"):
        Reader(tmp_path)


def test_of_the_thresholds_of_mnist_the_strictest_is_used() -> None:
    found = Thresholds({"0.005": 0.8, "0.001": 0.95}, {})
    assert [found.of(target, "one") for target in (None, 0.005, 0.1)] == [0.95] * 3
    assert Thresholds({"0.005": 0.8, "0.001": None}, {}).of(None, "one") is None
    assert Thresholds({}, {}).of(None, "one") is None


def hostile(model: onnx.ModelProto, key: str, value: str) -> bytes:
    for entry in model.metadata_props:
        if entry.key == key:
            entry.value = value
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", '["0"]'),
        ("classes", "[" * 100_000),
        ("operating_points", "{}"),
        ("operating_points", '{"thresholds": {"0.1": 7}}'),
        ("operating_points", '{"thresholds": 5}'),
        ("digit_test", '{"unlike": "x"}'),
        ("run", "not JSON"),
        ("run", '"\\u001b[31m"'),
        ("digit_test", '{"unlike": NaN, "doubtful": NaN}'),
    ],
)
def test_model_that_tells_nonsense_is_refused(key: str, value: str, tmp_path: Path) -> None:
    model = onnx.load(CHAMPION / "model.onnx")
    (tmp_path / "model.onnx").write_bytes(hostile(model, key, value))
    with pytest.raises(PipelineError, match=r"model\.onnx"):
        Reader(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("temperature", 0.0, "do not fit"),
        ("temperature", float("inf"), "no numbers"),
        ("bias_1", [1.0, 2.0], "do not fit"),
    ],
)
def test_model_whose_weights_are_nonsense_is_refused(
    name: str, value: object, reason: str, tmp_path: Path
) -> None:
    model = onnx.load(CHAMPION / "model.onnx")
    for number, tensor in enumerate(model.graph.initializer):
        if tensor.name == name:
            changed = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
            model.graph.initializer[number].CopyFrom(changed)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(PipelineError, match=reason):
        Reader(tmp_path)


def test_network_that_answers_with_no_numbers_decides_nothing() -> None:
    absurd = Reader()
    huge = [
        layer._replace(kernel=layer.kernel * np.float32(1e30)) for layer in absurd.network.layers
    ]
    absurd.network = absurd.network._replace(layers=huge)
    for one in (True, False):
        found = absurd.read(MNIST[3], one=one)
        assert found.verdict is not Verdict.DECIDED
        assert np.isfinite(found.confidence)


def test_page_full_of_pieces_is_read_without_cutting_any(reader: Reader) -> None:
    page = np.ones((600, 600))
    for row in range(20, 580, 40):
        for column in range(10, 560, 70):
            page[row : row + 20, column : column + 50] = 0
    found = reader.read(page)
    assert len(found.digits) > 100
    assert {digit.reason for digit in found.digits} == {"too wide for one digit"}


def test_model_that_is_none_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none", CHAMPION / "model.onnx"):
        with pytest.raises(PipelineError, match=r"no network in .*: expected a folder"):
            Reader(folder)
    (tmp_path / "model.onnx").write_bytes(b"\x08\x07junk")
    with pytest.raises(PipelineError, match="not a network that this project has exported"):
        Reader(tmp_path)
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(PipelineError, match="larger than"):
        Reader(tmp_path)
