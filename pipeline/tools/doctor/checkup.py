"""A checkup: what the checks found of a set-up, whether that is good, and what to do."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pipeline.runtime.errors import PipelineError
from pipeline.tools.page import Headline, Page, Table

# The environment is made anew only where make does not take it for up to date.
SET_UP = (
    "`rm -f .venv/.installed && make setup`; without make, in the environment: "
    "`python -m pip install --require-hashes -r requirements.lock`"
)
STUDIES = "studies"  # a DVC project of its own
KILO = 1000


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        verdict: "problem" makes a run or the tests fail, or lets results go wrong unseen; "note"
            is worth knowing.
        found: In words.
        advice: What to do; empty where it is good.
    """

    verdict: Literal["good", "note", "problem"]
    found: str
    advice: str = ""


Check = Callable[[Path], Finding | None]


good = partial(Finding, "good")
note = partial(Finding, "note")
problem = partial(Finding, "problem")


def dvc_projects(project: Path) -> list[Path]:
    """Return the folders that are DVC projects: the pipeline's and, where it is, the studies'."""
    studies = project / STUDIES
    return [project, studies] if (studies / ".dvc").exists() else [project]


def examined(check: Check, folder: Path) -> Finding | None:
    """Return what a check finds in a folder, if it applies; a check that fails is a finding too."""
    try:
        return check(folder)
    except ModuleNotFoundError as error:
        return problem(f"cannot be checked: {error}", SET_UP)
    except Exception as error:  # noqa: BLE001 (one failure must not hide what the others find)
        kind = "" if isinstance(error, PipelineError | OSError) else f"{type(error).__name__}: "
        return problem(
            f"cannot be checked: {kind}{' '.join(str(error).split())}",
            "Correct what the message names, then run the doctor again",
        )


def with_problem(findings: Mapping[str, Finding]) -> bool:
    """Return whether any of the findings is a problem."""
    return any(finding.verdict == "problem" for finding in findings.values())


def checkup_page(findings: Mapping[str, Finding]) -> Page:
    """Return the findings for people, problems first."""
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


def shown(path: Path, folder: Path) -> str:
    """Return a path as seen from a folder, if it is in there."""
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)
