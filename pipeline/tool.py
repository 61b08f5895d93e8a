"""What turns a function into a tool: a command line, a choice of formats, clear errors."""

import argparse
import json
import math
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from pipeline.page import Page, as_markdown, as_text
from pipeline.stage import PipelineError

ERROR = 2
MOST_POINTS = 100


def tool_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows ``--format``, to which the tool adds its own arguments."""
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.tools.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--format",
        choices=["text", "markdown", "json"],
        default="text",
        help="text for a terminal (the default), markdown for a pull request, json for scripts",
    )
    return parser


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
    return points


def show(page: Page, facts: dict[str, Any], form: str) -> None:
    """Print a result in one of the three formats.

    Args:
        page: The result for people.
        facts: The result for scripts, as JSON types.
        form: "text", "markdown" or "json".
    """
    # Arrows and minus signs go through any pipe, whatever the locale; and `| head` may end it.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    match form:
        case "text":
            print(as_text(page), end="")
        case "markdown":
            print(as_markdown(page), end="")
        case _:
            print(json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False))


def run_tool(name: str, tool: Callable[[], int]) -> NoReturn:
    """Run a tool and end the process with the exit status that it returns.

    Whatever the user can mend ends it with a message and exit status 2; an interruption or a
    termination with the shell's usual 128 + signal, after the clean-up of what was open.
    """
    for number in (getattr(signal, "SIGHUP", signal.SIGTERM), signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, lambda got, _: sys.exit(128 + got))
    try:
        sys.exit(tool())
    except (PipelineError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(ERROR)
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
