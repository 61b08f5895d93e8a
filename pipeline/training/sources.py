"""This project's code: what is loaded of it, and whether its files still say the same."""

import hashlib
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return what tells that a file was saved anew, whatever the clock says; None without one."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_size


# So who wants the answer imports this before all that takes seconds to be loaded.
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
            f"{', '.join(saved)} changed while the stage was starting, so nobody knows which "
            "version of it would run. Run `dvc repro` again"
        )
    return digests
