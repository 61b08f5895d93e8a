"""Pictures of others: whatever bytes or ink come, `read` answers or refuses, in bounded memory."""

import io
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import PATIENCE, ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image
from states import FULL

from pipeline.reading import Reader
from pipeline.reading.opening import FORMATS, open_picture
from pipeline.reading.verdict import Verdict
from pipeline.runtime.errors import PipelineError
from pipeline.tools.demo import digits

BYTES = settings(max_examples=1_000_000 if FULL else 500, deadline=None, derandomize=not FULL)
INK = settings(max_examples=20_000 if FULL else 60, deadline=None, derandomize=not FULL)
MOST_MEMORY = 500 * 10**6  # bytes, all of a process, for 50 million pixels
READER = Reader()
DIGIT = Image.fromarray(255 - digits()[0][3])


def saved(image: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


WHOLE = [saved(DIGIT.convert("RGB"), form) for form in FORMATS]
WHOLE += [saved(DIGIT.convert(mode), "PNG") for mode in ("1", "P", "LA", "RGBA")]
SPLICES = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8)), max_size=6
)


def spliced(content: bytes, splices: list[tuple[int, int, bytes]], end: int) -> bytes:
    """Return bytes with pieces of them replaced, and perhaps cut off."""
    for place, length, new in splices:
        content = content[:place] + new + content[place + length :]
    return content[: end or None]


FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(spliced, st.sampled_from(WHOLE), SPLICES, st.sampled_from([0, 0, 0, 20, 100])),
)


@BYTES
@given(FILES)
def test_any_bytes_are_a_picture_or_refused(content: bytes) -> None:
    message = "read"
    try:
        assert np.isfinite(open_picture(content)).all()
    except PipelineError as error:
        message = str(error)
    assert message.isprintable()


@INK
@given(
    picture=arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=60)),
    one=st.booleans(),
)
def test_any_picture_is_read(picture: NDArray[np.uint8], *, one: bool) -> None:
    found = READER.read(picture, one=one)
    assert (found.verdict is Verdict.DECIDED) == (found.reason == "")
    assert len(found.text) >= len(found.digits)


@INK
@given(
    seed=st.integers(0, 2**32),
    how=st.fixed_dictionaries({"one": st.booleans()})
    | st.fixed_dictionaries({"digits": st.integers(1, 20)}),
)
def test_any_strokes_are_read(seed: int, how: dict[str, Any]) -> None:
    rng = np.random.default_rng(seed)
    paper = np.ones(tuple(rng.integers(1, 300, 2)), bool)
    for _ in range(rng.integers(0, 12)):
        top, left = (int(rng.integers(0, side)) for side in paper.shape)
        height, width = rng.integers(1, 120, 2) if rng.random() < 0.5 else rng.integers(1, 6, 2)
        paper[top : top + height, left : left + width] ^= True
    found = READER.read(paper, **how)
    if found.verdict is Verdict.DECIDED:
        assert len(found.digits) == how.get("digits", 1 if how.get("one") else len(found.digits))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "CMYK"])
def test_fifty_million_pixels_are_read_in_bounded_memory(mode: str, tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("no /proc here; it would have shown how much memory a picture takes")
    path = tmp_path / ("large.tif" if mode in {"I;16", "CMYK"} else "large.png")
    if mode == "I;16":
        Image.fromarray(np.full((7071, 7071), 60_000, np.uint16)).save(path)
    else:
        Image.new("L", (7071, 7071), 255).convert(mode).save(path)
    code = (
        "import re, sys; from pathlib import Path; from pipeline.reading import Reader\n"
        "Reader().read(Path(sys.argv[1]))\n"
        # Not that of getrusage, which is the parent's at the start.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert int(done.stdout) * 1024 < MOST_MEMORY


@pytest.mark.slow
@pytest.mark.parametrize("one", [True, False])
def test_a_million_specks_are_read_in_bounded_time(*, one: bool) -> None:
    specks = np.zeros((1400, 1400), np.uint8)
    specks[::2, ::2] = 255
    noise = np.random.default_rng(0).random((1400, 1400)) < 0.3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    for picture in (specks, noise):
        READER.read(picture, one=one)
    # Of the processor, not of the clock: twenty times what it takes.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 120
