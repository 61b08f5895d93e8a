"""A headless Chromium in which the tests look at pages, without network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A container has no sandbox and no GPU to give; the rest would ask the network for something.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = ("file:", "data:", "blob:")


def installed_chromium() -> str | None:
    """Return the path of a Chromium of this machine, or None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class View:
    """A page as it lies open, with what went wrong since it was asked for.

    Attributes:
        page: Playwright's page, to look at, click and measure.
        requests: The addresses that it asked for beyond this machine's files.
        complaints: The console's warnings and errors, and exceptions that nobody caught.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wider: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return wider

    def missing_images(self) -> list[str]:
        """Return the addresses of the images that have not been loaded."""
        self.page.wait_for_function("[...document.images].every((image) => image.complete)")
        missing: list[str] = self.page.evaluate(
            "[...document.images].filter((image) => !image.naturalWidth).map((image) => image.src)"
        )
        return missing


@dataclass(frozen=True)
class Chromium:
    """A running browser."""

    browser: Browser

    @contextmanager
    def view(
        self, path: Path, width: int = 1280, scheme: Literal["light", "dark"] = "light"
    ) -> Iterator[View]:
        """Open a page of this machine with nothing remembered of others and the network off.

        Args:
            path: The HTML file.
            width: Of the window, in pixels.
            scheme: The colours that the user prefers.
        """
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        try:
            context.set_offline(offline=True)
            view = View(context.new_page())
            view.page.on(
                "request",
                lambda request: (
                    None if request.url.startswith(LOCAL) else view.requests.append(request.url)
                ),
            )
            view.page.on(
                "console",
                lambda message: (
                    view.complaints.append(message.text)
                    if message.type in {"warning", "error"}
                    else None
                ),
            )
            view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
            view.page.goto(path.resolve().as_uri())
            yield view
        finally:
            context.close()


@contextmanager
def running(executable: str) -> Iterator[Chromium]:
    """Start a browser and stop it at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield Chromium(browser)
        finally:
            browser.close()
