"""Readings for people, for tables and for scripts."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from pipeline.reading.verdict import Digit, Reading
from pipeline.runtime.errors import readable
from pipeline.tools.read.pictures import Picture

UNREAD = "not read"  # the verdict on a picture that could not be opened
ALMOST = 0.9999  # more would be rounded to certainty
COLUMNS = ["file", "digits", "verdict", "confidence", "reason", "others"]


def as_line(picture: Picture, width: int) -> str:
    """Return a reading as a line for a terminal, whatever the picture's name holds.

    Args:
        picture: With its reading.
        width: Of the longest name.
    """
    name = readable(picture.name).ljust(width)
    found = picture.reading
    if found is None:
        return f"{name}  {UNREAD}: {picture.problem}"
    reason = f": {found.reason}" if found.reason else f", {_percent(found.confidence)}"
    others = _others(found)
    return f"{name}  {found.text or '-'}  {found.verdict}{reason}{f' ({others})' if others else ''}"


def _percent(share: float) -> str:
    return f"{share:.2%}" if share <= ALMOST else f">{ALMOST:.2%}"


def _others(found: Reading) -> str:
    """Return the next probable classes of the digits that are not decided."""
    many = len(found.digits) > 1
    return "; ".join(
        f"{f'digit {place}: ' if many else ''}{_other_classes(digit)}"
        for place, digit in enumerate(found.digits, 1)
        if digit.others
    )


def _other_classes(digit: Digit) -> str:
    names = " or ".join(f"{name} {share:.0%}" for name, share in digit.others)
    return f"{digit.text} {digit.confidence:.0%}, or {names}"


def as_csv(pictures: Iterable[Picture]) -> str:
    """Return a table, a row a picture."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for picture in pictures:
        name, found, problem = _name(picture), picture.reading, picture.problem
        row = (
            [UNREAD, "", problem, ""]
            if found is None
            else [found.verdict, f"{found.confidence:.9g}", found.reason, _others(found)]
        )
        writer.writerow([name, found.text if found else "", *row])
    return text.getvalue()


def _name(picture: Picture) -> str:
    """Return a name as text, also one that is no UTF-8."""
    return picture.name.encode("utf-8", "backslashreplace").decode()


def as_json(pictures: Iterable[Picture], network: str, *, on_pictures: bool) -> str:
    """Return everything that was found, as JSON.

    Args:
        pictures: With their readings.
        network: Its name.
        on_pictures: Whether the thresholds were set on pictures; else on MNIST.
    """
    facts = {
        "network": network,
        "thresholds_set_on": "pictures" if on_pictures else "MNIST",
        "pictures": [_facts(picture) for picture in pictures],
    }
    return json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _facts(picture: Picture) -> dict[str, Any]:
    if picture.reading is None:
        return {"file": _name(picture), "verdict": UNREAD, "reason": picture.problem}
    found: Reading = picture.reading
    return {
        "file": _name(picture),
        "digits": found.text,
        "verdict": found.verdict,
        "confidence": found.confidence,
        "reason": found.reason,
        "each": [
            {
                "digit": one.text,
                "verdict": one.verdict,
                "confidence": one.confidence,
                "reason": one.reason,
                "others": dict(one.others),
                "box": [round(side, 4) for side in one.box],
            }
            for one in found.digits
        ],
    }
