"""Draw what was read into a picture, with what the network has seen beside it."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.reading.opening import open_picture
from pipeline.reading.verdict import Digit, Reading, Verdict
from pipeline.runtime.atomic import replacing

COLOURS = {Verdict.DECIDED: "#1a7f37", Verdict.ASK: "#bc4c00", Verdict.NO_DIGIT: "#6e7781"}
LEAST_WIDTH, MOST_WIDTH = 320, 1000  # pixels of the picture in the drawing
MOST_HEIGHT = 2000
ROW, INPUT, TEXT, MARGIN = 64, 56, 330, 12  # pixels
ROWS = 12  # digits in a column at least


def annotate(source: Path | bytes, reading: Reading, path: Path) -> None:
    """Write a PNG file: the picture with a box around each digit, and what the network has seen.

    Raises:
        PipelineError: The picture cannot be read.
        OSError: The file cannot be written.
    """
    drawing = drawn(Image.fromarray(np.uint8(open_picture(source) * 255)), reading)
    with replacing(path) as partial:
        drawing.save(partial, format="PNG")


def drawn(picture: Image.Image, reading: Reading) -> Image.Image:
    """Return a picture with its reading: boxes, and a list of digits at its right."""
    width = min(max(picture.width, LEAST_WIDTH), MOST_WIDTH)
    width = max(1, min(width, MOST_HEIGHT * picture.width // picture.height))
    height = max(1, round(picture.height * width / picture.width))
    picture = picture.resize((width, height), Image.Resampling.BOX)
    font, small = (ImageFont.load_default(size) for size in (20, 15))
    rows = max(ROWS, (height - 3 * MARGIN) // ROW)
    columns = -(-max(1, len(reading.digits)) // rows)
    tall = max(height, ROW * min(rows, len(reading.digits))) + 2 * MARGIN + 40
    sheet = Image.new("RGB", (width + columns * TEXT + 3 * MARGIN, tall), "white")
    sheet.paste(picture, (MARGIN, MARGIN + 40))
    pen = ImageDraw.Draw(sheet)
    outcome = f"{reading.text or '-'}   {reading.verdict}"
    pen.text((MARGIN, MARGIN), outcome, COLOURS[reading.verdict], font)
    if reading.reason:
        start = MARGIN + 20 + pen.textlength(outcome, font)
        pen.text((start, MARGIN + 4), reading.reason, "#57606a", small)
    for number, digit in enumerate(reading.digits):
        colour = COLOURS[digit.verdict]
        left, top, right, bottom = digit.box
        corners = [left * width, top * height, right * width, bottom * height]
        box = [corner + MARGIN + (40 if place % 2 else 0) for place, corner in enumerate(corners)]
        pen.rectangle(box, outline=colour, width=2)
        pen.text((box[0], max(0.0, box[1] - 22)), digit.text, colour, font)
        column, row = divmod(number, rows)
        place = (width + 2 * MARGIN + column * TEXT, MARGIN + 40 + row * ROW)
        _list(sheet, pen, digit, place, small)
    return sheet


def _list(
    sheet: Image.Image,
    pen: ImageDraw.ImageDraw,
    digit: Digit,
    place: tuple[int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    """Draw a digit as the network has seen it, and what it made of it."""
    seen = Image.fromarray(np.uint8(np.round(digit.image * 255)))
    sheet.paste(seen.resize((INPUT, INPUT), Image.Resampling.NEAREST), place)
    left, top = place[0] + INPUT + 10, place[1] + 8
    pen.text((left, top), f"{digit.text}   {digit.confidence:.1%}", "black", font)
    others = ", ".join(f"{name} {share:.0%}" for name, share in digit.others)
    note = (
        digit.verdict if not digit.reason else f"{digit.reason}{f': or {others}' if others else ''}"
    )
    pen.text((left, top + 20), note, COLOURS[digit.verdict], font)
