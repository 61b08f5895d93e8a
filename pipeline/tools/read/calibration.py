"""Set the thresholds of confidence on somebody's own pictures."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.rejection import choose_threshold, decide, fewest_images
from pipeline.reading.reader import Reader
from pipeline.reading.thresholds import THRESHOLDS_FILE, kind_of
from pipeline.runtime.atomic import write_text
from pipeline.runtime.errors import UNREADABLE, PipelineError, reason
from pipeline.tools.read.pictures import readings

CERTAINTY = 0.9  # as `evaluate` has it
MOST_PICTURES = 2**20


def calibrate(
    table: Path, reader: Reader, model: Path, targets: Sequence[float], *, one: bool
) -> bool:
    """Set thresholds on pictures whose digits are known, and write them beside the network.

    The guarantee is that of ``choose_threshold``: for pictures of the same kind, with a certainty
    of 90%, the share of errors among what is decided stays below the target.

    Args:
        table: A CSV file with the columns file, from the table's folder on, and digits.
        reader: With the network.
        model: Its folder.
        targets: The highest shares of errors.
        one: Whether the pictures show one digit each.

    Returns:
        Whether each target has a threshold.

    Raises:
        PipelineError: The table is none, or a picture cannot be read; nothing is written.
        OSError: A file cannot be read or written.
    """
    known = _known(table)
    files = [str(table.parent / name) for name, _ in known]
    pictures = list(readings(files, reader, model, {"one": one}))
    found = [picture.reading for picture in pictures if picture.reading]
    if bad := [picture for picture in pictures if picture.problem]:
        raise PipelineError(f"{bad[0].name}: {bad[0].problem} ({len(bad)} such pictures)")
    correct = np.array([one.text == digits for one, (_, digits) in zip(found, known, strict=True)])
    print(f"{correct.mean():.1%} of {len(found)} pictures were read right.")
    decidable = np.array([one.is_decidable for one in found])
    confidence = np.array([one.confidence for one in found])[decidable]
    correct = correct[decidable]
    thresholds: dict[str, float | None] = {}
    for target in sorted(targets, reverse=True):
        threshold = choose_threshold(confidence, correct, target, CERTAINTY)
        thresholds[f"{target:g}"] = threshold
        print(_outcome(confidence, correct, target, threshold, len(found)))
    path = model / THRESHOLDS_FILE
    entry = {"pictures": len(found), "certainty": CERTAINTY, "thresholds": thresholds}
    facts = {"network": reader.fingerprint} | _written(path, reader.fingerprint)
    write_text(path, json.dumps(facts | {kind_of(one=one): entry}, indent=2) + "\n")
    print(f"Written to {path}, and used from now on.")
    return None not in thresholds.values()


def _known(table: Path) -> list[tuple[str, str]]:
    """Return files and their digits."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = [(row["file"], "".join(row["digits"].split())) for row in csv.DictReader(file)]
    except KeyError as error:
        raise PipelineError(f"{table}: expected the columns file and digits") from error
    except (*UNREADABLE, csv.Error) as error:
        if isinstance(error, OSError):
            raise
        raise PipelineError(f"{table}: not a table: {reason(error)}") from error
    if not rows:
        raise PipelineError(f"{table}: expected rows, found none")
    return rows


def _outcome(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    target: float,
    threshold: float | None,
    pictures: int,
) -> str:
    goal = f"At most {100 * target:g}% wrong"
    if threshold is None:
        least = least_pictures(target)
        more = f"it takes at least {least:,} pictures, all of the surest read right"
        if least > pictures:
            more = f"it takes {least - pictures:,} more pictures at least ({least:,} in all)"
        return f"{goal}: these pictures are not enough to promise it, nothing is decided; {more}."
    sure = decide(confidence, correct, threshold)
    return (
        f"{goal}: from a confidence of {threshold:.9g} on. That decides "
        f"{sure.decided / pictures:.1%} of these pictures, {sure.errors} of them wrong."
    )


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
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    same = isinstance(found, dict) and found.get("network") == fingerprint
    return found if same else {}
