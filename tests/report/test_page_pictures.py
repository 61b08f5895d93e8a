import base64
import io
import re
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pipeline.evaluation.calibration import reliability_table
from pipeline.evaluation.rejection import risk_coverage
from pipeline.report.evaluation_figures import (
    reliability_figure,
    risk_coverage_figure,
    robustness_figure,
)
from pipeline.report.figures import learning_curve_figure
from pipeline.report.pictures import COLOURS, SPRITE_COLUMNS, Sprite, sprite, svg

CURVES = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [1.0, 0.5, 0.2],
        "accuracy": [0.5, 0.8, 0.9],
        "val_loss": [1.1, 0.7, 0.6],
        "val_accuracy": [0.4, 0.7, 0.75],
    }
)
CONFIDENCE = np.linspace(0.3, 1, 20)
CORRECT = np.arange(20) % 7 > 0


def figures() -> dict[str, Figure]:
    """Return all that the page shows as SVG."""
    table = reliability_table(CONFIDENCE, CORRECT)
    points = {"0.05": {"coverage": 0.5, "errors": 1, "risk": 0.1}}
    strengths = pd.DataFrame({"strength": [0, 1, 2], "accuracy": [1, 0.8, 0.1]})
    return {
        "loss": learning_curve_figure(CURVES, "loss"),
        "accuracy": learning_curve_figure(CURVES, "accuracy"),
        "reliability": reliability_figure(
            pd.concat(table.assign(calibration=name) for name in ("before", "after"))
        ),
        "risk_coverage": risk_coverage_figure(risk_coverage(CONFIDENCE, CORRECT), points),
        "shift": robustness_figure(strengths, "pixels"),
    }


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """The charts as the page has them, by name."""
    return {name: svg(figure, name) for name, figure in figures().items()}


def decoded(found: Sprite) -> NDArray[np.uint8]:
    kind, content = found.address.split(",")
    assert kind == "data:image/png;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
    assert picture.mode == "L"
    return np.asarray(picture)


def test_charts_are_elements_of_xml_with_marks_and_text_in_them(texts: dict[str, str]) -> None:
    for text in texts.values():
        element = ET.fromstring(text)
        assert element.tag == "{http://www.w3.org/2000/svg}svg"
        assert "viewBox" in element.attrib
        paths = element.findall(".//{*}path")
        assert paths
        assert all(path.get("d", "").strip() for path in paths)
        words = ["".join(text.itertext()) for text in element.findall(".//{*}text")]
        assert len(words) > 5  # letters, not drawings of letters: they can be selected and read out
        assert not element.findall(".//{*}metadata")


def test_charts_share_no_ids_and_refer_to_their_own(texts: dict[str, str]) -> None:
    seen: set[str] = set()
    for name, text in texts.items():
        ids = re.findall(r'\bid="([^"]*)"', text)
        assert len(ids) == len(set(ids)), name
        assert not seen & set(ids), name
        assert set(re.findall(r'(?:url\(|href=")#([^)"]+)', text)) <= set(ids)
        seen |= set(ids)


def test_charts_have_no_colours_but_those_of_the_page(texts: dict[str, str]) -> None:
    for text in texts.values():
        assert not re.findall(r"#[0-9a-fA-F]{3,8}(?=[;\"' ])", text)
        assert not re.findall(r"rgb\(|\bblack\b|\bwhite\b", text)
        assert all(variable in text for variable in ("currentColor", COLOURS["#b0b0b0"]))
        # What has no fill of its own is black in every scheme; text gets the page's.
        for element in ET.fromstring(text).iter():
            style = element.get("style", "")
            if element.tag.endswith("}path") and "fill" not in style:
                assert "stroke" in style, ET.tostring(element)


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("shape", [(28, 28), (3, 5)])
def test_every_image_is_found_at_its_place(count: int, shape: tuple[int, int]) -> None:
    height, width = shape
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    found = sprite((pixels / 255).astype(np.float32))
    assert found == sprite((pixels / 255).astype(np.float32))
    sheet = decoded(found)
    assert found.columns == SPRITE_COLUMNS
    assert found.rows == max(1, -(-count // SPRITE_COLUMNS))
    assert sheet.shape == (found.rows * height, found.columns * width)
    tiles = [
        sheet[y : y + height, x : x + width]
        for y in range(0, sheet.shape[0], height)
        for x in range(0, sheet.shape[1], width)
    ]
    for place, tile in enumerate(tiles):
        expected = 255 - pixels[place] if place < count else np.full(shape, 255)
        np.testing.assert_array_equal(tile, expected)
