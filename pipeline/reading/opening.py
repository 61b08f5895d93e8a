"""Open a picture of any common kind as an array of colours, upright and not too large."""

import io
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from pipeline.runtime.errors import UNREADABLE, PipelineError, reason

# Others that Pillow knows are rare, start a program (EPS), or are no pictures of one page.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 80_000_000  # decoded; a telephone takes 12 to 50 million
# Of formats that are decoded as a whole, and take up to 20 bytes a pixel meanwhile.
MOST_OF_FORMAT = {"AVIF": 40_000_000, "JPEG2000": 20_000_000, "WEBP": 20_000_000}
LONGEST_SIDE = 1400  # pixels; of more, digits become slower to find and no easier to read
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")  # modes of more than a byte a pixel
GREY, COLOURED = 2, 3  # axes
STRIP = 64  # rows, after reduction
MOSTLY = 0.9  # of the pixels
TOO_LARGE = "more than {} million pixels: make the picture smaller"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation
DAMAGED = (*UNREADABLE, struct.error)


def open_picture(
    source: Path | str | bytes | Image.Image | NDArray[np.generic],
) -> NDArray[np.float32]:
    """Return a picture as red, green and blue: shape (height, width, 3), from 0, black, to 1.

    It is turned as its EXIF data say, its first frame if it has several, on black or white where it
    is transparent, and made smaller if a side is longer than 1,400 pixels.

    Args:
        source: A file, its content, or a picture in memory: one of Pillow's, or an array of shape
            (height, width), or (height, width, 3 or 4), of bytes or of floats from 0 to 1.

    Raises:
        PipelineError: It is no picture, damaged or too large; or its file has changed meanwhile.
        OSError: The file cannot be read.
    """
    if isinstance(source, Image.Image):
        if 0 in source.size:
            raise PipelineError("a picture without pixels")
        return _checked(source)
    if isinstance(source, np.ndarray):
        return _colours(_from_array(source))
    if isinstance(source, bytes):
        return _decoded(io.BytesIO(source))
    with regular_file(Path(source)) as file:
        before = os.fstat(file.fileno())
        picture = _decoded(file)
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise PipelineError("it changed while it was read")
        return picture


def suffixes() -> set[str]:
    """Return the endings of the names of pictures that are read, such as ".jpg"."""
    return {end for end, form in Image.registered_extensions().items() if form in FORMATS}


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of so many bytes at most.

    Raises:
        PipelineError: It is larger, or no regular file.
        OSError: It cannot be read.
    """
    with regular_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise PipelineError(f"{path}: larger than {most} bytes")
    return content


@contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file; not a pipe, whose other end might never come."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise PipelineError(f"{path}: not a file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _decoded(file: BinaryIO) -> NDArray[np.float32]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the size is checked here, broken metadata are no harm
            with Image.open(file, formats=FORMATS) as image:
                return _colours(image)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        size = file.seek(0, os.SEEK_END)
        if isinstance(error, Image.DecompressionBombError):
            raise PipelineError(TOO_LARGE.format(MOST_PIXELS // 10**6)) from error
        known = ", ".join(FORMATS)
        raise PipelineError(
            f"not a picture of a kind that is read ({known})" if size else "an empty file"
        ) from error
    except DAMAGED as error:
        raise PipelineError(f"a damaged picture: {reason(error)}") from error


def _checked(image: Image.Image) -> NDArray[np.float32]:
    """Return somebody's picture as an array, and leave the picture as it is."""
    try:
        return _colours(image.copy())
    except DAMAGED as error:
        raise PipelineError(f"a damaged picture: {reason(error)}") from error


def _from_array(array: NDArray[np.generic]) -> Image.Image:
    shape = array.shape
    if array.size > 4 * MOST_PIXELS:
        raise PipelineError(TOO_LARGE.format(MOST_PIXELS // 10**6))
    if 0 in shape or not (len(shape) == GREY or (len(shape) == COLOURED and shape[2] in (3, 4))):
        raise PipelineError(
            f"expected shape (height, width) or (height, width, 3 or 4), found {shape}"
        )
    if array.dtype == np.uint8:
        return Image.fromarray(array)
    if array.dtype.kind not in "bf" or not _are_shares(array):
        raise PipelineError("expected bytes, or numbers from 0 to 1")
    return Image.fromarray(np.round(array.astype(np.float32) * 255).astype(np.uint8))


def _are_shares(array: NDArray[Any]) -> bool:
    return bool(np.all((array >= 0) & (array <= 1)))  # nor are NaN


def _colours(image: Image.Image) -> NDArray[np.float32]:
    """Return a picture as an array."""
    most = MOST_OF_FORMAT.get(image.format or "", MOST_PIXELS)
    if image.width * image.height > most:
        raise PipelineError(TOO_LARGE.format(most // 10**6))
    longest = max(image.size)
    image.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))  # what a JPEG can be decoded smaller to
    small = _plain(_reduced(image, max(image.size) // LONGEST_SIDE))
    turn = _turn_of(image)  # not before it is decoded: a TIFF is turned by that
    image = small
    if longest > LONGEST_SIDE:
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    image = image if turn is None else image.transpose(turn)
    if image.mode == "F":
        grey = _full_range(np.asarray(image, np.float32))
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    opaque = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
    if image.mode != "RGBA":
        return opaque
    alpha = np.asarray(image.getchannel("A"), np.float32)[..., np.newaxis] / np.float32(255)
    return np.asarray(opaque * alpha + np.float32(_paper(opaque, alpha)) * (1 - alpha))


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """Return how a picture is to be turned; a broken note of it is none."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except DAMAGED:
        return None


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    """Return a picture made smaller by a whole number, strip by strip, for the sake of memory."""
    if factor <= 1:
        return image
    width, height = (-(-side // factor) for side in image.size)
    small = Image.new(_plain(image.crop((0, 0, 1, 1))).mode, (width, height))
    for row in range(0, height, STRIP):
        bottom = min((row + STRIP) * factor, image.height)
        strip = image.crop((0, row * factor, image.width, bottom))
        small.paste(_plain(strip).reduce(factor), (0, row))
    return small


def _plain(image: Image.Image) -> Image.Image:
    """Return a picture in a mode whose pixels can be averaged: no palette, no two levels."""
    if image.mode in DEEP:
        return image.convert("F")
    if image.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in image.info:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    return image.convert("L") if image.mode == "1" else image


def _full_range(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return brightness of another unit as 0 to 1: of 12 bits, of 16 bits, or floats."""
    low, high = float(grey.min()), float(grey.max())
    if not np.isfinite(high - low):
        raise PipelineError("a picture with pixels that are no numbers")
    if low < 0:
        return np.asarray((grey - low) / max(high - low, 1e-30), np.float32)
    full = 1.0 if high <= 1 else 2.0 ** np.ceil(np.log2(high + 1)) - 1
    return np.asarray(grey / full, np.float32)


def _paper(colours: NDArray[np.float32], alpha: NDArray[np.float32]) -> float:
    """Return what shines through a transparent picture: white if it is drawn in dark, else black.

    Where nearly all of it is opaque, that is paper with a hole: white.
    """
    seen = alpha[..., 0] > 0.5  # noqa: PLR2004 (more opaque than not)
    if seen.mean() > MOSTLY:
        return 1.0
    return float(seen.any() and colours[seen].mean() < 0.5)  # noqa: PLR2004 (half)
