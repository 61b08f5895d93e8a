"""Sentences about metrics, and settings and names as text."""

import json
import re
from collections.abc import Mapping
from typing import Any


def accuracy_sentence(metrics: Mapping[str, Any], images: int) -> str:
    """Return a sentence with the accuracy and its interval."""
    low, high = metrics["accuracy_interval"].values()
    return (
        f"{metrics['accuracy']:.2%} of {images:,} test images classified correctly "
        f"(95% interval {low:.2%} to {high:.2%})"
    )


def rejection_sentence(target: str, found: Mapping[str, Any], points: Mapping[str, Any]) -> str:
    """Return a sentence about a target error: how much is decided, and how much of it is wrong.

    Args:
        target: One of those that ``points`` has thresholds for.
        found: What ``assessment`` gives for it.
        points: As ``operating_points`` returns them.
    """
    goal = f"{100 * float(target):g}%"
    if points["thresholds"][target] is None:
        return f"No threshold is sure to reach {goal} on {points['validation_images']:,} images"
    if not found["coverage"]:
        return f"Target: at most {goal} wrong: none of the images reaches the threshold"
    outcome = f"{found['coverage']:.2%} decided, {found['risk']:.3%} of them wrong"
    missed = ", above the target" if found["risk"] > float(target) else ""
    return f"Target: at most {goal} wrong ({100 * points['certainty']:g}% sure): {outcome}{missed}"


def setting(value: Any) -> str:
    """Return a setting's value as it would be written down; "none" where there is none."""
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def in_markdown(text: str) -> str:
    """Return a text that means itself in a cell of Markdown, whatever a class is called."""
    # Between letters an underscore is one.
    special = r"[|\\`*$<&~]|(?<=\])\(|(?<![^\W_])_|_(?![^\W_])"
    return re.sub(special, lambda found: f"\\{found[0]}", " ".join(text.split()))
