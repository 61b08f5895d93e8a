"""The tests' own browser: what it does not note, no test of a page would find."""

from pathlib import Path

from browser import Chromium

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
        assert (view.requests, view.complaints, view.missing_images(), view.overflow()) == (
            [],
            [],
            [],
            0,
        )
