"""A project that was never disturbed, one that was, and whether it shows."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import ROOT, Project

from pipeline.runtime.lock import read_lock

# `make faults` sets it; `make test` does a little of everything.
FULL = os.environ.get("FAULTS") == "full"
FINDINGS = ROOT / "faults.jsonl"

# How DVC refuses files that it writes in place, where it was killed or had no space as it did. Of
# a kind of hash that is cut off it says nothing but that it failed.
REFUSALS = {
    "dvc.lock": r"(?m)'(\./)?dvc\.lock' (is invalid|validation failed)\.|failed to .* '\w+': $",
    "rwlock": r"Unable to read RWLock-file '\.dvc/tmp/rwlock'",
}

Edit = Callable[[Any], object]


def set_value(section: str, key: str, value: object) -> Edit:
    return lambda params: params[section].update({key: value})


def set_epochs(epochs: int) -> Edit:
    return lambda params: params["recipes"]["original"].update(epochs=epochs)


def outputs(project: Project) -> dict[str, bytes | None]:
    """Return the content of every file that a stage writes; None where it is missing."""
    paths = [path for stage in read_lock(project.folder).values() for path in stage.outs]
    files = {path: project.folder / path for path in paths}
    return {path: file.read_bytes() if file.is_file() else None for path, file in files.items()}


def lock(project: Project) -> bytes:
    return (project.folder / "dvc.lock").read_bytes()


def assert_undisturbed(project: Project, reference: Project) -> None:
    """Hold a project against one that was never disturbed: lock, outputs, nothing left behind."""
    assert lock(project) == lock(reference)
    found, expected = outputs(project), outputs(reference)
    assert [path for path in expected if found[path] != expected[path]] == []
    assert len(expected) == 27
    left = [*project.folder.glob("*/**/*.partial.*"), *project.folder.glob("data/checkpoints/*")]
    assert left == []


def mended(project: Project, output: str) -> str:
    """Have the file brought back that ``dvc repro`` refused, as ``make repro`` does; name it."""
    refused = [name for name, refusal in REFUSALS.items() if re.search(refusal, output)]
    assert len(refused) == 1, output
    said = project.run("python", "-m", "pipeline.tools.mend")
    assert re.search(rf"^mend: .*{refused[0]}.*(brought back|removed)", said), said
    return refused[0]


def record(kind: str, **facts: Any) -> None:
    """Note what was found, for ``tests/faults/summary.py``; at full length only."""
    if FULL:
        line = json.dumps({"kind": kind} | facts) + "\n"
        # Several processes write; lines as short as this are written in one piece.
        with Path(FINDINGS).open("a", encoding="utf-8") as file:
            file.write(line)
