"""The front door: every command of this project, found by looking into its folders."""

import ast
import difflib
import os
import runpy
import signal
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
STAGES = {"stage": FOLDER / "stages", "study": FOLDER / "studies"}
HELP = {"--help", "-h", "help"}
LIST = """\
usage: python -m pipeline COMMAND [ARGUMENT ...]

Handwritten digits, reproducibly. `dvc repro` runs the pipeline; these do the rest.

{}
  stage NAME           Run one stage of the pipeline by hand
  study NAME           Run one stage of the study by hand, in studies/, or its search

`python -m pipeline COMMAND --help` tells how to use it."""
LIST_OF_STAGES = """\
usage: python -m pipeline {group} NAME [ARGUMENT ...]

{lines}

`python -m pipeline {group} NAME --help` tells how to use it."""


def tools() -> dict[str, Path]:
    """Return the modules of the tools by the names of their commands.

    Such a module has a function ``main``. The command has the name of its file, or of its folder
    where the file is ``command.py``.
    """
    files = sorted((FOLDER / "tools").rglob("*.py"))
    found = [file for file in files if "\ndef main(" in file.read_text(encoding="utf-8")]
    names = [file.parent.name if file.stem == "command" else file.stem for file in found]
    return dict(sorted(zip(names, found, strict=True)))


def stages(folder: Path) -> dict[str, Path]:
    """Return the modules in a folder of stages by their names."""
    return {file.stem: file for file in sorted(folder.glob("*.py")) if file.stem != "__init__"}


def main() -> None:
    """Run the command that the command line names, or list the commands."""
    words = sys.argv[1:] or ["--help"]
    group = words.pop(0) if words[0] in STAGES else ""
    commands = stages(STAGES[group]) if group else tools()
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    name, *arguments = words or ["--help"]
    if name in HELP:
        firsts = {one: _docstring(file).partition("\n")[0] for one, file in commands.items()}
        lines = "\n".join(f"  {one:<20} {first.rstrip('.')}" for one, first in firsts.items())
        print(LIST_OF_STAGES.format(group=group, lines=lines) if group else LIST.format(lines))
        return
    if name not in commands:
        known = {one: f"{group} {one}".strip() for one in [*commands, *([] if group else STAGES)]}
        for kind in [] if group else STAGES:
            known = {one: f"{kind} {one}" for one in stages(STAGES[kind])} | known
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean `{known[near[0]]}`? " if near else ""
        listed = f"python -m pipeline {group}".rstrip()
        print(f"pipeline: no command {name!r}. {meant}`{listed}` lists them.", file=sys.stderr)
        sys.exit(2)
    if group == "study":
        os.chdir(FOLDER.parent / "studies")  # a DVC project of its own
    if group == "stage":  # it has no arguments; help need not wait for Keras, which takes seconds
        from pipeline.runtime.command import stage_parser

        stage_parser(name, group, _docstring(commands[name])).parse_args(arguments)
    sys.argv[1:] = arguments
    module = commands[name].relative_to(FOLDER.parent).with_suffix("")
    runpy.run_module(".".join(module.parts), run_name="__main__", alter_sys=True)


def _docstring(file: Path) -> str:
    """Return the docstring of a module without importing it: that takes seconds."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


if __name__ == "__main__":
    if not __package__:
        sys.exit("pipeline: run it in the project's folder, as `python -m pipeline`")
    try:
        main()
    except KeyboardInterrupt:  # while modules are imported; then each command has its own way
        sys.exit(128 + signal.SIGINT)
