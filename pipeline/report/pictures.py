"""Pictures inside a page of HTML: charts as SVG, images as one PNG."""

# First, since it chooses matplotlib's backend, which matplotlib reads when it is imported.
from pipeline.report.figures import TRAINING, VALIDATION  # isort: skip

import base64
import io
import math
import re
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

SPRITE_COLUMNS = 32
# Colours of the figures, and what stands for them in the page's style, which knows light and dark.
COLOURS = {
    "#000000": "currentColor",
    "#767676": "var(--quiet)",
    "#b0b0b0": "var(--line)",
    TRAINING.lower(): "var(--blue)",
    VALIDATION.lower(): "var(--orange)",
}


class Sprite(NamedTuple):
    """Images side by side in one picture, 32 in a row.

    Attributes:
        address: The picture, as an address that holds it: ``data:image/png;base64,...``.
        columns: Images in a row.
        rows: Rows of them.
    """

    address: str
    columns: int
    rows: int


def svg(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element, the same text every time.

    Args:
        figure: The figure, with black text and the colours of ``figures``.
        name: Another one for each figure of a page: it keeps their inner names apart.
    """
    target = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(target, format="svg", transparent=True, metadata=nothing)
    text = target.getvalue()
    text = text[text.index("<svg") :]
    # Numbered names of the parts: nothing refers to them, and every figure has the same.
    text = re.sub(r' id="[a-zA-Z0-9.]+_\d+"', "", text)
    for colour, variable in COLOURS.items():
        text = text.replace(colour, variable)
    return text.strip()


def sprite(images: NDArray[np.float32]) -> Sprite:
    """Return images as one picture, black on white.

    Args:
        images: Shape (n, height, width), in [0, 1].
    """
    count, height, width = images.shape
    columns = SPRITE_COLUMNS
    rows = max(1, math.ceil(count / columns))
    tiles = np.zeros((rows * columns, height, width), np.float32)
    tiles[:count] = images
    sheet = tiles.reshape(rows, columns, height, width).swapaxes(1, 2)
    grey = np.rint(255 * (1 - sheet)).astype(np.uint8).reshape(rows * height, columns * width)
    target = io.BytesIO()
    Image.fromarray(grey).save(target, format="PNG", optimize=True)
    content = base64.b64encode(target.getvalue()).decode()
    return Sprite(f"data:image/png;base64,{content}", columns, rows)
