"""One drawing, saved in every way that pictures come in, and files that are no pictures."""

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from pipeline.reading import opening
from pipeline.reading.opening import open_picture
from pipeline.runtime.errors import PipelineError

HEIGHT, WIDTH = 60, 90


def drawing() -> NDArray[np.uint8]:
    """Return dark strokes on light paper, without any symmetry."""
    picture = np.full((HEIGHT, WIDTH), 235, np.uint8)
    picture[10:50, 20:26] = picture[10:16, 20:60] = 20
    return picture


GREY = Image.fromarray(drawing())


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def with_alpha(ink: int) -> Image.Image:
    """Return the strokes, in black or white, on nothing."""
    layers = np.full((HEIGHT, WIDTH, 4), ink, np.uint8)
    layers[..., 3] = np.where(drawing() < 100, 255, 0)
    return Image.fromarray(layers)


def several_frames() -> bytes:
    return saved(GREY, "GIF", save_all=True, append_images=[Image.new("L", GREY.size)], loop=0)


WAYS: dict[str, Callable[[], bytes]] = {
    "PNG, grey": lambda: saved(GREY, "PNG"),
    "PNG, colours": lambda: saved(GREY.convert("RGB"), "PNG"),
    "PNG, palette": lambda: saved(GREY.convert("P"), "PNG"),
    "PNG, palette with one colour transparent": lambda: saved(
        GREY.point(lambda level: 255 if level > 100 else 0).convert("P"), "PNG", transparency=255
    ),
    "PNG, black and white": lambda: saved(
        GREY.point(lambda level: 255 if level > 100 else 0).convert("1"), "PNG"
    ),
    "PNG, grey and alpha": lambda: saved(GREY.convert("LA"), "PNG"),
    "PNG, 16 bits": lambda: saved(Image.fromarray(drawing().astype(np.uint16) * 257), "PNG"),
    "PNG, black on nothing": lambda: saved(with_alpha(0), "PNG"),
    "TIFF, 32 bits": lambda: saved(Image.fromarray(drawing().astype(np.float32)), "TIFF"),
    "TIFF, CMYK": lambda: saved(GREY.convert("RGB").convert("CMYK"), "TIFF"),
    "JPEG": lambda: saved(GREY, "JPEG", quality=95),
    "JPEG, CMYK": lambda: saved(GREY.convert("RGB").convert("CMYK"), "JPEG", quality=95),
    "JPEG 2000": lambda: saved(GREY, "JPEG2000"),
    "WEBP": lambda: saved(GREY.convert("RGB"), "WEBP", quality=95),
    "AVIF": lambda: saved(GREY.convert("RGB"), "AVIF", quality=95),
    "BMP": lambda: saved(GREY, "BMP"),
    "PPM": lambda: saved(GREY.convert("RGB"), "PPM"),
    "GIF, the first frame": several_frames,
}


@pytest.mark.parametrize("way", WAYS)
def test_drawing_looks_the_same_however_it_is_saved(way: str, tmp_path: Path) -> None:
    content = WAYS[way]()
    found = open_picture(content)
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    ink = found.mean(axis=2) < 0.5
    assert (ink != (drawing() < 100)).mean() < 0.01
    path = tmp_path / "picture"
    path.write_bytes(content)
    np.testing.assert_array_equal(open_picture(path), found)


def test_white_on_nothing_stands_on_black() -> None:
    found = open_picture(saved(with_alpha(255), "PNG"))[..., 0]
    np.testing.assert_array_equal(found > 0.5, drawing() < 100)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_turned_as_the_camera_was_held(orientation: int) -> None:
    # How a camera that was held so has stored it: the opposite of what a viewer does.
    ways: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
        1: lambda grey: grey,
        2: lambda grey: grey[:, ::-1],
        3: lambda grey: grey[::-1, ::-1],
        4: lambda grey: grey[::-1],
        5: lambda grey: grey.T,
        6: np.rot90,
        7: lambda grey: grey[::-1, ::-1].T,
        8: lambda grey: np.rot90(grey, 3),
    }
    stored = ways[orientation](drawing())
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = open_picture(saved(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif))
    np.testing.assert_array_equal(found[..., 0] < 0.5, drawing() < 100)


