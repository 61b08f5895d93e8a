"""Tools called in the tests' own process, on a project in a scratch folder.

What only a process of its own shows, such as exit codes and signals, is in test_command_line.py.
"""

import importlib
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import pytest
from conftest import ROOT, Project, own_environment

from pipeline.__main__ import FOLDER, tools
from pipeline.runtime.errors import PipelineError


@contextmanager
def in_project(project: Project, **environment: str) -> Iterator[None]:
    """Make this process's tools work on a project, with the variables of its commands."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # DVC's
        for name, value in (own_environment(project.home) | environment).items():
            patch.setenv(name, value)
        patch.chdir(project.folder)
        patch.setattr(tempfile, "tempdir", None)  # so that TMPDIR counts
        for name, module in list(sys.modules.items()):
            if name.startswith("pipeline.") and getattr(module, "PROJECT", None) == ROOT:
                patch.setattr(module, "PROJECT", project.folder)
        yield


def call(project: Project, tool: str, *arguments: str, status: int = 0, **environment: str) -> str:
    """Call a tool as its command does, expect its exit code, and return what it printed."""
    file = tools()[tool].relative_to(FOLDER.parent).with_suffix("")
    module = importlib.import_module(".".join(file.parts))
    # A file, since the commands that a tool runs write to it too.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        with (
            in_project(project, **environment),
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(output),
            redirect_stderr(output),
        ):
            patch.setattr(sys, "argv", [tool, *arguments])
            try:
                code = module.main()
            except (PipelineError, OSError) as error:
                print(f"{tool}: {error}")
                code = 2
            except SystemExit as ending:  # argparse's
                code = ending.code
        output.seek(0)
        printed = output.read()
    assert code == status, printed
    return printed
