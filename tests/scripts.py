"""Pipelines of small scripts, for tools that have nothing to do with training."""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import Project, copy_project
from markdown_it import MarkdownIt


def scripts_project(folder: Path, parts: Mapping[str, str]) -> Project:
    """Return a copy of the project in which these files are the pipeline, run and committed."""
    project = copy_project(folder / "project", folder / "home")
    for name, content in parts.items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(content)
    project.run("dvc", "repro")
    project.commit("Results")
    # One file in place of hundreds, since each test copies it.
    project.run("git", "repack", "-adq")
    return project


def replace(project: Project, name: str, pattern: str, new: str) -> None:
    r"""Put a text in place of what a pattern finds in a file; ``\Z`` is its end."""
    path = project.folder / name
    text, count = re.subn(pattern, lambda _: new, path.read_text(), flags=re.MULTILINE)
    assert count == 1
    path.write_text(text)


def files_of(project: Project) -> set[str]:
    """Return all files of a project and its repository with what they hold.

    Left out is what Python and DVC may write as they look.
    """
    return {
        f"{path} {hashlib.md5(path.read_bytes()).hexdigest()}"
        for path in project.folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.is_relative_to(project.folder / ".dvc/tmp")
    }


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """Return the tables that a reader of the Markdown sees: rows of cells by title."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for number, token in enumerate(tokens):
        content = tokens[min(number + 1, len(tokens) - 1)].content
        if token.type == "heading_open":
            title = content
        elif token.type == "table_open":
            assert title not in found
            found[title] = []
        elif token.type == "tr_open":
            found[title].append([])
        elif token.type in {"th_open", "td_open"}:
            found[title][-1].append(content)
    for title, rows in found.items():
        assert {len(row) for row in rows} == {len(rows[0])}, title
    # A broken table would be a paragraph.
    assert not [token for token in tokens if token.type == "inline" and "|:--" in token.content]
    return found


def without_privileges() -> list[str]:
    """Return the beginning of a command that meets what must not be read or written, as root, too.

    Root may do everything, unless a capability is taken from it.
    """
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv where root runs it; would have shown files without rights")
    taken = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}"]
