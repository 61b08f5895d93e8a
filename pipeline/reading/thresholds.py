"""The thresholds of confidence by which pictures are decided, and where they come from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.runtime.errors import PipelineError

THRESHOLDS_FILE = "picture_thresholds.json"


class Thresholds(NamedTuple):
    """Thresholds of confidence.

    Attributes:
        on_mnist: By target error, set on MNIST's images. None where none is sure to reach it.
        on_pictures: The same, set on somebody's pictures, for "one" digit and for a "field".
    """

    on_mnist: Mapping[str, float | None]
    on_pictures: Mapping[str, Mapping[str, float | None]]

    def of(self, target: float | None, *, one: bool) -> float | None:
        """Return the threshold for a target error; None where none is sure to reach it.

        Those set on MNIST promise nothing for pictures, so that of them the strictest is taken,
        whatever the target.

        Args:
            target: The highest share of errors among what is decided; the lowest if None.
            one: Whether the pictures show one digit each.

        Raises:
            PipelineError: No threshold was set on pictures for that target.
        """
        known = self.on_pictures.get(kind_of(one=one))
        if known is None:
            found = list(self.on_mnist.values())
            return None if None in found or not found else max(filter(None, found))
        name = min(known, key=float) if target is None else f"{target:g}"
        if name not in known:
            raise PipelineError(
                f"no threshold was set for a target of {name}, only for {', '.join(known)}: "
                "--calibrate sets one"
            )
        return known[name]


def kind_of(*, one: bool) -> str:
    """Return the name of what pictures show: one digit each, or a field of them."""
    return "one" if one else "field"


def thresholds_of(model: Path, fingerprint: str, operating_points: Any) -> Thresholds:
    """Return the thresholds of a network, and those set on pictures if there are any.

    Args:
        model: The folder of the network.
        fingerprint: Of the network: what was set for another one is left aside.
        operating_points: As ``evaluate`` has set them.

    Raises:
        PipelineError: A file is damaged.
        OSError: A file cannot be read.
    """
    path = model / THRESHOLDS_FILE
    on_mnist = _checked(operating_points["thresholds"])
    try:
        found = json.loads(path.read_bytes())
        same = found.pop("network") == fingerprint
        on_pictures = {kind: _checked(found[kind]["thresholds"]) for kind in found if same}
    except FileNotFoundError:
        on_pictures = {}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PipelineError(f"{path}: damaged; --calibrate writes it anew") from error
    return Thresholds(on_mnist, on_pictures)


def _checked(thresholds: Mapping[str, float | None]) -> dict[str, float | None]:
    checked = {
        f"{float(target):g}": None if found is None else float(found)
        for target, found in thresholds.items()
    }
    if not all(found is None or 0 <= found <= 1 for found in checked.values()):
        raise ValueError("a threshold is no probability")
    return checked
