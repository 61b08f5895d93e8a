"""What decides the results of a machine: its Python, its platform, its packages, its clock."""

import platform
import re
import time
from importlib.metadata import distributions
from pathlib import Path
from typing import TypedDict

WRONG_CLOCK = 60.0  # seconds
NAMED = 3  # packages that differ; of the others, the number


class Environment(TypedDict):
    """What a machine says of itself.

    Attributes:
        host: Its name.
        python: The version.
        platform: Operating system and processor architecture.
        packages: Versions by name.
        clock: Seconds since 1970.
    """

    host: str
    python: str
    platform: str
    packages: dict[str, str]
    clock: float


def this_environment() -> Environment:
    """Return what this machine says of itself; a worker of a cluster gets this by value."""
    found = {re.sub(r"[-_.]+", "-", one.name).lower(): one.version for one in distributions()}
    return {
        "host": platform.node(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": found,
        "clock": time.time(),
    }


def differences(here: Environment, there: Environment, locked: set[str]) -> list[str]:
    """Return why another machine may give other results, in words; nothing if it gives the same.

    Args:
        here: This machine.
        there: The other one.
        locked: The names of the packages that have to be the same.
    """
    versions = [
        f"{what} {there[what]} in place of {here[what]}"
        for what in ("python", "platform")
        if here[what] != there[what]
    ]
    packages = [
        f"{name} {there['packages'].get(name, 'missing')} in place of {version}"
        for name, version in sorted(here["packages"].items())
        if name in locked and there["packages"].get(name) != version
    ]
    more = [f"{len(packages) - NAMED} other packages"] if len(packages) > NAMED else []
    return [*versions, *packages[:NAMED], *more]


def locked_packages(lock: Path) -> set[str]:
    """Return the names in a lock file of packages; where there is none, all that are installed."""
    if not lock.exists():
        return set(this_environment()["packages"])
    return set(re.findall(r"^([a-z0-9-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def clock_error(before: float, there: float, after: float) -> float:
    """Return by how many seconds a clock goes wrong: 0 if by less than can be told.

    Args:
        before: This machine's time when the other one was asked.
        there: What it answered.
        after: This machine's time when the answer came.
    """
    wrong = there - before if there < before else max(0.0, there - after)
    return wrong if abs(wrong) > WRONG_CLOCK else 0.0
