"""How a tool ends: its exit code and messages, seen from outside of its process."""

import argparse
import os
import signal
import sys

import pytest
from conftest import ROOT, finish, start

from pipeline.tools.command_line import add_margin

# The tool's body follows, indented.
SCRIPT = """
import contextlib, errno, time
from pipeline.runtime.errors import PipelineError
from pipeline.tools.command_line import run_tool

def tool():
    {body}

run_tool("tool", tool)
"""
COMMAND = [sys.executable, "-c"]
OTHERS = (signal.SIGTERM, signal.SIGHUP)
CLEAN_UP = """
    with contextlib.ExitStack() as stack:
        stack.callback(print, "removed", flush=True)
        stack.callback(time.sleep, 0.5)
        print("working", flush=True)
        time.sleep(3600)
"""


def run(body: str, status: int, redirection: str = "") -> str:
    """Run a tool, expect its exit code, and return what it printed."""
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, SCRIPT.format(body=body)]
    return finish(start(command, ROOT, os.environ), status)


@pytest.mark.parametrize(
    ("body", "status", "printed"),
    [
        ("print('→'); return 0", 0, "→\n"),
        ("print('worse'); return 1", 1, "worse\n"),
        ("raise PipelineError('no such revision')", 2, "tool: no such revision\n"),
        ("open('nowhere')", 2, "tool: [Errno 2] No such file or directory: 'nowhere'\n"),
        # Python would exit with 1, which is a verdict.
        ("return 1 // 0", 2, "tool: unexpected ZeroDivisionError: integer division"),
    ],
)
def test_exit_code_and_message_say_how_the_tool_ended(body: str, status: int, printed: str) -> None:
    output = run(body, status)
    assert output.startswith(printed)
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        (">&-", 2, "tool: standard output is closed\n"),
        ("> /dev/full", 2, "tool: [Errno 28] No space left on device\n"),
        ("> /dev/full 2>&1", 2, ""),
    ],
)
def test_output_that_cannot_be_written_is_an_error(
    redirection: str, status: int, message: str
) -> None:
    output = run("print('found'); return 0", status, redirection)
    assert output.startswith(message)
    assert output.count("\n") == bool(message)


def test_reader_that_has_read_enough_is_no_error() -> None:
    process = start(
        [*COMMAND, SCRIPT.format(body="print('x' * 100_000); return 0")], ROOT, os.environ
    )
    assert process.stdout
    process.stdout.close()
    assert process.wait() == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(one, marks=pytest.mark.slow) for one in OTHERS)],
)
def test_stopped_tool_removes_its_files_however_impatient_the_user(number: signal.Signals) -> None:
    process = start([*COMMAND, SCRIPT.format(body=CLEAN_UP)], ROOT, os.environ)
    assert process.stdout
    assert process.stdout.readline() == "working\n"
    process.send_signal(number)
    process.send_signal(number)
    assert finish(process, 128 + number) == "removed\n"


def test_signal_that_is_ignored_stays_ignored() -> None:
    """As nohup does it."""
    body = "import os, signal; os.kill(os.getpid(), signal.SIGHUP); return 0"
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, SCRIPT.format(body=body)]
    assert finish(start(command, ROOT, os.environ), 0) == ""


@pytest.mark.parametrize("text", ["wide", "nan", "-1", "101"])
def test_margin_is_a_number_of_percentage_points(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_margin(parser)
    assert parser.parse_args([]).margin == 0.2
    assert str(parser.parse_args(["--margin=-0"]).margin) == "0.0"
    with pytest.raises(SystemExit):
        parser.parse_args([f"--margin={text}"])
    assert f"percentage points from 0 to 100, found {text!r}" in capsys.readouterr().err
