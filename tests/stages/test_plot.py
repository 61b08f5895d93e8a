"""The page of a run as a user sees it: made by the stage, looked at in a browser."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import pytest
from browser import Chromium, View
from conftest import ROOT, Project
from made_up_runs import PICTURES, made_up_run, probabilities_of, written
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator

from pipeline.evaluation.assessment import EvaluateParams
from pipeline.evaluation.robustness import PERTURBATIONS
from pipeline.model.backend import keras
from pipeline.model.file import save_model
from pipeline.model.network import build_network
from pipeline.report.figures import percentage
from pipeline.report.page import IMAGES_PER_CELL, run_page
from pipeline.report.run import Run
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import load_section
from pipeline.stages.evaluate import evaluate
from pipeline.stages.plot import PlotParams, plot

Scheme = Literal["light", "dark"]
COARSE = PlotParams(gallery_size=24, dpi=50)
TEMPLATE = (ROOT / "pipeline/report/page.html").read_text(encoding="utf-8")
CHARTS = 4 + len(PERTURBATIONS)  # risk and coverage, reliability, loss, accuracy
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}

# Of each text that is shown: itself, its contrast with what is behind it.
CONTRASTS = """() => {
  const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => colour.slice(0, 3)
    .map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = rgba(getComputedStyle(element).backgroundColor);
      if (colour[3] === 255) return colour;
    }
  };
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    if (!text || element.closest("style") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = rgba(element.closest("svg") ? style.fill : style.color);
    const [dark, light] = [luminance(ink), luminance(behind(element))].sort((a, b) => a - b);
    found.push([text, (light + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""
CELLS = """(rows) => rows.map((row) => [...row.querySelectorAll("td")].map(
    (cell) => cell.innerText.trim() === "·" ? 0 : Number(cell.innerText)))"""
SIZES = """(charts) => charts.map((chart) => [...chart.querySelectorAll("path")].map((path) => [
    (path.getAttribute("d") ?? "").trim().length,
    Math.max(path.getBoundingClientRect().width, path.getBoundingClientRect().height)]))"""


@pytest.fixture(scope="module")
def page(original: tuple[Project, list[str]]) -> Path:
    """The page that the pipeline made on small data."""
    project, _ = original
    return project.folder / "reports/index.html"


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    """A run with errors in most cells, more in some than the page shows, and its page."""
    random = np.random.default_rng(3)
    labels = np.repeat(np.arange(10), 50)
    slips = np.where(random.random(500) < 0.4, random.integers(0, 10, 500), labels)
    slips[:30] = 7  # zeros taken for sevens
    confidence = random.uniform(0.3, 1, 500).round(3)
    run = made_up_run(labels, probabilities_of(slips, confidence))
    path = tmp_path_factory.mktemp("careless") / "index.html"
    path.write_text(run_page(run, TEMPLATE, 24), encoding="utf-8")
    return run, path


def assert_whole(view: View) -> None:
    assert view.requests == []
    assert view.complaints == []
    assert view.missing_images() == []
    assert view.overflow() == 0


def counted(predictions: pd.DataFrame) -> "Counter[tuple[int, int]]":
    pairs = predictions[["actual", "predicted"]].to_numpy().tolist()
    return Counter((actual, predicted) for actual, predicted in pairs)


def shown_matrix(view: View) -> dict[tuple[int, int], int]:
    """Return the counts of the confusion matrix as they can be read, without the zeros."""
    rows: list[list[int]] = view.page.locator(".matrix tbody tr").evaluate_all(CELLS)
    assert all(len(row) == len(rows) for row in rows)
    return {
        (actual, predicted): count
        for actual, row in enumerate(rows)
        for predicted, count in enumerate(row)
        if count
    }


def tiles_of(digits: Locator) -> list[NDArray[np.uint8]]:
    """Return the pixels of the sprite at the places that the digits' styles name."""
    address = digits.first.evaluate("(digit) => getComputedStyle(digit).backgroundImage")
    content = re.fullmatch(r'url\("data:image/png;base64,(.*)"\)', address)
    assert content
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(content[1]))))
    places = digits.evaluate_all(
        "(all) => all.map((digit) => ['--x', '--y'].map("
        "(name) => 28 * Number(digit.style.getPropertyValue(name))))"
    )
    return [sheet[top : top + 28, left : left + 28] for left, top in places]


def seen(digit: Locator) -> NDArray[np.uint8]:
    """Return the pixels of a digit as they are on the screen, blown up to be told apart."""
    large = {"width": "226px", "height": "226px", "position": "relative", "zIndex": "1"}
    small = dict.fromkeys(large, "")
    change = "(digit, style) => { Object.assign(digit.style, style); }"
    digit.evaluate(change, large)
    picture = Image.open(io.BytesIO(digit.screenshot())).convert("L")
    digit.evaluate(change, small)
    return np.asarray(picture)[5:226:8, 5:226:8]  # in the middle of eight pixels, after a border


def test_page_is_whole_and_legible_at_any_width_in_two_schemes(
    page: Path, careless: tuple[Run, Path], chromium: Chromium
) -> None:
    colours, schemes = set(), get_args(Scheme)
    for path, scheme in product((page, careless[1]), schemes):
        with chromium.view(path, scheme=scheme) as view:
            assert_whole(view)
            view.page.locator("summary").evaluate_all("(all) => all.forEach((one) => one.click())")
            contrasts: list[tuple[str, float]] = view.page.evaluate(CONTRASTS)
            assert len(contrasts) > 300
            assert [text for text in contrasts if text[1] < 4.5] == []
            colours.add(view.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            for width in (1280, 390):
                view.page.set_viewport_size({"width": width, "height": 900})
                assert_whole(view)
                assert_drawn(view.page.locator("figure svg"), width)
    assert len(colours) == 2


def assert_drawn(charts: Locator, width: int) -> None:
    assert charts.count() == CHARTS
    for paths in charts.evaluate_all(SIZES):
        assert len(paths) > 5
        assert all(length for length, _ in paths)
        # Some lie in definitions, and have no size of their own.
        assert sum(size > 0 for _, size in paths) > 3
    for box in charts.evaluate_all("(all) => all.map((one) => one.getBoundingClientRect())"):
        assert box["width"] > 150
        assert box["height"] > 100
        assert box["right"] <= width


def test_page_can_be_read_out(page: Path, chromium: Chromium) -> None:
    with chromium.view(page) as view:
        images = view.page.locator("figure [role=img]")
        texts = [image.get_attribute("aria-label") or "" for image in images.all()]
        assert len(texts) == len(set(texts)) == CHARTS
        assert all(re.search(r"\d", text) for text in texts)
        assert all(image.locator("svg").count() == 1 for image in images.all())
        headings = view.page.locator("h1, h2, h3, h4, h5, h6")
        levels = headings.evaluate_all("(all) => all.map((one) => Number(one.tagName[1]))")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert all(headings.all_inner_texts())
        for section in view.page.locator("section").all():
            name = section.get_attribute("aria-labelledby")
            assert section.locator(f"h2#{name}").count() == 1


def test_numbers_of_the_page_are_those_of_the_reports(
    original: tuple[Project, list[str]], page: Path, chromium: Chromium
) -> None:
    reports = original[0].folder / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    accuracy = f"{100 * metrics['accuracy']:.2f}%"
    with chromium.view(page) as view:
        assert accuracy in view.page.title()
        assert view.page.locator(".headline strong").inner_text() == accuracy
        predictions = pd.read_csv(reports / "predictions.csv")
        assert shown_matrix(view) == counted(predictions)
        shown = view.page.locator("table:has(caption:text('Each class')) tbody tr")
        rows = [row.split("\t") for row in shown.all_inner_texts()]
        expected = pd.read_csv(reports / "by_class.csv")
        for cells, row in zip(rows, expected.to_dict("records"), strict=True):
            shares = [f"{100 * row[name]:.2f}%" for name in ("precision", "recall", "f1")]
            assert cells == [str(row["class"]), *shares, str(row["support"])]
        robust = pd.read_csv(reports / "robustness.csv")
        texts = view.page.locator("figure details td").all_text_contents()
        assert texts == [f"{100 * accuracy:.2f}%" for accuracy in robust["accuracy"]]
        # 100 validation images are too few for any threshold.
        assert view.page.locator(".cards dd", has_text=re.compile("^none$")).count() == 2


def test_gallery_shows_the_most_confident_errors_with_their_images(
    careless: tuple[Run, Path], chromium: Chromium
) -> None:
    run, page = careless
    wrong = run.predictions[run.predictions["actual"] != run.predictions["predicted"]]
    worst = wrong.sort_values("calibrated_confidence", ascending=False, kind="stable")[:24]
    ink = np.rint(255 * run.images[worst.index]).astype(int)
    with chromium.view(page) as view:
        tiles = view.page.locator("section[aria-labelledby=errors] li")
        assert tiles.all_inner_texts() == [
            f"{row.actual:.0f} → {row.predicted:.0f}\n"
            f"{percentage(float(row.calibrated_confidence))}\n#{index}"
            for index, row in worst.iterrows()
        ]
        np.testing.assert_array_equal(tiles_of(tiles.locator(".image")), 255 - ink)
        shown: dict[Scheme, NDArray[np.int64]] = {"light": 255 - ink, "dark": ink}
        for scheme, expected in shown.items():
            view.page.emulate_media(color_scheme=scheme)
            for number in (0, 23):
                found = seen(tiles.nth(number).locator(".image"))
                assert np.abs(found - expected[number]).max() <= 2


def cell_texts(run: Run, actual: int, predicted: int) -> list[str]:
    """Return what is to be read below the digits of a cell."""
    table = run.predictions
    mine = table[(table["actual"] == actual) & (table["predicted"] == predicted)]
    mine = mine.sort_values("calibrated_confidence", kind="stable", ascending=False)
    if actual == predicted:
        mine = mine[::-1]
    confidences = map(percentage, mine["calibrated_confidence"][:IMAGES_PER_CELL])
    return [f"{text}\n#{index}" for index, text in zip(mine.index, confidences, strict=False)]


def test_cell_under_the_mouse_shows_its_images_and_one_that_was_clicked_keeps_them(
    careless: tuple[Run, Path], chromium: Chromium
) -> None:
    run, page = careless
    counts = counted(run.predictions)
    assert max(counts.values()) > IMAGES_PER_CELL
    with chromium.view(page) as view:
        assert shown_matrix(view) == counts
        heading, tiles = view.page.locator("#cell h3"), view.page.locator("#cell li")
        assert heading.get_attribute("aria-live") == "polite"
        # At first, the most frequent error.
        assert heading.inner_text() == f"0 → 7: 24 of {counts[0, 7]} images"
        for (actual, predicted), count in sorted(counts.items())[::7]:
            view.page.locator(f"[data-cell='{actual} {predicted}']").hover()
            number = f"{count} images" if count > 1 else "1 image"
            many = f"24 of {number}" if count > IMAGES_PER_CELL else number
            assert heading.inner_text() == f"{actual} → {predicted}: {many}"
            assert tiles.all_inner_texts() == cell_texts(run, actual, predicted)
        names = view.page.locator("#cell .image").evaluate_all(
            "(all) => all.map((one) => one.getAttribute('aria-label'))"
        )
        images = run.images[[int(name.removeprefix("Image ")) for name in names]]
        found = tiles_of(view.page.locator("#cell .image"))
        np.testing.assert_array_equal(found, np.rint(255 * (1 - images)))
        view.page.locator("[data-cell='0 0']").click()
        view.page.locator("[data-cell='0 7']").hover()
        assert heading.inner_text().startswith("0 → 7: ")
        view.page.locator("#cell").hover()
        assert heading.inner_text().startswith("0 → 0: ")


def focused(view: View) -> str | None:
    cell: str | None = view.page.evaluate("document.activeElement.dataset.cell ?? null")
    return cell


def test_keyboard_reaches_the_grid_once_and_every_cell_in_it(
    careless: tuple[Run, Path], chromium: Chromium
) -> None:
    run, page = careless
    counts = counted(run.predictions)
    moves = {"ArrowUp": (-1, 0), "ArrowDown": (1, 0), "ArrowLeft": (0, -1), "ArrowRight": (0, 1)}

    def neighbour(cell: tuple[int, int], key: str) -> tuple[int, int]:
        """Return the next cell with digits, or the same where there is none."""
        place = cell
        while all(0 <= part < 10 for part in place):
            place = (place[0] + moves[key][0], place[1] + moves[key][1])
            if counts[place]:
                return place
        return cell

    with chromium.view(page) as view:
        stops = []
        for _ in range(40):
            view.page.keyboard.press("Tab")
            stops.append(focused(view))
            if view.page.evaluate("document.activeElement === document.body"):
                break
        else:
            pytest.fail("Tab does not leave the page")
        assert [stop for stop in stops if stop] == ["0 7"]
        while focused(view) is None:
            view.page.keyboard.press("Tab")
        cell, visited = (0, 7), set()
        for key in ("ArrowUp", *["ArrowLeft"] * 10, *["ArrowDown", *["ArrowRight"] * 3] * 4):
            expected = neighbour(cell, key)
            view.page.keyboard.press(key)
            assert focused(view) == f"{expected[0]} {expected[1]}"
            heading = view.page.locator("#cell h3").inner_text()
            assert heading.startswith(f"{expected[0]} → {expected[1]}: ")
            pressed = view.page.locator(".matrix [aria-pressed=true]")
            assert pressed.evaluate_all("(all) => all.map((one) => one.dataset.cell)") == [
                focused(view)
            ]
            assert view.page.locator(".matrix [tabindex='0']").count() == 1
            cell = expected
            visited.add(cell)
        assert len(visited) > 12
        # Where the keyboard is looks different from what was only chosen.
        outline = "(cell) => getComputedStyle(cell).outlineColor"
        chosen = view.page.locator(".matrix [aria-pressed=true]")
        with_focus = chosen.evaluate(outline)
        chosen.evaluate("(cell) => cell.blur()")
        assert chosen.evaluate(outline) != with_focus


def test_page_is_one_small_file_without_addresses(page: Path) -> None:
    content = page.read_bytes()
    assert len(content) < 5_000_000
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", content.decode()))
    assert addresses <= NAMESPACES
    assert b"\r" not in content


# From here on, networks that nobody trained.


def every(confidence: float, images: int = 40) -> NDArray[np.float64]:
    return np.full(images, confidence)


DIGITS = np.arange(40) % 10
UNSURE = np.linspace(0.2, 1, 40)
EDGES: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {
    "perfect": (DIGITS, probabilities_of(DIGITS, UNSURE)),
    "constant": (DIGITS, np.full((40, 10), 0.1, np.float32)),
    "single_class": (DIGITS, probabilities_of(np.full(40, 3), UNSURE)),
    "class_missing": (DIGITS % 9, probabilities_of(DIGITS % 9, UNSURE)),
    "all_wrong": (DIGITS, probabilities_of((DIGITS + 1) % 10, UNSURE)),
    "two_classes": (DIGITS % 2, probabilities_of(DIGITS // 5 % 2, 0.4 + UNSURE * 0.6, 2)),
    "all_wrong_of_two": (DIGITS % 2, probabilities_of(1 - DIGITS % 2, every(1.0), 2)),
    "one_image": (DIGITS[1:2], probabilities_of(DIGITS[1:2], every(0.75, 1))),
}
MOST_TELLING = {"all_wrong_of_two", "one_image"}  # with no right answer, and with no error


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in MOST_TELLING else pytest.mark.slow) for name in EDGES],
)
def test_run_of_any_network_is_a_whole_page(name: str, tmp_path: Path, chromium: Chromium) -> None:
    labels, probabilities = EDGES[name]
    run = made_up_run(labels, probabilities)
    paths = written(run, tmp_path / name)
    plot(COARSE, **paths)
    for argument, path in paths.items():
        assert path.stat().st_size > 0, argument
    errors = int((probabilities.argmax(axis=1) != labels).sum())
    with chromium.view(paths["page"]) as view:
        assert_whole(view)
        assert view.page.locator("figure svg").count() == CHARTS
        assert shown_matrix(view) == counted(run.predictions)
        shown = min(errors, 24)
        assert view.page.locator("section[aria-labelledby=errors] li").count() == shown
        text = view.page.inner_text("main")
        assert f"{shown} of {errors} errors" in text
        pairs = view.page.locator("table:has(caption:text('Most confused pairs')) tbody tr")
        wrong = [count for pair, count in counted(run.predictions).items() if len({*pair}) > 1]
        if wrong:
            assert pairs.count() == min(10, len(wrong))
            assert pairs.first.inner_text().split("\t")[1] == str(max(wrong))
        else:
            assert pairs.all_inner_texts() == ["none"]
            cards = view.page.locator(".cards dd").all_inner_texts()
            assert cards[:4] == ["100.00%", "0.000% of them wrong"] * 2
        assert view.page.locator("#cell li").count() > 0
        assert ("No threshold is sure to reach" in text) is (errors > 0)
        assert not re.search(r"\bnan\b|\binf\b|None|undefined", text)
        view.page.set_viewport_size({"width": 390, "height": 900})
        assert view.overflow() == 0


def test_text_that_looks_like_html_is_shown_as_text(tmp_path: Path, chromium: Chromium) -> None:
    hostile = '<script>document.title = "taken"</script> & </td> "quoted" \' {{ 7 * 7 }}'
    run = made_up_run(*EDGES["single_class"])
    parameters = {
        **run.parameters,
        "preprocess": {**run.parameters["preprocess"], "class_names": [hostile] * 10},
        "train": {**run.parameters["train"], "recipe": hostile},
        "recipe": {hostile: hostile, "list": [hostile], "missing": None},
    }
    environment = {**run.environment, "device": hostile}
    page = tmp_path / "index.html"
    changed = replace(run, parameters=parameters, environment=environment)
    page.write_text(run_page(changed, TEMPLATE, 24), encoding="utf-8")
    with chromium.view(page) as view:
        assert_whole(view)
        assert re.fullmatch(r"\d+\.\d\d% classified correctly", view.page.title())
        assert view.page.locator("script").count() == 2
        assert view.page.locator("header b").inner_text() == hostile
        settings = view.page.locator(".settings tbody tr").evaluate_all(
            "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )
        shown = dict(settings)
        assert shown[f"recipe.{hostile}"] == shown["device"] == shown["train.recipe"] == hostile
        assert json.loads(shown["recipe.list"]) == [hostile]
        assert shown["recipe.missing"] == "none"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a run, in a folder of their own."""
    return written(made_up_run(*EDGES["single_class"]), tmp_path_factory.mktemp("run") / "sound")


def test_empty_input_is_an_error_that_names_it_and_nothing_is_drawn(
    sound: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "index.html"
    inputs = [name for name, path in sound.items() if path.exists() and name != "template"]
    assert len(inputs) == 11
    for name in inputs:
        empty = tmp_path / sound[name].name
        empty.touch()
        with pytest.raises(PipelineError, match=rf"^{empty}: .*$"):
            plot(COARSE, **{**sound, "page": page, name: empty})
        assert not page.exists()


def test_images_of_another_number_than_predictions_are_refused(
    sound: dict[str, Path], tmp_path: Path
) -> None:
    np.save(tmp_path / "test_images.npy", np.zeros((39, 784), np.float32))
    with pytest.raises(PipelineError, match=r"expected 40 images, .*, found 39"):
        plot(COARSE, **{**sound, "test_images": tmp_path / "test_images.npy"})


STYLE = """font.size: 20
lines.linewidth: 7
svg.fonttype: path
axes.facecolor: black
savefig.bbox: tight
axes.unicode_minus: False
"""
# In a process of its own, since matplotlib reads its style when it is imported.
PLOT = """
import json, sys
from pathlib import Path
from pipeline.stages.plot import PlotParams, plot
paths = {name: Path(path) for name, path in json.loads(sys.argv[1]).items()}
plot(PlotParams(gallery_size=24, dpi=50), **paths)
"""
OUTPUTS = ["page", *(f"{name}_picture" for name in PICTURES)]


def test_bytes_are_the_same_under_any_style_zone_and_language(
    sound: dict[str, Path], tmp_path: Path
) -> None:
    plot(COARSE, **sound)
    (tmp_path / "matplotlibrc").write_text(STYLE)
    again = sound | {name: tmp_path / sound[name].name for name in OUTPUTS}
    subprocess.run(
        [sys.executable, "-c", PLOT, json.dumps({name: str(path) for name, path in again.items()})],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TZ": "Asia/Kathmandu", "LC_ALL": "de_DE.UTF-8"},
        check=True,
    )
    for name in OUTPUTS:
        assert again[name].read_bytes() == sound[name].read_bytes(), name


# With Keras what is shown above with answers that are made up.
@pytest.mark.slow
def test_networks_that_know_nothing_and_all_go_through_evaluation_and_plot(
    sound: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    chromium: Chromium,
) -> None:
    monkeypatch.chdir(tmp_path)
    # Threads cannot be set any more where another test has computed something.
    monkeypatch.setattr("pipeline.stages.evaluate.pin", lambda _: None)
    for folder in ("data/model", "data/processed", "reports"):
        Path(folder).mkdir(parents=True)
    others = {name: sound[name] for name in ("template", "environment", "learning_curves")}
    evaluation = load_section("evaluate", EvaluateParams, ROOT / "params.yaml")
    for part, count in (("validation", 5000), ("test", 200)):
        labels = np.arange(count, dtype=np.int32) % 10
        np.save(f"data/processed/{part}_labels.npy", labels)
        np.save(f"data/processed/{part}_images.npy", np.eye(10, 784, dtype=np.float32)[labels])
    # One knows the class, which the first pixels tell, and the other does not look.
    for weight, accuracy in ((30, "100.00%"), (0, "10.00%")):
        model = build_network(784, [], "relu", 10, keras.optimizers.Adam(), seed=0)
        model.set_weights([weight * np.eye(784, 10, dtype=np.float32), np.zeros(10, np.float32)])
        model.optimizer.build(model.trainable_variables)
        save_model(model, Path("data/model/model.keras"))
        evaluate(evaluation)
        assert f"{accuracy} of 200 test images classified correctly" in capsys.readouterr().out
        points = json.loads(Path("data/model/operating_points.json").read_text())
        assert all(
            (threshold is None) == (weight == 0) for threshold in points["thresholds"].values()
        )
    plot(COARSE, parameters=ROOT / "params.yaml", **others)
    with chromium.view(Path("reports/index.html").resolve()) as view:
        assert_whole(view)
        assert view.page.locator(".headline strong").inner_text() == "10.00%"
        assert view.page.locator(".cards dd").first.inner_text() == "none"
