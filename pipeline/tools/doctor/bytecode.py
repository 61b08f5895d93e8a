"""Python's bytecode of the project, which a full disk may have cut off."""

import marshal
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from pipeline.tools.doctor.checkup import Finding, good, problem, some

HEADER = 16  # bytes; PEP 552


def bytecode(project: Path) -> Finding:
    """Return whether Python's bytecode of the project is whole.

    Python 3.11 takes what a full disk has cut off (python/cpython#126606): each start of a stage
    then ends with "marshal data too short".
    """
    broken = broken_bytecode(project)
    if not broken:
        return good("whole, or none")
    names = [path.relative_to(project).as_posix() for path in broken]
    return problem(
        f"cut off, of which Python ends: {some(names)}", "`find pipeline -name '*.pyc' -delete`"
    )


def broken_bytecode(project: Path) -> list[Path]:
    """Return the files of bytecode that this Python would take, and end with an error."""
    return [path for path in sorted(project.glob("pipeline/**/*.pyc")) if _is_broken(path)]


def _is_broken(path: Path) -> bool:
    content = path.read_bytes()
    # Another version's, or less than a header, which Python itself makes anew.
    if not content.startswith(MAGIC_NUMBER) or len(content) < HEADER:
        return False
    try:
        marshal.loads(content[HEADER:])  # noqa: S302 (Python does so at each import)
    except (EOFError, ValueError, TypeError):
        return True
    return False
