"""The page as a user sees it: made by the command, looked at in a browser without network."""

import json
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from browser import Chromium, View
from conftest import ROOT, Project, copied
from in_process import call
from PIL import Image
from scripts import scripts_project

# DVC's line charts have a layer that is empty until the mouse is there, and Vega says so.
HARMLESS = "WARN Infinite extent for field"
COUNT_MARKS = """(kinds) => Object.fromEntries(
    [...document.querySelectorAll("main > div")]
        .filter((card) => card.querySelector("svg.marks"))
        .map((card) => [card.id, kinds.map((kind) =>
            card.querySelectorAll(`g.role-mark.mark-${kind} :is(path, text)`).length)])
)"""
KINDS = ["line", "rect", "symbol", "text"]


def marks(view: View, names: set[str]) -> dict[str, dict[str, int]]:
    """Return how many marks of each kind the charts have, after all of them have been drawn."""
    view.page.wait_for_function(
        f"document.querySelectorAll('main svg.marks').length == {len(names)}"
    )
    counts: dict[str, list[int]] = view.page.evaluate(COUNT_MARKS, KINDS)
    assert counts.keys() == names
    return {name: dict(zip(KINDS, each, strict=True)) for name, each in counts.items()}


def assert_whole(view: View) -> None:
    assert view.requests == []
    assert view.missing_images() == []
    assert [text for text in view.complaints if not text.startswith(HARMLESS)] == []


def confused(project: Project) -> set[tuple[str, str]]:
    """Return the pairs of an actual and a predicted class that occur."""
    rows = (project.folder / "reports/predictions.csv").read_text().splitlines()[1:]
    return {(row.split(",")[0], row.split(",")[1]) for row in rows}


class Shown(NamedTuple):
    """The reproduced project with its page of plots, and the plots' names by kind."""

    project: Project
    charts: set[str]
    images: set[str]


