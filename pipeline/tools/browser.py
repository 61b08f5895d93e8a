"""Whether there is a screen to open a page on."""

import os
import sys


def has_screen() -> bool:
    """Return whether a browser has a screen to open on.

    Without one, Python would start a browser in the terminal. ``BROWSER`` is the user's own
    choice, which may open on another machine.
    """
    variables = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in variables)
