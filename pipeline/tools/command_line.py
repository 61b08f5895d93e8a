"""What turns a function into a tool: a command line, a choice of formats, clear errors."""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from pipeline.runtime.errors import PipelineError
from pipeline.tools.page import Page, as_markdown, as_text

ERROR = 2
# Windows has no SIGHUP.
STOPPING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
MOST_POINTS = 100


def tool_parser(
    name: str, description: str | None, *, formats: bool = True
) -> argparse.ArgumentParser:
    """Return a parser, with ``--format`` if wanted, to which the tool adds its own arguments."""
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if formats:
        parser.add_argument(
            "--format",
            choices=["text", "markdown", "json"],
            default="text",
            help="text for a terminal (the default), markdown for a pull request, json for scripts",
        )
    return parser


def add_margin(parser: argparse.ArgumentParser) -> None:
    """Add ``--margin``, of a comparison that is to show no loss."""
    parser.add_argument(
        "--margin",
        type=percentage_points,
        default=0.2,
        metavar="POINTS",
        help="how many percentage points of accuracy may be lost without harm (default: 0.2)",
    )


def percentage_points(text: str) -> float:
    """Return the value of an argument such as ``--margin``.

    Raises:
        ArgumentTypeError: It is not a number from 0 to 100.
    """
    try:
        points = float(text)
    except ValueError:
        points = math.nan
    if not 0 <= points <= MOST_POINTS:
        raise argparse.ArgumentTypeError(
            f"expected percentage points from 0 to 100, found {text!r}"
        )
    return abs(points)  # of -0


def show(page: Page, facts: dict[str, Any], form: str) -> None:
    """Print a result in one of the three formats.

    Args:
        page: The result for people.
        facts: The result for scripts, as JSON types.
        form: "text", "markdown" or "json".
    """
    match form:
        case "text":
            write(as_text(page))
        case "markdown":
            write(as_markdown(page))
        case _:
            write(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write(text: str) -> None:
    """Print a text whatever the locale, the pipe behind or the disk below."""
    # Arrows and minus signs go through any pipe; and `| head` may end it.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    print(text, end="", flush=True)  # here a full disk can still be told


def run_tool(name: str, tool: Callable[[], int]) -> NoReturn:
    """Run a tool and end the process with the exit status that it returns.

    A failure ends it with a message and exit status 2, one that nobody has thought of too: 1
    is a verdict. An interruption or a termination, from here on, ends it with the shell's usual
    128 + signal, after the clean-up of what was open.
    """

    def stop(number: int, _: object) -> NoReturn:
        for other in STOPPING:  # a second one is not to disturb the clean-up
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, stop)
    # Python has neither where its descriptor was closed; what is started here needs the second.
    if not sys.stderr:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.set_inheritable(2, True)  # noqa: FBT003 (it takes no keywords)
        sys.stderr = os.fdopen(2, "w")
    if not sys.stdout:
        _complain(f"{name}: standard output is closed")
        sys.exit(ERROR)
    try:
        sys.exit(tool())
    except (PipelineError, OSError) as error:
        _complain(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 (see above)
        _complain(f"{name}: unexpected {type(error).__name__}: {error}")
    # What could not be written is not to be tried again at the exit, which has a status of its own.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(ERROR)


def _complain(message: str) -> None:
    """Print a message to standard error, if anybody still listens there."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)
