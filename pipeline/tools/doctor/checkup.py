"""A checkup: what was found of a set-up, whether that is good, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.runtime.errors import PipelineError
from pipeline.tools.page import Headline, Page, Table

# The environment is built anew only where make does not take it for up to date.
SET_UP = (
    "`rm -f .venv/.installed && make setup`; without make, in the environment: "
    "`python -m pip install --require-hashes -r requirements.lock`"
)
LOCK_FILES = (Path("dvc.lock"), Path("studies/dvc.lock"))
KILO = 1000


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        verdict: "problem" is what makes a run or the tests fail, or results that cannot be
            trusted; "note" is what is worth knowing.
        found: In words.
        advice: What to do; empty where it is good.
    """

    verdict: Literal["good", "note", "problem"]
    found: str
    advice: str = ""


Check = Callable[[Path], Finding | None]


def good(found: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding("good", found)


def note(found: str, advice: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding("note", found, advice)


def problem(found: str, advice: str) -> Finding:
    """Return a finding that something will fail of, or go wrong unseen."""
    return Finding("problem", found, advice)


def examined(check: Check, project: Path) -> Finding | None:
    """Return what a check finds of a project, if it applies; its own failure is a finding too."""
    try:
        return check(project)
    except ModuleNotFoundError as error:
        return problem(f"not to be checked: {error}", SET_UP)
    except Exception as error:  # noqa: BLE001 (one failure is not to hide what the others find)
        kind = "" if isinstance(error, PipelineError | OSError) else f"{type(error).__name__}: "
        return problem(
            f"not to be checked: {kind}{' '.join(str(error).split())}",
            "Mend what the message names, then look again",
        )


def with_problem(findings: Mapping[str, Finding]) -> bool:
    """Return whether any of the findings is a problem."""
    return any(finding.verdict == "problem" for finding in findings.values())


def checkup_page(findings: Mapping[str, Finding]) -> Page:
    """Return the findings for people: what asks for something comes first."""
    asking = [
        f"{finding.verdict.capitalize()}: {name}: {finding.found}.\nTo do: {finding.advice}."
        for verdict in ("problem", "note")
        for name, finding in findings.items()
        if finding.verdict == verdict
    ]
    rows = [
        [name, finding.found] for name, finding in findings.items() if finding.verdict == "good"
    ]
    table = [Table("Good", ["what", "found"], rows)] if rows else []
    mood = "bad" if with_problem(findings) else "good"
    return [Headline(_sentence(findings), mood), *asking, *table]


def checkup_facts(findings: Mapping[str, Finding]) -> dict[str, Any]:
    """Return the findings for scripts."""
    return {
        "sentence": _sentence(findings),
        "findings": [{"name": name, **finding._asdict()} for name, finding in findings.items()],
    }


def _sentence(findings: Mapping[str, Finding]) -> str:
    verdicts = [finding.verdict for finding in findings.values()]
    problems, notes = verdicts.count("problem"), verdicts.count("note")
    return (
        f"{counted(problems, 'problem') if problems else 'No problem'}, "
        f"{counted(notes, 'note')}, {verdicts.count('good')} good."
    )


def counted(number: int, noun: str) -> str:
    """Return a number with what it counts, such as "2 files"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """Return a number of bytes in words, such as "3.0 GB"."""
    for unit in ("bytes", "kB", "MB"):
        if number < KILO:
            return f"{number:.0f} {unit}"
        number /= KILO
    return f"{number:.1f} GB"


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
