"""The front door: every command of this project, found by looking into its folders."""

import ast
import difflib
import os
import runpy
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
USAGE = """\
usage: python -m pipeline COMMAND [ARGUMENT ...]

Handwritten digits, reproducibly. `dvc repro` runs the pipeline; these do the rest.
"""
GROUPS = {
    "stage": "Run one stage by hand",
    "study": "Run one stage of the study, in studies/, by hand",
}


def tools() -> dict[str, Path]:
    """Return the modules of the tools by the names of their commands.

    Such a module has a function ``main``. It is called as its file is, or as its folder where the
    file is ``command.py``.
    """
    files = sorted((FOLDER / "tools").rglob("*.py"))
    found = [file for file in files if "\ndef main(" in file.read_text(encoding="utf-8")]
    names = [file.parent.name if file.stem == "command" else file.stem for file in found]
    return dict(sorted(zip(names, found, strict=True)))


def stages(folder: str) -> dict[str, Path]:
    """Return the modules that are stages, those of ``pipeline/stages`` or ``pipeline/studies``."""
    files = sorted((FOLDER / folder).glob("*.py"))
    return {file.stem: file for file in files if file.stem != "__init__"}


def main() -> None:
    """Run the command that the command line names, or list the commands."""
    commands, name, arguments = {**tools(), **dict.fromkeys(GROUPS, FOLDER)}, *_split(sys.argv[1:])
    if name in GROUPS:
        group, commands = name, stages("stages" if name == "stage" else "studies")
        name, arguments = _split(arguments)
        if group == "study":
            os.chdir(FOLDER.parent / "studies")  # a DVC project of its own
    else:
        group = ""
    if not name:
        print(_help(group, commands))
    elif name in commands:
        module = commands[name].relative_to(FOLDER.parent).with_suffix("")
        sys.argv[1:] = arguments
        runpy.run_module(".".join(module.parts), run_name="__main__", alter_sys=True)
    else:
        near = difflib.get_close_matches(name, commands, n=1)
        meant = f"Did you mean `{near[0]}`? " if near else ""
        listed = " ".join(filter(None, ("python -m pipeline", group)))
        print(f"pipeline: no command {name!r}. {meant}`{listed}` lists them.", file=sys.stderr)
        sys.exit(2)


def _split(words: list[str]) -> tuple[str, list[str]]:
    """Return a command's name, empty where help is wanted, and the words after it."""
    return ("", []) if words[:1] in ([], ["--help"], ["-h"], ["help"]) else (words[0], words[1:])


def _help(group: str, commands: Mapping[str, Path]) -> str:
    """Return the commands with a line each."""
    if group:
        usage = f"usage: python -m pipeline {group} NAME [ARGUMENT ...]\n\n{GROUPS[group]}.\n"
        lines = _listed((name, _first_line(file)) for name, file in commands.items())
    else:
        usage = USAGE
        known = {name: _first_line(file) for name, file in commands.items() if name not in GROUPS}
        lines = _listed((*known.items(), *((f"{name} NAME", GROUPS[name]) for name in GROUPS)))
    command = f"{group} NAME" if group else "COMMAND"
    return f"{usage}\n{lines}\n\n`python -m pipeline {command} --help` tells how to use it."


def _listed(entries: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"  {name:<20} {text}" for name, text in entries)


def _first_line(file: Path) -> str:
    """Return the first line of a module's docstring; importing the module might take seconds."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").rstrip(".")


if __name__ == "__main__":
    main()
