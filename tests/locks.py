"""What the lock files pin."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCKS = sorted(ROOT.glob("requirements*.lock"))


@dataclass(frozen=True)
class Pin:
    """A locked version, and whether this Python on this system is to have it."""

    version: str
    is_for_here: bool


def pins(lock: str) -> dict[str, Pin]:
    """Return what the text of a lock file pins, by the normalised name of the package."""
    found = {}
    for line in re.findall(r"^[a-z0-9-]+==[^\\\n]+", lock, re.MULTILINE):
        requirement = Requirement(line)
        (pin,) = requirement.specifier
        is_for_here = requirement.marker is None or requirement.marker.evaluate()
        found[requirement.name] = Pin(pin.version, is_for_here)
    return found


def pinned(*names: str) -> dict[str, Pin]:
    """Return what lock files pin, by default all of them; they agree on common packages."""
    paths = [ROOT / name for name in names] or LOCKS
    return {name: pin for path in paths for name, pin in pins(path.read_text()).items()}
