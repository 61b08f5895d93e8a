"""A page of paragraphs and tables, as text for a terminal or as Markdown."""

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

from tabulate import tabulate

from pipeline.evaluation.wording import in_markdown

COLOURS = {"good": "32", "bad": "31", "neutral": "33"}  # green, red and yellow of a terminal


class Headline(NamedTuple):
    """The sentence that the page begins with.

    Attributes:
        text: A sentence or two.
        mood: "good", "bad" or "neutral", which chooses its colour.
    """

    text: str
    mood: str


class Table(NamedTuple):
    """A table under a title.

    Attributes:
        title: What it shows.
        header: Names of the columns.
        rows: A text for each column; numbers are formatted already.
        numeric: Columns of numbers, from 0, which are aligned right.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()


Page = Sequence[str | Headline | Table]


def as_text(page: Page) -> str:
    """Return a page for a terminal, in colour where standard output is one."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    blocks = []
    for block in page:
        if isinstance(block, Headline):
            start, end = (f"\033[1;{COLOURS[block.mood]}m", "\033[0m") if colour else ("", "")
            blocks.append(f"{start}{block.text}{end}")
        elif isinstance(block, Table):
            blocks.append(f"{block.title}\n{_tabulate(block, block.rows, 'simple')}")
        else:
            blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def as_markdown(page: Page) -> str:
    """Return a page for a pull request."""
    blocks = []
    for block in page:
        if isinstance(block, Headline):
            blocks.append(f"**{block.text}**")
        elif isinstance(block, Table):
            rows = [[in_markdown(cell) for cell in row] for row in block.rows]
            table = block._replace(header=[in_markdown(cell) for cell in block.header])
            blocks.append(f"#### {block.title}\n\n{_tabulate(table, rows, 'pipe')}")
        else:
            blocks.append(block)
    return "\n\n".join(blocks) + "\n"


def _tabulate(table: Table, rows: Sequence[Sequence[str]], form: str) -> str:
    columns = range(len(table.header))
    return tabulate(
        rows,
        table.header,
        tablefmt=form,
        colalign=["right" if column in table.numeric else "left" for column in columns],
        disable_numparse=True,
    )
