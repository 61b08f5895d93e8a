"""What the tests stand on: what their browser does not note, no test of a page would find."""

import os
import signal
import sys
from pathlib import Path

import conftest
from browser import Chromium

from pipeline.tools.command_line import STOPPING

BAD = """<!DOCTYPE html><title>Bad</title>
<div style="width: 500px">Wide</div>
<img src="missing.png">
<script src="https://example.invalid/library.js"></script>
<script>console.warn("careful"); undefinedFunction()</script>
"""


def test_view_notes_all_that_is_wrong_with_a_page(tmp_path: Path, chromium: Chromium) -> None:
    page = tmp_path / "bad page.html"
    page.write_text(BAD)
    with chromium.view(page, width=390) as view:
        assert view.overflow() > 0
        assert [Path(address).name for address in view.missing_images()] == ["missing.png"]
        assert view.requests == ["https://example.invalid/library.js"]
        assert "careful" in view.complaints
        assert "undefinedFunction is not defined" in view.complaints
        assert sum("ERR_INTERNET_DISCONNECTED" in text for text in view.complaints) == 1


def test_view_of_a_sound_page_notes_nothing(tmp_path: Path, chromium: Chromium) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><title>Good</title><p>Text</p>")
    with chromium.view(page, width=390, scheme="dark") as view:
        assert view.page.title() == "Good"
        assert view.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert (view.requests, view.complaints, view.missing_images()) == ([], [], [])
        assert view.overflow() == 0


# Prints which of the signals that stages and tools handle are ignored.
IGNORED = f"""
import signal
print([number for number in {[*map(int, STOPPING)]} if signal.getsignal(number) == signal.SIG_IGN])
"""


def test_signals_that_the_tests_ignore_reach_what_they_start() -> None:
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)
        conftest.pytest_configure()
        process = conftest.start([sys.executable, "-c", IGNORED], conftest.ROOT, os.environ)
        assert conftest.finish(process, 0) == "[]\n"
        signal.raise_signal(signal.SIGHUP)  # as nohup promises, the tests go on
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
