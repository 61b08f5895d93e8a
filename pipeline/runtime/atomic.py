"""Write files atomically: under the final name there is the old content or all of the new one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; what is written there then takes its place.

    Under the name that is asked for there is always the old file or all of the new one. What a
    killed process leaves beside it (``*.partial.*``, ignored by Git and DVC) the next one that
    writes the file clears away.

    Args:
        path: Its folder is made where it is missing.

    Raises:
        OSError: The file cannot be written; nothing of it is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        # Without this, a power cut may leave the new name with none of the content.
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8 with the lines of Unix.

    Raises:
        OSError: As ``replacing``.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def discard(path: Path) -> None:
    """Remove a file, if it is there, and what a killed process has left beside it.

    Raises:
        OSError: It cannot be removed.
    """
    path.unlink(missing_ok=True)
    _partial(path).unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    # With the same suffix, since NumPy, Keras and matplotlib go by it.
    return path.with_name(f"{path.stem}.partial{path.suffix}")
