"""Hashes of the project's loaded modules, refused if a file was saved while they were loading."""

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return a file's time and size, which change when it is saved; None where it is missing."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


# Taken at import: so import this module before those that take seconds to load.
AT_FIRST = {path: _stamp(path) for path in FOLDER.rglob("*.py")}


def loaded_code() -> dict[str, str]:
    """Return the SHA-256, in hexadecimal digits, of every module that is loaded, by its name.

    Raises:
        PipelineError: A file was saved after this module was imported: what is loaded may be what
            it said before.
    """
    from pipeline.runtime.errors import PipelineError  # after AT_FIRST, as all else

    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    files = {
        spec.name: Path(spec.origin)
        for spec in specs
        if spec and spec.origin and spec.name.split(".")[0] == "pipeline"
    }
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    saved = sorted(name for name, path in files.items() if AT_FIRST.get(path) != _stamp(path))
    if saved:
        raise PipelineError(
            f"{', '.join(saved)} changed while the stage was starting, so either version "
            "of it may be loaded. Run `dvc repro` again"
        )
    return digests
