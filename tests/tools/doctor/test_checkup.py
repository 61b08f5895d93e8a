from pathlib import Path

from pipeline.runtime.errors import PipelineError
from pipeline.tools.doctor.checkup import (
    Finding,
    checkup_facts,
    checkup_page,
    counted,
    examined,
    good,
    note,
    problem,
    size,
    some,
    with_problem,
)
from pipeline.tools.page import Headline, as_markdown, as_text

FINDINGS = {
    "Git": good("a repository"),
    "GPU": note("there is none", "Nothing"),
    "cache": problem("damaged", "`rm x`"),
}


def test_problems_come_first_then_notes_then_what_is_good() -> None:
    assert as_text(checkup_page(FINDINGS)) == (
        "1 problem, 1 note, 1 good.\n\n"
        "Problem: cache: damaged.\nTo do: `rm x`.\n\n"
        "Note: GPU: there is none.\nTo do: Nothing.\n\n"
        "Good\n"
        "what    found\n------  ------------\nGit     a repository\n"
    )
    assert "**1 problem, 1 note, 1 good.**\n" in as_markdown(checkup_page(FINDINGS))


def test_only_problems_make_the_headline_bad() -> None:
    assert checkup_page(FINDINGS)[0] == Headline("1 problem, 1 note, 1 good.", "bad")
    noted = {"GPU": FINDINGS["GPU"]}
    assert list(checkup_page(noted))[:1] == [Headline("No problem, 1 note, 0 good.", "good")]
    assert with_problem(FINDINGS)
    assert not with_problem(noted)


def test_facts_hold_every_finding_in_its_order() -> None:
    facts = checkup_facts(FINDINGS)
    assert facts["sentence"] == "1 problem, 1 note, 1 good."
    assert [finding["name"] for finding in facts["findings"]] == ["Git", "GPU", "cache"]
    assert facts["findings"][2] == {
        "name": "cache",
        "verdict": "problem",
        "found": "damaged",
        "advice": "`rm x`",
    }


def test_check_that_needs_a_missing_package_says_which_and_how_to_get_it(tmp_path: Path) -> None:
    def check(_: Path) -> Finding:
        import not_a_package  # type: ignore[import-not-found]

        return good(str(not_a_package))

    found = examined(check, tmp_path)
    assert found is not None
    assert found.verdict == "problem"
    assert "No module named 'not_a_package'" in found.found
    assert "make setup" in found.advice


def test_check_that_fails_is_a_problem_in_one_line(tmp_path: Path) -> None:
    def check(project: Path) -> Finding:
        return good((project / "nothing").read_text())

    def refusing(_: Path) -> Finding:
        raise PipelineError("first\nsecond")

    def confused(_: Path) -> Finding:
        return good({"a": "b"}["key"])

    for failing, text in (
        (check, f"[Errno 2] No such file or directory: '{tmp_path / 'nothing'}'"),
        (refusing, "first second"),
        (confused, "KeyError: 'key'"),
    ):
        found = examined(failing, tmp_path)
        assert found is not None
        assert (found.verdict, found.found) == ("problem", f"cannot be checked: {text}")


def test_amounts_are_given_in_words() -> None:
    assert [size(number) for number in (0, 999, 1_500, 234_000_000, 70_800_000_000)] == [
        *("0 bytes", "999 bytes", "2 kB", "234 MB", "70.8 GB")
    ]
    assert (counted(1, "file"), counted(1_200, "file")) == ("1 file", "1,200 files")
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefg")) == "a, b, c, d, e and 2 more"
