"""Staleness: which stages have results that are not of what lies in a project, told without data.

In a clone that has pulled nothing, ``dvc status`` calls every stage changed, and ``dvc repro
--dry --allow-missing`` fails at the first stage that would run, and takes code and reports that
are gone for unchanged (DVC 3.67).
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.lock import LOCK_FILE, Lock, upstream, writers
from pipeline.stage import DVC_FILE, PipelineError, read_section

# What DVC says, where there are no data, of what stages read and of what they write.
ABSENT = {"changed deps": "deleted", "changed outs": "not in cache"}


@dataclass(frozen=True)
class Staleness:
    """What a run of the pipeline would have to do.

    Attributes:
        reasons: Of every stage that has to run, in the pipeline's order.
        following: Stages that run after these, if they are handed something new.
    """

    reasons: Mapping[str, Sequence[str]]
    following: Sequence[str]

    def __bool__(self) -> bool:
        """Whether anything has to run."""
        return bool(self.reasons)

    @property
    def sentence(self) -> str:
        """What has to run."""
        if not self:
            return "Up to date: the results are those of the code and the parameters here."
        then = f"; after that, if it changes what they read: {', '.join(self.following)}"
        return f"Out of date. To run: {', '.join(self.reasons)}{then if self.following else ''}."


def staleness(project: Path, lock: Lock, environment: Mapping[str, str]) -> Staleness:
    """Return what a run would have to do; data that are not there count as locked.

    Args:
        project: Its root folder.
        lock: The stages in its ``dvc.lock``; empty where there is none.
        environment: The variables of DVC's process.

    Raises:
        PipelineError: DVC cannot read the pipeline.
    """
    status = _status(project, environment)
    # DVC keeps entries of stages that are no more.
    defined = read_section("stages", project / DVC_FILE)
    reasons = {}
    for name in dict.fromkeys([*lock, *status]):
        found = (why for finding in status.get(name, []) for why in _reasons(finding, lock))
        why = [*found, *_unmatched(name, lock)] if name in lock else [f"not in {LOCK_FILE}"]
        if why and name.partition("@")[0] in defined:
            reasons[name] = list(dict.fromkeys(why))
    following = [
        name for name in lock if name not in reasons and reasons.keys() & upstream(lock, [name])
    ]
    return Staleness(reasons, following)


def _status(project: Path, environment: Mapping[str, str]) -> dict[str, list[object]]:
    """Return what ``dvc status`` finds, by stage."""
    result = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "--json", str(DVC_FILE)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        status: dict[str, list[object]] = json.loads(result.stdout)
    except ValueError as error:
        reason = " ".join(result.stderr.split()) or "no message"
        raise PipelineError(f"dvc status failed: {reason}") from error
    return status


def _reasons(finding: object, lock: Lock) -> Iterator[str]:
    """Yield what a finding of ``dvc status`` blames, but for data that are not there."""
    if not isinstance(finding, dict):
        # "changed command", or "always changed" for a stage that depends on nothing.
        yield from [] if finding == "always changed" else [str(finding)]
        return
    for kind, states in finding.items():
        for path, state in states.items():
            if isinstance(state, dict):  # of the entries in a parameter file
                yield from (f"{path}: {key} {change}" for key, change in state.items())
            # What no stage writes is code, which no clone lacks.
            elif state != ABSENT.get(kind) or not writers(lock, path):
                yield f"{path} {state}"


def _unmatched(stage: str, lock: Lock) -> list[str]:
    """Return what a stage has read, by the lock, that is not what another one wrote.

    Of data that are not there DVC cannot say so.
    """
    written = {path: md5 for entry in lock.values() for path, md5 in entry.outs.items()}
    return [
        f"{path} modified"
        for path, md5 in lock[stage].deps.items()
        if md5 != written.get(path, md5)
    ]