@pytest.fixture(scope="module")
def shown(original: tuple[Project, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The page has opened in the user's browser."""
    project = copied(original[0], tmp_path_factory.mktemp("plots") / "project")
    browser = project.folder.parent / "browser"
    browser.write_text('#!/bin/sh\necho "opened $1"\n')
    browser.chmod(0o755)
    page = project.folder / "dvc_plots/index.html"
    output = project.run("python", "-m", "pipeline", "plots", BROWSER=f"{browser} %s")
    assert output == f"{page}\nopened {page.as_uri()}\n"
    assert project.run("git", "status", "--porcelain") == ""
    # By DVC's own word.
    plots = json.loads(project.run("dvc", "plots", "show", "--json"))["data"]
    kinds = {name: versions[0]["type"] for name, versions in plots.items() if versions}
    charts, images = (
        {name for name, kind in kinds.items() if kind == wanted} for wanted in ("vega", "image")
    )
    # As DVC calls them in its page.
    return Shown(project, {re.sub(r"[/.]", "_", name) for name in charts}, images)


def test_every_plot_is_drawn_without_network(shown: Shown, chromium: Chromium) -> None:
    with chromium.view(shown.project.folder / "dvc_plots/index.html") as view:
        drawn = marks(view, shown.charts)
        assert all(sum(counts.values()) for counts in drawn.values()), drawn
        # Loss and accuracy of training and validation; the pairs of classes that occur.
        assert drawn["reports_learning_curves_csv"]["line"] == 4
        matrix = drawn["reports_predictions_csv"]
        pairs = len(confused(shown.project))
        assert matrix["rect"] == matrix["text"] == pairs
        pictures = view.page.locator("main > div > p").all_inner_texts()
        assert set(pictures) == shown.images
        assert view.page.locator("img").count() == len(pictures)
        assert view.page.title() == view.page.locator("h1").inner_text() == "Plots"
        assert_whole(view)


def test_page_fits_a_phone_in_light_and_in_dark(shown: Shown, chromium: Chromium) -> None:
    backgrounds = set()
    for scheme in ("light", "dark"):
        page = shown.project.folder / "dvc_plots/index.html"
        with chromium.view(page, width=390, scheme=scheme) as view:
            marks(view, shown.charts)
            assert view.overflow() == 0
            backgrounds.add(
                view.page.evaluate("getComputedStyle(document.body).backgroundColor"),
            )
            card = view.page.locator("main > div").first
            assert card.evaluate("(card) => getComputedStyle(card).backgroundColor") == (
                "rgb(255, 255, 255)"  # what the charts' black letters are made for
            )
            assert_whole(view)
    assert len(backgrounds) == 2


def test_a_revision_s_plots_stand_beside_those_of_the_workspace(
    shown: Shown, chromium: Chromium
) -> None:
    project = shown.project
    project.run("git", "branch", "feature/fine")
    figure = project.folder / "reports/figures/errors.png"
    with Image.open(figure) as fine:
        fine.resize((fine.width // 2, fine.height // 2)).save(figure)
    page = project.folder / "dvc_plots/index.html"
    browser = f"{project.folder.parent}/browser %s"
    assert call(project, "plots", "feature/fine", "--no-open", BROWSER=browser) == f"{page}\n"
    with chromium.view(page) as view:
        assert view.page.title() == "Plots: workspace and feature/fine"
        drawn = marks(view, shown.charts)
        assert drawn["reports_learning_curves_csv"]["line"] == 8
        matrix = drawn["reports_predictions_csv"]
        assert matrix["rect"] == matrix["text"] == 2 * len(confused(project))
        for chart in drawn:
            text = view.page.locator(f"[id='{chart}'] svg.marks").text_content() or ""
            assert "workspace" in text
            assert "feature/fine" in text
        picture = view.page.locator("main > div", has_text="reports/figures/errors.png")
        captions = picture.locator("div > p").all_inner_texts()
        assert captions[-2:] == ["workspace", "feature/fine"]
        coarse, fine_ = picture.locator("img").evaluate_all(
            "(images) => images.map((image) => image.naturalWidth)"
        )
        assert coarse < fine_
        assert_whole(view)


# Of the y axis of each chart: its labels, and where they stand, in pixels from the top.
Y_LABELS = """() => [...document.querySelectorAll("main > div")].map((card) => {
    const axis = [...card.querySelectorAll("g.role-axis")].find((one) => {
        const label = one.querySelector("g.role-axis-label text");
        return label?.getAttribute("text-anchor") === "end";
    });
    const texts = [...axis.querySelectorAll("g.role-axis-label text")];
    return [card.id, texts.map((text) => [
        text.textContent, new DOMMatrix(getComputedStyle(text).transform).f, text.style.opacity])];
})"""


def test_labels_of_the_axes_are_true_from_the_smallest_to_the_largest_error(
    tmp_path: Path, chromium: Chromium
) -> None:
    """A label is a function of its place: linear, or as in the chart of the risk."""
    rates = [0.0001, 0.0004, 0.002, 0.01, 0.03, 0.08, 0.2, 0.5, 0.9]
    plots = []
    parts = {}
    for number, rate in enumerate(rates):
        shares = [0, rate / 7, rate / 3, rate]
        tables = {
            "risk": ["coverage,risk,threshold", *(f"{x},{x * rate},0.5" for x in (0, 0.3, 1))],
            "class": [
                "class,precision,recall,f1,support",
                *(f"{k},{1 - x},{1 - x / 2},{1 - x / 3},9" for k, x in enumerate(shares)),
            ],
            "curves": [
                "epoch,loss,accuracy,val_loss,val_accuracy",
                *(
                    f"{k},{x + rate / 9},{1 - x},{x + rate},{1 - x / 2}"
                    for k, x in enumerate(shares)
                ),
            ],
        }
        forms = {
            "risk": ("coverage", "risk", "risk_coverage"),
            "class": ("class", "f1", "by_class"),
            "curves": ("epoch", "val_accuracy", "learning_curves"),
        }
        for name, rows in tables.items():
            file = f"{name}{number}.csv"
            parts[file] = "\n".join([*rows, ""])
            x, y, template = forms[name]
            settings = {"x": x, "y": {file: y}, "template": template}
            plots.append({f"{name}{number}": settings})
    project = scripts_project(tmp_path, parts | {"dvc.yaml": json.dumps({"plots": plots})})
    shutil.copytree(ROOT / ".dvc/plots", project.folder / ".dvc/plots", dirs_exist_ok=True)
    call(project, "plots", "--no-open")
    with chromium.view(project.folder / "dvc_plots/index.html") as view:
        view.page.wait_for_function(
            f"document.querySelectorAll('main svg.marks').length == {len(plots)}"
        )
        found = dict(view.page.evaluate(Y_LABELS))
        assert len(found) == len(plots)
        for name, labels in found.items():
            shown = [(text, place) for text, place, opacity in labels if text and opacity != "0"]
            texts = [text for text, _ in shown]
            assert len(set(texts)) == len(texts) > 1, (name, texts)
            values = np.array([float(text.replace(",", "").rstrip("%")) for text in texts])
            values /= 100 if texts[0].endswith("%") else 1
            if name.startswith("risk"):
                values = np.log1p(values / 0.0005)  # the scale's constant
            elif name.startswith("curves"):
                values = np.log(values)  # of the loss
            places = np.array([place for _, place in shown])
            line = np.polynomial.Polynomial.fit(values, places, 1)
            assert abs(line(values) - places).max() < 1.5, (name, texts)  # pixels
        assert_whole(view)


def test_no_page_is_an_error_and_an_old_one_does_not_stay(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    project.commit("Project")
    output = call(project, "plots", "nowhere", status=2)
    assert output == "plots: 'nowhere': no such revision or experiment\n"
    page = project.folder / "dvc_plots/index.html"
    page.parent.mkdir()
    page.write_text("old")
    (project.folder / "dvc.yaml").write_text("stages: {}\n")
    output = call(project, "plots", status=2)
    assert "No plots were loaded" in capfd.readouterr().err
    assert output == "plots: dvc plots show made no page (exit code 0); its message stands above\n"
    assert not page.exists()
    shutil.rmtree(project.folder / ".git")
    output = call(project, "plots", "main", status=2)
    assert output.startswith(f"plots: {project.folder}: not a git repository")
    assert output.count("\n") == 1
