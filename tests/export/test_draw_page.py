"""The page to draw on, in a real browser: the same inputs, classes and verdicts as `read`."""

import base64
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Chromium, View
from conftest import ROOT
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect
from scipy import ndimage

from pipeline.export.network import answers
from pipeline.export.onnx_file import network_in
from pipeline.reading import Reader
from pipeline.reading.reader import CHAMPION
from pipeline.tools.demo import digits

PAGE = CHAMPION / "draw.html"
IMAGES, LABELS = digits()
MOST_BYTES = 700_000


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


def drawn(number: int, side: int) -> Image.Image:
    """Return a digit of MNIST as a picture, black on white."""
    picture = Image.fromarray(255 - IMAGES[number])
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def encoded(array: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


def read_in(view: View, picture: NDArray[np.float32]) -> dict[str, Any]:
    """Return what the page says of a grey picture, from 0 to 1."""
    height, width = picture.shape
    found: dict[str, Any] = view.page.evaluate(
        """([width, height, text]) => {
          const channel = { width, height, data: floats(text) };
          const found = read(network, [channel, channel, channel]);
          return { ...found, image: found.image && Array.from(found.image) };
        }""",
        [width, height, encoded(picture)],
    )
    return found


def assert_same(reader: Reader, view: View, picture: NDArray[np.float32]) -> None:
    mine, found = reader.read(picture, one=True), read_in(view, picture)
    assert (found["verdict"], found["reason"]) == (mine.verdict, mine.reason)
    (digit,) = mine.digits
    seen = np.round(np.array(found["image"]).reshape(28, 28) * 255)
    assert np.abs(seen - np.round(digit.image * 255)).max() <= 1
    assert found["confidence"] == pytest.approx(digit.confidence, abs=1e-3)


def test_page_is_one_small_file_without_network(chromium: Chromium) -> None:
    assert PAGE.stat().st_size <= MOST_BYTES
    with chromium.view(PAGE) as view:
        assert (view.requests, view.complaints) == ([], [])
        assert (
            view.page.locator("#facts").inner_text().startswith("Name\nchampion-0\nAccuracy\n99.4")
        )


# A hundred of each, of which a few are tested always.
SOME = [
    pytest.param(range(0, 5000, 500), id="ten"),
    pytest.param(
        [number for number in range(0, 5000, 50) if number % 500],
        id="ninety more",
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize("numbers", SOME)
def test_digits_drawn_as_pictures_are_seen_as_read_sees_them(
    chromium: Chromium, reader: Reader, numbers: Sequence[int]
) -> None:
    with chromium.view(PAGE) as view:
        for number in numbers:
            side = (28, 56, 140, 280)[number // 50 % 4]
            picture = drawn(number, side)
            assert_same(reader, view, np.asarray(picture, np.float32) / np.float32(255))


def traced(image: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Return points along the middle of a digit's strokes, on the page's sheet of 280 pixels."""
    depth = ndimage.distance_transform_edt(image > 100)
    middle = (depth == ndimage.maximum_filter(depth, 3)) & (depth > 0)
    points = [(float(x) * 10 + 5, float(y) * 10 + 5) for y, x in np.argwhere(middle)]
    path = [points.pop(0)]
    while points:  # to the nearest one each time
        last = path[-1]
        nearest = min(points, key=lambda point: np.hypot(point[0] - last[0], point[1] - last[1]))
        points.remove(nearest)
        path.append(nearest)
    return path


def penned(lines: list[tuple[tuple[float, float], tuple[float, float]]]) -> NDArray[np.float32]:
    """Return the sheet on which a pen of 20 pixels has drawn lines."""
    paper = np.ones((280, 280))
    for (left, top), (right, bottom) in lines:
        near = [  # as far as the pen reaches
            slice(max(0, int(min(ends)) - 12), min(280, int(max(ends)) + 12))
            for ends in ((top, bottom), (left, right))
        ]
        rows, columns = np.mgrid[tuple(near)] + 0.5
        along = np.array([right - left, bottom - top])
        square = float((along**2).sum())
        share = ((columns - left) * along[0] + (rows - top) * along[1]) / (square or 1)
        share = np.clip(share, 0, 1)
        distance = np.hypot(columns - left - share * along[0], rows - top - share * along[1])
        paper[tuple(near)] = np.minimum(paper[tuple(near)], 1 - np.clip(10.5 - distance, 0, 1))
    return np.asarray(np.round(paper * 255) / 255, np.float32)


@pytest.mark.parametrize("numbers", SOME)
def test_digits_traced_as_strokes_are_seen_as_read_sees_them(
    chromium: Chromium, reader: Reader, numbers: Sequence[int]
) -> None:
    with chromium.view(PAGE) as view:
        for number in numbers:
            path = traced(IMAGES[number + 25])
            # A stroke ends where the pen is lifted: where the next point is far.
            lines = [
                (one, other)
                for one, other in pairwise(path)
                if np.hypot(one[0] - other[0], one[1] - other[1]) < 30
            ] or [(path[0], path[0])]
            found = view.page.evaluate(
                """(lines) => {
                  const paper = sheet();
                  for (const [from, to] of lines) stroke(paper, from, to);
                  const { data } = asPicture(paper);
                  const byte = (value) => String.fromCharCode(Math.round(255 * value));
                  return btoa(Array.from(data, byte).join(""));
                }""",
                lines,
            )
            picture = penned(lines)
            sheet = np.frombuffer(base64.b64decode(found), np.uint8).reshape(280, 280)
            np.testing.assert_allclose(sheet / 255, picture, atol=1 / 255)
            assert_same(reader, view, picture)


def mnist_test() -> NDArray[np.float32]:
    """Return MNIST's test images, float32 (10000, 784), which the pipeline has made."""
    path = ROOT / "data/processed/test_images.npy"
    if not path.exists():
        pytest.skip("the 10,000 test images come with `make repro`, which has not been run here")
    images: NDArray[np.float32] = np.load(path)
    return images


def installed() -> NDArray[np.float32]:
    """Return the 5,000 real digits of an installed package, float32 (5000, 784)."""
    return IMAGES.reshape(len(IMAGES), -1).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("images", [installed, pytest.param(mnist_test, marks=pytest.mark.slow)])
def test_network_in_the_page_gives_the_classes_of_the_file(
    chromium: Chromium, images: Callable[[], NDArray[np.float32]]
) -> None:
    network = network_in((CHAMPION / "model.onnx").read_bytes())
    flat = images()
    expected, like = answers(network, flat)
    with chromium.view(PAGE) as view:
        found = view.page.evaluate(
            """(text) => {
              const all = floats(text), found = [];
              for (let start = 0; start < all.length; start += 784) {
                const one = answer(network, all.subarray(start, start + 784));
                found.push([...one.probabilities, one.likeness]);
              }
              return found;
            }""",
            encoded(flat),
        )
    np.testing.assert_allclose(np.array(found)[:, :10], expected, atol=1e-5)
    np.testing.assert_allclose(np.array(found)[:, 10], like, atol=1e-4)
    assert (np.array(found)[:, :10].argmax(axis=1) == expected.argmax(axis=1)).all()


def draw_seven(view: View, meanwhile: str = "") -> None:
    """Draw a 7 with the mouse; call a function of JavaScript at each of its corners."""
    box = view.page.locator("#sheet").bounding_box()
    assert box
    points = [(0.25, 0.25), (0.75, 0.25), (0.6, 0.5), (0.45, 0.8)]
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    view.page.mouse.move(*places[0])
    view.page.mouse.down()
    for place in places[1:]:
        view.page.mouse.move(*place, steps=8)
        if meanwhile:
            view.page.evaluate(meanwhile)
    view.page.mouse.up()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_drawing_is_read_live_and_escape_clears(
    chromium: Chromium, width: int, scheme: Any
) -> None:
    with chromium.view(PAGE, width, scheme) as view:
        assert view.overflow() == 0
        said = view.page.get_by_role("status")
        assert said.inner_text().strip() == "Nothing is drawn yet."
        draw_seven(view)
        expect(said).to_contain_text("7")
        assert view.page.locator("#digit").inner_text() == "7"
        shares = view.page.locator("#bars li span:last-child").all_inner_texts()
        assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.5)
        assert view.page.evaluate("scrollY") == 0
        assert view.overflow() == 0
        view.page.keyboard.press("Escape")
        assert said.inner_text().strip() == "Nothing is drawn yet."
        assert view.complaints == []


def test_picture_is_read_and_what_is_none_is_a_message(
    chromium: Chromium, tmp_path: Path, reader: Reader
) -> None:
    path = tmp_path / "digit.png"
    drawn(3, 140).save(path)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with chromium.view(PAGE) as view:
        view.page.set_input_files("#file", path)
        expect(view.page.get_by_role("status")).to_contain_text("3")
        found = reader.read(path, one=True)
        words = {"decided": "decides: 3", "ask a person": "would ask a person: 3?"}
        said = view.page.get_by_role("status").inner_text()
        assert said.strip() == f"{words[found.verdict]}, {found.confidence:.1%}"
        view.page.set_input_files("#file", broken)
        expect(view.page.get_by_role("status")).to_contain_text("not a picture")


SEEN_AND_READ = """() => {
  const { data } = pen.getImageData(0, 0, SHEET, SHEET);
  const shown = paper.data.map((_, place) => data[4 * place + 3] > 127);
  const read = paper.data.map((value) => value < 0.5);
  const count = (mask) => mask.reduce((sum, value) => sum + value, 0);
  return [count(shown), count(read), count(shown.map((value, place) => value && read[place]))];
}"""


def test_tap_is_a_point_that_is_shown_as_it_is_read(chromium: Chromium) -> None:
    with chromium.view(PAGE) as view:
        view.page.locator("#sheet").click(position={"x": 100, "y": 100})
        shown, read, both = view.page.evaluate(SEEN_AND_READ)
        assert both > 250
        assert max(shown, read) - both < 60  # the rim


def test_second_finger_draws_nothing(chromium: Chromium) -> None:
    with chromium.view(PAGE) as view:
        draw_seven(view)
        alone = view.page.evaluate(SEEN_AND_READ)
        view.page.keyboard.press("Escape")
        second_finger = """() => {
          const sheet = element("sheet"), { left, bottom } = sheet.getBoundingClientRect();
          const where = { pointerId: 7, clientX: left + 9, clientY: bottom - 9 };
          for (const name of ["pointerdown", "pointermove", "pointerup"]) {
            sheet.dispatchEvent(new PointerEvent(name, where));
          }
        }"""
        draw_seven(view, second_finger)
        assert view.page.evaluate(SEEN_AND_READ) == alone


def test_drawing_over_a_picture_begins_anew(chromium: Chromium, tmp_path: Path) -> None:
    path = tmp_path / "digit.png"
    drawn(3, 140).save(path)
    with chromium.view(PAGE) as view:
        view.page.set_input_files("#file", path)
        expect(view.page.get_by_role("status")).to_contain_text("3")
        draw_seven(view)
        expect(view.page.get_by_role("status")).to_contain_text("7")
        shown, read, both = view.page.evaluate(SEEN_AND_READ)
        assert max(shown, read) - both < 0.1 * both


def test_clearing_in_the_moment_of_a_stroke_leaves_nothing(chromium: Chromium) -> None:
    with chromium.view(PAGE) as view:
        view.page.evaluate(
            """() => new Promise((done) => {
              draw({ clientX: 100, clientY: 300 });
              clear();
              requestAnimationFrame(() => requestAnimationFrame(done));
            })"""
        )
        assert view.page.get_by_role("status").inner_text().strip() == "Nothing is drawn yet."


def made_otherwise() -> list[NDArray[np.float32]]:
    """Return pictures that are not like a scan of MNIST: bold, thin, two digits."""
    bold = np.asarray(drawn(1500, 400), np.float32) / np.float32(255)
    thin = np.ones((640, 480), np.float32)
    thin[40:600, 200] = 0
    thin[600, 200:330] = 0
    two = np.concatenate([np.asarray(drawn(number, 140), np.float32) for number in (0, 600)], 1)
    return [bold, thin, two / np.float32(255)]


@pytest.mark.parametrize("picture", made_otherwise(), ids=["bold", "thin", "two"])
def test_other_pictures_are_seen_as_read_sees_them(
    chromium: Chromium, reader: Reader, picture: NDArray[np.float32]
) -> None:
    with chromium.view(PAGE) as view:
        assert_same(reader, view, picture)


def test_photos_in_a_shadow_get_the_class_and_the_verdict_of_read(
    chromium: Chromium, reader: Reader
) -> None:
    rng = np.random.default_rng(0)
    light = np.linspace(1, 0.5, 400, dtype=np.float32)
    with chromium.view(PAGE) as view:
        for number in range(0, 5000, 500):
            bold = np.asarray(drawn(number, 400), np.float32) / np.float32(255)
            noisy = np.clip(bold * light + rng.normal(0, 0.01, bold.shape), 0, 1)
            mine = reader.read(noisy.astype(np.float32), one=True)
            found = read_in(view, noisy.astype(np.float32))
            best = reader.names[found["best"]]
            assert (found["verdict"], best) == (mine.verdict, mine.digits[0].text)


def test_keyboard_reaches_what_is_not_drawing(chromium: Chromium) -> None:
    with chromium.view(PAGE) as view:
        reached = []
        for _ in range(2):
            view.page.keyboard.press("Tab")
            reached.append(view.page.evaluate("document.activeElement.id"))
        assert reached == ["clear", "file"]
