"""Set the thresholds of confidence on somebody's own pictures."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.evaluation.rejection import choose_threshold, decide, fewest_images
from pipeline.reading.opening import read_regular
from pipeline.reading.reader import Reader
from pipeline.reading.thresholds import LARGEST, THRESHOLDS_FILE, checked, kind_of
from pipeline.reading.verdict import Reading
from pipeline.runtime.atomic import write_text
from pipeline.runtime.errors import UNREADABLE, PipelineError, readable, reason
from pipeline.tools.read.pictures import Task, readings

LARGEST_TABLE = 64 * 2**20  # bytes
CERTAINTY = 0.9  # as `evaluate` has it
Known = list[tuple[str, str]]


def calibrate(
    table: Path, reader: Reader, model: Path, targets: Sequence[float], *, one: bool
) -> bool:
    """Set thresholds on pictures whose digits are known, and write them beside the network.

    The guarantee is that of ``choose_threshold``: for pictures of the same kind, with a certainty
    of 90%, the share of errors among what is decided stays below the target. Fields have two kinds
    of thresholds, with and without the number of their digits known.

    Args:
        table: A CSV file with the columns file, a path relative to its folder, and digits.
        reader: With the network, without thresholds of pictures.
        model: Its folder.
        targets: The highest shares of errors.
        one: Whether the pictures show one digit each.

    Returns:
        Whether each target has a threshold.

    Raises:
        PipelineError: The table is none, or a picture cannot be read; nothing is written.
        OSError: A file cannot be read or written.
    """
    known = _known(table, reader.names, one=one)
    entries: dict[str, object] = {}
    reached: list[float | None] = []
    for counted in (False,) if one else (True, False):
        if not one:
            print(f"With{'' if counted else 'out'} the number of digits told:")
        found = _read(table.parent, known, reader, one=one, counted=counted)
        thresholds = _thresholds(found, [digits for _, digits in known], targets)
        reached += thresholds.values()
        entries[kind_of(one=one, counted=counted)] = {
            "pictures": len(found),
            "certainty": CERTAINTY,
            "thresholds": thresholds,
        }
    if not any(reached) and len(known) < least_pictures(max(targets)):
        print("Nothing is written: the thresholds stay as they were.")
        return False
    path = model / THRESHOLDS_FILE
    facts = {"network": reader.fingerprint} | _written(path, reader.fingerprint) | entries
    write_text(path, json.dumps(facts, indent=2) + "\n")
    print(f"Written to {path}, and used from now on.")
    return None not in reached


def _known(table: Path, names: Sequence[str], *, one: bool) -> Known:
    """Return files and their digits.

    Raises:
        PipelineError: The table is none, a row says no digits, or a picture is there twice.
    """
    try:
        content = io.StringIO(read_regular(table, LARGEST_TABLE).decode("utf-8-sig"), newline="")
        rows = [(row["file"], row["digits"]) for row in csv.DictReader(content)]
    except KeyError as error:
        raise PipelineError(f"{table}: expected the columns file and digits") from error
    except (*UNREADABLE, csv.Error) as error:
        if isinstance(error, OSError):
            raise
        raise PipelineError(f"{table}: not a table: {reason(error)}") from error
    if not rows:
        raise PipelineError(f"{table}: expected rows, found none")
    known: Known = []
    for line, (name, digits) in enumerate(rows, 2):
        text = "".join((digits or "").split())
        if not text or not (text in names if one else set(text) <= set(names)):
            wanted = "a digit" if one else "digits"
            raise PipelineError(
                f"{table}, line {line}: expected {wanted}, found {readable(str(digits))!r}"
            )
        known.append((name or "", text))
    _no_picture_twice(table, [name for name, _ in known])
    return known


def _no_picture_twice(table: Path, names: Sequence[str]) -> None:
    """Make sure that all pictures differ: the guarantee is of pictures drawn independently."""
    seen: dict[str, int] = {}
    for number, name in enumerate(names):
        path = table.parent / name
        content = path.read_bytes() if path.is_file() else str(path).encode()
        other = seen.setdefault(hashlib.sha256(content).hexdigest(), number)
        if other != number:
            raise PipelineError(
                f"{table}: {readable(name)} is the same picture as {readable(names[other])}"
            )


def _read(folder: Path, known: Known, reader: Reader, *, one: bool, counted: bool) -> list[Reading]:
    tasks = [
        Task(name, folder / name, {"one": one, "digits": len(digits) if counted else None})
        for name, digits in known
    ]
    pictures = list(readings(tasks, reader))
    bad = [picture for picture in pictures if picture.reading is None]
    if bad:
        raise PipelineError(f"{readable(bad[0].name)}: {bad[0].problem} ({len(bad)} such pictures)")
    return [picture.reading for picture in pictures if picture.reading]


def _thresholds(
    found: Sequence[Reading], known: Sequence[str], targets: Sequence[float]
) -> dict[str, float | None]:
    """Return the threshold of each target, and print what it is worth."""
    right = np.array([one.text == digits for one, digits in zip(found, known, strict=True)])
    decidable = np.array([one.is_decidable for one in found])
    confidence = np.array([one.confidence for one in found])[decidable]
    correct = right[decidable]
    print(
        f"{right.mean():.1%} of {len(found)} pictures were read right. {decidable.sum()} of them a "
        "threshold may decide."
    )
    thresholds: dict[str, float | None] = {}
    for target in sorted(targets, reverse=True):
        threshold = None
        if len(correct):
            threshold = choose_threshold(confidence, correct, target, CERTAINTY)
        thresholds[f"{target:g}"] = threshold
        goal = f"At most {100 * target:g}% wrong"
        if threshold is None:
            print(f"{goal}: {_too_few(len(correct), len(found), target)}")
            continue
        sure = decide(confidence, correct, threshold)
        print(
            f"{goal}: from a confidence of {threshold:.9g} on. That decides "
            f"{sure.decided / len(found):.1%} of these pictures, {sure.errors} of them wrong."
        )
    return thresholds


def _too_few(decidable: int, pictures: int, target: float) -> str:
    least = least_pictures(target)
    more = f"it takes at least {least:,} that a threshold may decide, all of the surest read right"
    if 0 < decidable < least:
        missing = math.ceil((least - decidable) * pictures / decidable)
        more = f"it takes about {missing:,} more such pictures ({pictures + missing:,} in all)"
    return f"these pictures are not enough to promise it, nothing is decided; {more}."


def least_pictures(target: float) -> int:
    """Return how many pictures a threshold takes at least, if none of them is read wrong."""
    low, high = 0, 16
    while not _enough(high, target):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _enough(middle, target) else (middle, high)
    return high


def _enough(pictures: int, target: float) -> bool:
    fewest = fewest_images(pictures, target, CERTAINTY)
    return bool(len(fewest) and fewest[0] <= pictures)


def _written(path: Path, fingerprint: str) -> dict[str, object]:
    """Return what was set before for the same network."""
    try:
        found = json.loads(read_regular(path, LARGEST))
        same = found.pop("network") == fingerprint
        return {
            kind: entry for kind, entry in found.items() if same and checked(entry["thresholds"])
        }
    except (PipelineError, *UNREADABLE):
        return {}
