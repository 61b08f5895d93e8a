"""The command line that all tools share: arguments, output formats, exit codes."""

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
BROKEN_PIPE = 128 + 13  # as if SIGPIPE had ended the process
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
            help="text for a terminal, markdown for a pull request, json for scripts "
            "(default: text)",
        )
    return parser


def add_margin(
    parser: argparse.ArgumentParser,
    points: float = 0.2,
    meaning: str = "how many percentage points of accuracy may be lost without harm",
) -> None:
    """Add ``--margin``, a number of percentage points of accuracy, with its default."""
    parser.add_argument(
        "--margin",
        type=_percentage_points,
        default=points,
        metavar="POINTS",
        help=f"{meaning} (default: {points:g})",
    )


def _percentage_points(text: str) -> float:
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
            print(as_text(page), end="")
        case "markdown":
            print(as_markdown(page), end="")
        case _:
            print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))


def run_tool(name: str, tool: Callable[[], int]) -> NoReturn:
    """Run a tool and end the process with the exit code that it returns.

    Errors end it with a message and exit code 2, also those that are a fault of the tool's: 1 is
    a verdict. Ctrl-C and other requests to stop end it with exit code 128 + signal, after
    temporary files are removed.
    """

    def stop(number: int, _: object) -> NoReturn:
        for other in STOPPING:  # pressing Ctrl-C again does not stop the removal
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(number, stop)
    if sys.stdout is None:
        print(f"{name}: standard output is closed", file=sys.stderr)
        sys.exit(ERROR)
    code = ERROR
    try:
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # whatever the locale
        result = tool()
        sys.stdout.flush()
        sys.exit(result)
    except BrokenPipeError:  # `| head` has read enough
        code = BROKEN_PIPE
    except (PipelineError, OSError) as error:
        _complain(f"{name}: {error}")
    except Exception as error:  # noqa: BLE001 (Python would exit with 1)
        _complain(f"{name}: unexpected {type(error).__name__}: {error}")
    # At its exit Python writes what it could not write before, and exits with 120 if it fails.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _complain(message: str) -> None:
    """Print a message to standard error, if anybody reads it; no name in it commands a terminal."""
    shown = (one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in message)
    with suppress(OSError):
        print("".join(shown), file=sys.stderr, flush=True)
