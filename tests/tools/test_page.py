import xml.etree.ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from pipeline.tools.page import Headline, Page, Table, as_markdown, as_text

PAGE: Page = [
    Headline("All is well.", "good"),
    "A paragraph.",
    Table("Counts", ["name", "count"], [["a|b", "1"], ["c", "1,000"]], numeric=[1]),
]


def test_text_is_aligned() -> None:
    assert as_text(PAGE) == (
        "All is well.\n"
        "\n"
        "A paragraph.\n"
        "\n"
        "Counts\n"
        "name      count\n"
        "------  -------\n"
        "a|b           1\n"
        "c         1,000\n"
    )


def test_markdown_is_github_s() -> None:
    assert as_markdown(PAGE) == (
        "**All is well.**\n"
        "\n"
        "A paragraph.\n"
        "\n"
        "#### Counts\n"
        "\n"
        "| name   |   count |\n"
        "|:-------|--------:|\n"
        "| a\\|b   |       1 |\n"
        "| c      |   1,000 |\n"
    )


@pytest.mark.parametrize(
    "name",
    [
        *("a|b", "<b>bold</b>", "*a*", "**", "_a_", "__x", "`k`", "$x^2$", "~~gone~~", "&amp;"),
        *("[a](https://b.example)", "\\|", "val_loss", "recipes.a_b.c", "[1, 2]", "😀 smile"),
    ],
)
def test_any_name_means_itself_in_a_table_of_markdown(name: str) -> None:
    page = [Table("Counts", ["class", name], [[name, "1"], ["c", "2"]])]
    html = MarkdownIt("gfm-like", {"linkify": False}).render(as_markdown(page))
    table = ET.fromstring(html.partition("</h4>")[2])
    assert [[cell.text for cell in row] for row in table.iter("tr")] == [
        ["class", name],
        [name, "1"],
        ["c", "2"],
    ]


def test_text_has_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    assert "\033" not in as_text(PAGE)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert as_text(PAGE).startswith("\033[1;32mAll is well.\033[0m\n")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in as_text(PAGE)