@pytest.mark.parametrize(
    "array",
    [
        drawing(),
        np.dstack([drawing()] * 3),
        drawing() / 255,
        (drawing() / 255).astype(np.float32),
        drawing() > 100,
    ],
    ids=["grey", "colours", "shares", "32 bits", "black and white"],
)
def test_arrays_are_pictures_too(array: NDArray[np.generic]) -> None:
    found = open_picture(array)
    np.testing.assert_array_equal(found[..., 0] < 0.5, drawing() < 100)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(5),
        np.zeros((0, 5)),
        np.zeros((2, 3, 2)),
        np.full((2, 2), 1.1),
        np.full((2, 2), np.nan),
        np.zeros((2, 2), np.int64),
        np.array([["a"]]),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(array: NDArray[np.generic]) -> None:
    with pytest.raises(PipelineError, match="expected"):
        open_picture(array)


def test_large_picture_is_made_smaller() -> None:
    large = GREY.resize((WIDTH * 40, HEIGHT * 40))
    for form in ("PNG", "JPEG"):
        found = open_picture(saved(large, form))
        assert max(found.shape) == opening.LONGEST_SIDE
        ink = Image.fromarray(found[..., 0] < 0.5).resize((WIDTH, HEIGHT))
        assert (np.asarray(ink) != (drawing() < 100)).mean() < 0.02


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF"])
def test_large_picture_is_turned_too(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(drawing())))
    large = stored.resize((HEIGHT * 60, WIDTH * 60))
    found = open_picture(saved(large, form, exif=exif))
    ink = Image.fromarray(found[..., 0] < 0.5).resize((WIDTH, HEIGHT))
    assert (np.asarray(ink) != (drawing() < 100)).mean() < 0.02


def test_picture_in_memory_stays_as_it_is(tmp_path: Path) -> None:
    large = GREY.resize((WIDTH * 40, HEIGHT * 40))
    large.save(tmp_path / "large.jpg")
    for picture in (large, Image.open(tmp_path / "large.jpg")):
        size = picture.size
        assert max(open_picture(picture).shape) == opening.LONGEST_SIDE
        assert picture.size == size
    truncated = io.BytesIO(saved(large, "JPEG")[:3000])
    with pytest.raises(PipelineError, match="damaged"):
        open_picture(Image.open(truncated))


def test_brightness_of_more_bits_keeps_its_contrast() -> None:
    faint = np.where(drawing() < 100, 64_980, 65_000).astype(np.uint16)
    found = open_picture(saved(Image.fromarray(faint), "PNG"))
    assert np.ptp(found) < 0.001
    of_twelve_bits = np.where(drawing() < 100, 200, 4000).astype(np.uint16)
    found = open_picture(saved(Image.fromarray(of_twelve_bits), "PNG"))
    assert np.ptp(found) > 0.9
    with pytest.raises(PipelineError, match="no numbers"):
        open_picture(saved(Image.fromarray(np.full((5, 5), np.nan, np.float32)), "TIFF"))


def huge_png(width: int, height: int) -> bytes:
    """Return the beginning of a PNG file that says how large it is."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


NO_PICTURES = {
    "nothing": (b"", "an empty file"),
    "a text": (b"not a picture", "not a picture of a kind that is read"),
    "a truncated JPEG": (saved(GREY.resize((900, 600)), "JPEG")[:3000], "damaged"),
    "a truncated PNG": (saved(GREY, "PNG")[:100], "damaged"),
    "9,000 x 9,000 pixels": (huge_png(9000, 9000), "more than 80 million pixels"),
    "40,000 x 40,000 pixels": (huge_png(40_000, 40_000), "more than 80 million pixels"),
    "a drawing for printers": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "not a picture",
    ),
}


@pytest.mark.parametrize("what", NO_PICTURES)
def test_what_is_no_picture_is_a_message(what: str, tmp_path: Path) -> None:
    content, reason = NO_PICTURES[what]
    path = tmp_path / "picture"
    path.write_bytes(content)
    for source in (content, path):
        with pytest.raises(PipelineError, match=reason):
            open_picture(source)


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs on this system; it would have shown that none is waited for")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises((PipelineError, OSError)):
            open_picture(path)


def test_picture_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(saved(GREY, "PNG"))
    decoded = opening._decoded  # noqa: SLF001 (nothing else is called in between)

    def decoded_late(file: io.BufferedReader) -> NDArray[np.float32]:
        with path.open("ab") as other:
            other.write(b"more")
        return decoded(file)

    monkeypatch.setattr(opening, "_decoded", decoded_late)
    with pytest.raises(PipelineError, match="it changed while it was read"):
        open_picture(path)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=25)
@given(data=st.data())
def test_damaged_picture_is_read_or_refused(way: str, data: st.DataObject) -> None:
    content = bytearray(WAYS[way]())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    for damaged in (bytes(content), bytes(content[:end])):
        with contextlib.suppress(PipelineError):
            found = open_picture(damaged)
            assert np.isfinite(found).all()
            assert max(found.shape) <= opening.LONGEST_SIDE
