"""The thresholds of confidence by which pictures are decided, and where they come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.reading.opening import read_regular
from pipeline.runtime.errors import UNREADABLE, PipelineError

THRESHOLDS_FILE = "picture_thresholds.json"
LARGEST = 2**20  # bytes of that file
ByTarget = Mapping[str, float | None]


def kind_of(*, one: bool, counted: bool) -> str:
    """Return the name of a kind of pictures: thresholds are set for each kind.

    Args:
        one: Whether each shows one digit; else a field of them.
        counted: Whether it is known how many digits a field has.
    """
    return "one" if one else "counted field" if counted else "field"


class Thresholds(NamedTuple):
    """Thresholds of confidence, by target error; None where none is sure to reach the target.

    Attributes:
        on_mnist: Set on MNIST's images.
        on_pictures: Set on somebody's pictures, by their kind.
    """

    on_mnist: ByTarget
    on_pictures: Mapping[str, ByTarget]

    def of(self, target: float | None, kind: str) -> float | None:
        """Return the threshold for a target error; None where none is sure to reach it.

        Those set on MNIST promise nothing for pictures, so that of them the strictest is taken,
        whatever the target.

        Args:
            target: The highest share of errors among what is decided; if None, the lowest that
                there is a threshold for.
            kind: Of the pictures.

        Raises:
            PipelineError: No threshold was set on pictures for that target.
        """
        known = self.on_pictures.get(kind)
        if known is None:
            found = list(self.on_mnist.values())
            return None if None in found else max((one for one in found if one), default=None)
        if target is None:
            reached = [name for name, threshold in known.items() if threshold is not None]
            return known[min(reached, key=float)] if reached else None
        if f"{target:g}" not in known:
            raise PipelineError(
                f"no threshold was set for a target of {target:g}, only for {', '.join(known)}: "
                "--calibrate sets one"
            )
        return known[f"{target:g}"]


def thresholds_on_pictures(model: Path, fingerprint: str) -> dict[str, dict[str, float | None]]:
    """Return the thresholds that were set on pictures, by their kind; none if there are none.

    Args:
        model: The folder of the network.
        fingerprint: Of the network: what was set for another one is left aside.

    Raises:
        PipelineError: The file is damaged.
        OSError: The file cannot be read.
    """
    path = model / THRESHOLDS_FILE
    try:
        found = json.loads(read_regular(path, LARGEST))
        same = found.pop("network") == fingerprint
        return {kind: checked(found[kind]["thresholds"]) for kind in found if same}
    except FileNotFoundError:
        return {}
    except UNREADABLE as error:
        if isinstance(error, OSError):
            raise
        raise PipelineError(f"{path}: damaged; --calibrate writes it anew") from error


def checked(thresholds: ByTarget) -> dict[str, float | None]:
    """Return thresholds by the names of their targets.

    Raises:
        ValueError: One is no probability.
    """
    found = {
        f"{float(target):g}": None if threshold is None else float(threshold)
        for target, threshold in thresholds.items()
    }
    if not all(threshold is None or 0 <= threshold <= 1 for threshold in found.values()):
        raise ValueError("a threshold is no probability")
    return found
