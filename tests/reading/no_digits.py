"""Pictures of no digit: textures, letters, faces, empty paper, words, parts of photographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

Picture = NDArray[np.uint8]
SIDE = 120
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
# Letters that are written like a digit (O, I, l, S, Z, b, g, q and others) are left out.
LETTERS = "ACDEFGHJKLMNPRTUVWXYaefhkmnprtuvwx"
WORDS = ["total", "Name", "date", "Sum", "paid", "hello", "form", "Mr", "and", "the", "yes", "Kr"]
SIGNS = "+#&@%?*<>=~{}$"


def pictures() -> Iterator[tuple[str, Picture]]:
    """Yield the kind and the picture of each, 300 in all, the same every time."""
    rng = np.random.default_rng(20)
    for kind, make, count in (
        ("texture", texture, 50),
        ("letter", letter, 60),
        ("face", face, 30),
        ("empty paper", empty, 30),
        ("word", word, 30),
        ("sign", sign, 20),
        ("scribble", scribble, 30),
    ):
        for _ in range(count):
            yield kind, make(rng)
    yield from (("photograph", piece) for piece in photographs(rng, 50))


def texture(rng: np.random.Generator) -> Picture:
    """Return noise of some grain, or stripes."""
    if rng.random() < 0.5:
        field = ndimage.gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(1, 12))
        return _bytes((field - field.min()) / np.ptp(field))
    rows, columns = np.indices((SIDE, SIDE))
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 50)
    wave = np.sin((rows * np.cos(angle) + columns * np.sin(angle)) * 2 * np.pi / period)
    other = np.sin((rows * np.sin(angle) - columns * np.cos(angle)) * 2 * np.pi / period)
    return _bytes((wave + (rng.random() < 0.5) * other) / 4 + 0.5)


def letter(rng: np.random.Generator) -> Picture:
    """Return a printed letter, turned a little, of some font."""
    return _printed(rng, str(rng.choice(list(LETTERS))), SIDE)


def sign(rng: np.random.Generator) -> Picture:
    """Return a printed sign."""
    return _printed(rng, str(rng.choice(list(SIGNS))), SIDE)


def word(rng: np.random.Generator) -> Picture:
    """Return a printed word."""
    return _printed(rng, str(rng.choice(WORDS)), 3 * SIDE)


def face(rng: np.random.Generator) -> Picture:
    """Return a face, drawn."""
    image, draw = _sheet(SIDE)
    width = int(rng.integers(2, 7))
    left, top, right, bottom = (int(v) for v in rng.integers(8, 25, 4))
    draw.ellipse((left, top, SIDE - right, SIDE - bottom), outline=20, width=width)
    for column in (42, 74):
        size = int(rng.integers(2, 7))
        draw.ellipse((column - size, 45 - size, column + size, 45 + size), fill=20)
    smile = (35, 50, 85, int(rng.integers(75, 92)))
    draw.arc(smile, *((20, 160) if rng.random() < 0.7 else (200, 340)), fill=20, width=width)
    return np.asarray(image)


def empty(rng: np.random.Generator) -> Picture:
    """Return paper with nothing on it, evenly lit or not."""
    rows, columns = np.indices((SIDE, SIDE)) / SIDE
    light = 0.9 - rng.uniform(0, 0.5) * rows - rng.uniform(0, 0.3) * columns
    return _bytes(light + rng.normal(0, rng.uniform(0, 0.05), light.shape))


def scribble(rng: np.random.Generator) -> Picture:
    """Return a line that goes to and fro."""
    image, draw = _sheet(SIDE)
    turns = int(rng.integers(9, 30))
    points = rng.uniform(10, SIDE - 10, (turns, 2))
    path = ndimage.zoom(points, (8, 1), order=3)
    draw.line([tuple(point) for point in path], fill=30, width=int(rng.integers(2, 6)))
    return np.asarray(image)


def photographs(rng: np.random.Generator, count: int) -> Iterator[Picture]:
    """Yield pieces of scikit-learn's two sample photographs."""
    images = load_sample_images().images
    for number in range(count):
        image = images[number % len(images)]
        side = int(rng.integers(40, 300))
        top = int(rng.integers(0, image.shape[0] - side))
        left = int(rng.integers(0, image.shape[1] - side))
        yield image[top : top + side, left : left + side]


def _printed(rng: np.random.Generator, text: str, width: int) -> Picture:
    image, draw = _sheet(width)
    fonts = [
        path
        for path in sorted(FONTS.glob("*.ttf"))
        if path.name.startswith(("DejaVu", "cm", "STIXGeneral"))
    ]
    fonts = [
        path
        for path in fonts
        if not path.name.startswith(
            ("cmex", "cmsy", "cmmi", "DejaVuSansDisplay", "DejaVuSerifDisplay")
        )
    ]
    font = ImageFont.truetype(fonts[int(rng.integers(len(fonts)))], int(rng.integers(50, 90)))
    draw.text((20, 10), text, fill=int(rng.integers(0, 80)), font=font)
    return np.asarray(image.rotate(float(rng.normal(0, 5)), fillcolor=250))


def _sheet(width: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (width, SIDE), 250)
    return image, ImageDraw.Draw(image)


def _bytes(values: NDArray[Any]) -> Picture:
    return np.asarray(np.round(np.clip(values, 0, 1) * 255), np.uint8)
