"""How well people's pictures are read: python benchmarks/reading.py FOLDER.

FOLDER has a pictures.csv with the columns file, digits, part, kind and writer; single/ has pictures
of one digit, field/ of several. Settings may be chosen by the part "tune" alone; "judge" measures.
"""

import csv
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "reading"))

from no_digits import pictures

from pipeline.evaluation.statistics import wilson_interval
from pipeline.reading import Reader
from pipeline.reading.verdict import Reading, Verdict

HARD = "hard"  # letters, signs, touching digits, scribbles: a person is to be asked


class Measured(NamedTuple):
    """A picture, what it says, and what was read."""

    row: dict[str, str]
    known: str
    reading: Reading
    counted: Reading


def measured(folder: Path, reader: Reader) -> list[Measured]:
    """Return the readings of all pictures: as fields also with the number of digits given."""
    found = []
    with (folder / "pictures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        known, path = row["digits"].replace(" ", ""), folder / row["file"]
        one = row["file"].startswith("single/")
        reading = reader.read(path, one=one)
        counted = reading if one else reader.read(path, digits=len(known))
        found.append(Measured(row, known, reading, counted))
    return found


def share(found: Iterable[Measured], right: Callable[[Measured], bool]) -> str:
    """Return a share, its counts and its 95% interval (Wilson, 1927)."""
    all_of_them = list(found)
    count = sum(map(right, all_of_them))
    if not all_of_them:
        return "none"
    low, high = wilson_interval(count, len(all_of_them))
    return (
        f"{count / len(all_of_them):7.1%} ({count} of {len(all_of_them)}; {low:.1%} to {high:.1%})"
    )


def decided(one: Measured) -> bool:
    """Return whether a picture is decided, with the number of digits given."""
    return one.counted.verdict is Verdict.DECIDED


def report(name: str, found: list[Measured]) -> None:
    """Print what share is right, what is decided, and what of that is wrong."""
    sure = [one for one in found if decided(one)]
    print(f"{name:<34} right {share(found, lambda one: one.reading.text == one.known)}")
    if name.startswith("field"):
        told = share(found, lambda one: one.counted.text == one.known)
        print(f"{'':<34} right if their number is told {told}")
    print(f"{'':<34} decided {share(found, decided)}")
    print(f"{'':<34} wrong of these {share(sure, lambda one: one.counted.text != one.known)}")


def main(folder: Path) -> None:
    """Measure the pictures of a folder, and those of no digit."""
    reader = Reader()
    start = time.perf_counter()
    found = measured(folder, reader)
    for part in ("tune", "judge", ""):
        print(f"--- {part or 'all'}")
        groups: dict[str, list[Measured]] = defaultdict(list)
        for one in found:
            if part and one.row["part"] != part:
                continue
            form, kind = one.row["file"].split("/")[0], one.row["kind"]
            groups[f"{form} {kind}"].append(one)
            if kind != HARD:
                groups[f"{form}, all but hard"].append(one)
            if form == "single" and kind.startswith("photo"):
                groups["single, photos"].append(one)
        for name in sorted(groups):
            report(name, groups[name])
    no_digits(reader)
    print(f"({time.perf_counter() - start:.0f} s)")


def no_digits(reader: Reader) -> None:
    """Print how many pictures of something else are called a decided digit."""
    for what, one in (("one digit", True), ("a field", False)):
        kinds: dict[str, list[bool]] = defaultdict(list)
        for kind, picture in pictures():
            kinds[kind].append(reader.read(picture, one=one).verdict is Verdict.DECIDED)
        print(f"--- pictures of something else, decided as {what}")
        for kind, wrong in [*kinds.items(), ("all", list(chain.from_iterable(kinds.values())))]:
            print(f"{kind:<34} {sum(wrong)} of {len(wrong)} = {sum(wrong) / len(wrong):.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
