"""Read handwritten digits in pictures, and say which a person has to look at.

PICTURE is a file, a folder of them, or - for standard input. A picture shows a field of several
digits, read line by line, or with --one a single digit. Every picture gets one of three verdicts:
decided; ask a person, with the reason and the next probable digits; not a digit, with the reason.
A field is as sure as its least sure digit. Tell --digits if you know how many there must be: it is
the best safeguard, and more is decided.

The network is the study's champion, or that in --model FOLDER, such as data/model after
`dvc repro`. Its thresholds were set on MNIST. For your own pictures they promise nothing until
--calibrate has set them on some whose digits you know: FILE is a CSV file with the columns file,
relative to its own folder, and digits. They are written beside the network, in place of earlier
ones for the same kind of pictures, and used from then on.

Examples:
  python -m pipeline read --one photo.jpg
  python -m pipeline read --digits 6 --format csv scans/ > read.csv
  python -m pipeline read --digits 4 --annotate looked-at/ field.png
  python -m pipeline read --one --calibrate pictures.csv --target 0.01

Exit codes: 0 all decided, 1 not all (with --calibrate: too few pictures for a target),
2 a picture could not be read, or another error.
"""

import argparse
import math
import sys
from pathlib import Path

from tqdm import tqdm

from pipeline.reading.reader import CHAMPION, Reader
from pipeline.reading.thresholds import kind_of
from pipeline.reading.verdict import Verdict
from pipeline.runtime.errors import PipelineError, readable
from pipeline.tools.command_line import ERROR, run_tool, tool_parser
from pipeline.tools.read.annotation import annotate
from pipeline.tools.read.output import as_csv, as_json, as_line
from pipeline.tools.read.pictures import STANDARD_INPUT, Picture, Task, readings, tasks_of

NEED_A_PERSON = 1
# The champion's figures of benchmarks/reading.py, as docs/reading.md has them.
ON_MNIST = (
    "The thresholds were set on MNIST's images, and the strictest is used. For other pictures they "
    "promise nothing: on 478 by other writers, 0 of 333 decided digits were wrong, and 1 of 53 "
    "decided fields whose number of digits was told (docs/reading.md). --calibrate sets others."
)


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = tool_parser("read", __doc__, formats=False)
    made.add_argument("pictures", nargs="*", metavar="PICTURE", help="a file, a folder, or -")
    kind = made.add_mutually_exclusive_group()
    kind.add_argument("--one", action="store_true", help="each picture shows one digit")
    kind.add_argument("--field", action="store_true", help="each shows several (the default)")
    made.add_argument(
        "--digits", type=_count, metavar="N", help="how many digits a field must have"
    )
    made.add_argument(
        "--target",
        type=_share,
        metavar="SHARE",
        help="highest share of errors among what is decided, such as 0.01: with --calibrate one to "
        "set a threshold for (default: 0.005 and 0.001, as the network has them), else one that "
        "has been set (default: the lowest)",
    )
    made.add_argument(
        "--model",
        type=Path,
        default=CHAMPION,
        metavar="FOLDER",
        help="with a model.onnx (default: studies/champion)",
    )
    made.add_argument(
        "--format",
        choices=["text", "csv", "json"],
        default="text",
        help="text as it is read, csv or json at the end (default: text)",
    )
    made.add_argument(
        "--annotate",
        type=Path,
        metavar="FOLDER",
        help="write each picture with its reading into a new or empty folder",
    )
    made.add_argument(
        "--calibrate", type=Path, metavar="FILE", help="set thresholds on pictures of known digits"
    )
    return made


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000, found {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.0001 <= share <= 0.1:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"expected a share from 0.0001 to 0.1, found {text!r}")
    return share


def main() -> int:
    """Parse the command line, read, and return the exit code."""
    made = parser()
    given = made.parse_args()
    if given.one and given.digits is not None:
        made.error("--digits is how many a field has; with --one there is one")
    if given.annotate and STANDARD_INPUT in given.pictures:
        made.error("--annotate needs files, not standard input")
    if not given.calibrate and not given.pictures:
        made.error("expected pictures to read, or --calibrate with a table of them")
    if given.calibrate and given.pictures:
        made.error("--calibrate takes its pictures from the table, and no others")
    if given.pictures.count(STANDARD_INPUT) > 1:
        made.error("standard input can be read once")
    reader = Reader(given.model, calibrated=not given.calibrate)
    if given.calibrate:
        if given.digits is not None or given.annotate or given.format != "text":
            made.error("--calibrate goes with --one, --field, --target and --model alone")
        # pandas and scipy.stats take most of a second.
        from pipeline.tools.read.calibration import calibrate

        targets = [given.target] if given.target else list(map(float, reader.thresholds.on_mnist))
        enough = calibrate(given.calibrate, reader, given.model, targets, one=given.one)
        return 0 if enough else NEED_A_PERSON
    return read(given, reader)


def read(given: argparse.Namespace, reader: Reader) -> int:
    """Read the pictures, print what they say, and return the exit code."""
    kind = kind_of(one=given.one, counted=given.digits is not None)
    reader.thresholds.of(given.target, kind)  # refused before anything is read
    options = {"one": given.one, "digits": given.digits, "target": given.target}
    tasks = tasks_of(given.pictures, options)
    if given.annotate:
        _make_empty(given.annotate)
    on_pictures = kind in reader.thresholds.on_pictures
    note = "The thresholds were set on pictures of yours." if on_pictures else ON_MNIST
    print(f"Read by the network {reader.name}. {note}", file=sys.stderr)
    found: list[Picture] = []
    width = min(60, max(len(readable(task.name)) for task in tasks))
    codes = {0}
    with tqdm(total=len(tasks), unit="picture", disable=None if len(tasks) > 1 else True) as bar:
        for task, picture in zip(tasks, readings(tasks, reader), strict=True):
            bar.update()
            if given.format == "text":
                with bar.external_write_mode(sys.stdout):
                    print(as_line(picture, width), flush=True)
            codes.add(_code(picture))
            if given.annotate and picture.reading:
                codes.add(_annotated(task, picture, given.annotate, len(found) + 1))
            found.append(picture if given.format != "text" else picture._replace(reading=None))
    if given.format == "csv":
        print(as_csv(found), end="")
    elif given.format == "json":
        print(as_json(found, reader.name, on_pictures=on_pictures), end="")
    return max(codes)


def _make_empty(folder: Path) -> None:
    """Make the folder for annotated pictures; what is in one is not overwritten.

    Raises:
        PipelineError: There is something in it.
        OSError: It cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise PipelineError(f"{folder}: expected an empty folder for the annotated pictures")


def _annotated(task: Task, picture: Picture, folder: Path, number: int) -> int:
    """Write an annotated picture; return 2 if that fails, after a line that says why, else 0."""
    name = f"{number:04d}-{Path(task.name).stem[:60]}.png"
    try:
        if picture.reading:
            annotate(task.source, picture.reading, folder / name)
    except (PipelineError, OSError) as error:
        print(f"read: {readable(task.name)} is not annotated: {error}", file=sys.stderr)
        return ERROR
    return 0


def _code(picture: Picture) -> int:
    if picture.reading is None:
        return ERROR
    return 0 if picture.reading.verdict is Verdict.DECIDED else NEED_A_PERSON


if __name__ == "__main__":
    run_tool("read", main)
