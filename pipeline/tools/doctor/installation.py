"""An installation: this Python, and its packages beside those that are locked."""

import platform
import re
import shutil
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pipeline.tools.doctor.checkup import SET_UP, Finding, good, note, problem, some

LOCK = "requirements.lock"
GPU_LOCK = "requirements-gpu.lock"


def python(project: Path) -> Finding:
    """Return whether the packages are made for this Python, and stages will run with it."""
    from packaging.specifiers import SpecifierSet

    with (project / "pyproject.toml").open("rb") as file:
        wanted = tomllib.load(file)["project"]["requires-python"]
    found = f"{platform.python_version()}, {sys.executable}"
    if not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        return problem(
            f"{found}; expected {wanted}",
            "Install such a Python, then `rm -rf .venv && make setup PYTHON=/path/to/python3`",
        )
    first = shutil.which("python")
    # Not resolved: in an environment it is a link to the Python that the environment was made of.
    if first is None or Path(first).absolute() != Path(sys.executable).absolute():
        return note(
            f"{found}; but `python`, which stages are run with, is "
            f"{first or 'not'}{'' if first else ' there'}",
            "Use `make repro`, or activate the environment first: `source .venv/bin/activate`",
        )
    return good(found)


def packages(project: Path) -> Finding:
    """Return whether what is installed is what is locked, to the version."""
    pins = locked(project / LOCK)
    wrong = {name: text for name, pin in pins.items() if (text := _difference(name, pin))}
    if not wrong:
        return good(f"all {len(pins)} packages of {LOCK} are installed in these versions")
    # The lock for GPUs has all that a run needs, and nothing that is for development only.
    needed = [name for name in wrong if name in locked(project / GPU_LOCK)]
    if needed:
        found = some([wrong[name] for name in needed])
        return problem(f"{len(wrong)} of {len(pins)} differ from {LOCK}: {found}", SET_UP)
    return note(
        f"a run has what it needs, but {len(wrong)} packages for tests and checks differ from "
        f"{LOCK}: {some(list(wrong.values()))}",
        SET_UP,
    )


def locked(path: Path) -> dict[str, str]:
    """Return the versions in a lock file, by package, that are for this system and Python."""
    from packaging.requirements import Requirement

    lines = re.findall(r"^(\w[^\\\n]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
    pins: list[Any] = [Requirement(line) for line in lines]
    return {
        pin.name: next(iter(pin.specifier)).version
        for pin in pins
        if pin.marker is None or pin.marker.evaluate()
    }


def _difference(name: str, expected: str) -> str | None:
    """Return what is to be said of a package; None where it is as locked."""
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{name} is missing"
    return None if found == expected else f"{name} is {found}, not {expected}"
