"""A project that was never disturbed, one that was, and whether it shows."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project

from pipeline.history.lineage import read_lock
from pipeline.runtime.inputs import files_of

# `make faults` sets it; the slow tests of `make test-all` do a little of everything.
FULL = os.environ.get("FAULTS") == "full"
FINDINGS = ROOT / "faults.jsonl"

# How DVC refuses files that it writes in place, where it was killed or had no space as it did. Of
# a kind of hash that is cut off it says nothing but that it failed.
REFUSALS = {
    "dvc.lock": r"(?m)'(\./)?dvc\.lock' (is invalid|validation failed)\.|failed to .* '\w+': $",
    "rwlock": r"Unable to read RWLock-file '\.dvc/tmp/rwlock'",
    "a run": r"not 'NoneType'",
}
MAKE = ("make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.installed")

Edit = Callable[[Any], object]


def set_value(section: str, key: str, value: object) -> Edit:
    return lambda params: params[section].update({key: value})


def set_epochs(epochs: int) -> Edit:
    return lambda params: params["recipes"]["original"].update(epochs=epochs)


def outputs(project: Project) -> dict[str, bytes]:
    """Return the content of every file that stages have written, by its path."""
    outs = [path for stage in read_lock(project.folder).values() for path in stage.outs]
    return {
        file.relative_to(project.folder).as_posix(): file.read_bytes()
        for path in outs
        for file in files_of(project.folder / path, project.folder)
    }


def lock(project: Project) -> bytes:
    return (project.folder / "dvc.lock").read_bytes()


def assert_undisturbed(project: Project, reference: Project) -> None:
    """Compare a project with one that was never disturbed: lock, outputs, nothing left behind."""
    assert lock(project) == lock(reference)
    found, expected = outputs(project), outputs(reference)
    assert found.keys() == expected.keys()
    assert [path for path in expected if found[path] != expected[path]] == []
    left = [*project.folder.glob("*/**/*.partial.*"), *project.folder.glob("data/checkpoints/*")]
    assert left == []


def make_repro(project: Project, refusal: str) -> tuple[str, str]:
    """Run ``make repro`` after ``dvc repro`` has refused a file of its own.

    Returns:
        What it printed, and which file it had refused.
    """
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have repaired what a kill has left")
    refused = [name for name, pattern in REFUSALS.items() if re.search(pattern, refusal)]
    assert len(refused) == 1, refusal
    said = project.run(*MAKE, "repro")
    assert re.search(rf"^doctor: .*{refused[0]}.*(Git|set aside|removed)", said, re.MULTILINE), said
    return said, refused[0]


def record(kind: str, **facts: Any) -> None:
    """Add a finding for ``tests/faults/summary.py``; at full length only."""
    if FULL:
        line = json.dumps({"kind": kind} | facts) + "\n"
        # Several processes write; lines as short as this are written in one piece.
        with Path(FINDINGS).open("a", encoding="utf-8") as file:
            file.write(line)
