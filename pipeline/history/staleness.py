"""Find the stages that are out of date, also in a clone that has pulled no data.

DVC's commands cannot (3.67): in such a clone ``dvc status`` calls every stage changed, and
``dvc repro --dry --allow-missing`` fails at the first stage that would run, and takes code and
reports that are gone for unchanged. So this asks DVC's own objects.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import plan_repro

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LOCK_FILE
from pipeline.runtime.params import DVC_FILE


@dataclass(frozen=True)
class Staleness:
    """Which stages ``dvc repro`` would run if all data were here.

    Attributes:
        stages: All stages of the pipeline.
        reasons: Why, of every stage that has to run.
        following: Stages that run after these, if their inputs change.
        frozen: Stages that it never runs, since ``dvc.yaml`` says so.
    """

    stages: Sequence[str]
    reasons: Mapping[str, Sequence[str]]
    following: Sequence[str]
    frozen: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Whether anything has to run."""
        return bool(self.reasons)

    @property
    def sentence(self) -> str:
        """Which stages have to run, as a sentence."""
        if not self and self.frozen:
            return f"Nothing has to run. Not looked at, since frozen: {', '.join(self.frozen)}."
        if not self:
            return "Up to date: the pipeline's results are those of its code and its parameters."
        then = f"; after that, if it changes what they read: {', '.join(self.following)}"
        return f"Out of date. To run: {', '.join(self.reasons)}{then if self.following else ''}."


def staleness(project: Path, environment: Mapping[str, str]) -> Staleness:
    """Return which stages are out of date; missing data count as the lock file has them.

    Stages that always run are left out; frozen ones are named.

    Args:
        project: Its root folder, in which the pipeline is ``dvc.yaml``.
        environment: The variables for DVC.

    Raises:
        PipelineError: DVC cannot read the pipeline.
    """
    try:
        with _variables(environment), Repo(str(project)) as repo, repo.lock:
            stages = [
                stage
                for stage in repo.index.stages
                if Path(stage.path) == Path(repo.root_dir, DVC_FILE)
            ]
            if not stages:
                raise PipelineError(f"{DVC_FILE}: expected a pipeline there, found no stage")
            looked_at = [stage for stage in stages if not stage.frozen]
            found = {stage: list(_reasons(stage, repo)) for stage in looked_at}
            stale = [stage for stage in looked_at if found[stage]]
            reached = plan_repro(repo.index.graph, stale, downstream=True) if stale else []
            return Staleness(
                stages=[stage.name for stage in stages],
                reasons={stage.name: found[stage] for stage in stale},
                following=[
                    stage.name for stage in looked_at if stage in reached and stage not in stale
                ],
                frozen=[stage.name for stage in stages if stage.frozen],
            )
    except DvcException as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""  # the place in a file, if any
        raise PipelineError(f"dvc: {' '.join(f'{error}{cause}'.split())}") from error


@contextmanager
def _variables(environment: Mapping[str, str]) -> Iterator[None]:
    """Replace the variables of this process for a while."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _reasons(stage: Any, repo: Repo) -> Iterator[str]:
    """Yield what has changed since a stage ran."""
    if not any(entry.hash_info for entry in [*stage.deps, *stage.outs]):
        yield f"not in {LOCK_FILE}"
        return
    if stage.changed_stage():
        yield "changed command"
    for entry in [*stage.deps, *stage.outs]:
        path = Path(os.path.relpath(entry.fs_path, repo.root_dir)).as_posix()
        for state in _states(entry.status):
            if isinstance(state, dict):  # of the entries in a parameter file
                yield from (f"{path}: {key} {change}" for key, change in state.items())
            elif change := _change(entry, state, repo):
                yield f"{path} {change}"


def _states(status: Callable[[], Mapping[str, Any]]) -> list[Any]:
    try:
        return list(status().values())
    except FileNotFoundError:  # in a folder, a link into a cache that is gone
        return ["deleted"]


def _change(entry: Any, state: str, repo: Repo) -> str:
    """Return what has changed in a file or folder of a stage; empty, if nothing has.

    If it is absent, the hash that the stage has read is compared with the one that another stage
    wrote.

    Args:
        entry: A dependency or an output.
        state: What DVC says of it.
        repo: The project.
    """
    if state == "not in cache" and entry.exists:  # so DVC has not looked at it
        state = next(iter(_states(entry.workspace_status)), "")
    if state not in {"deleted", "not in cache"}:
        return state
    if not entry.hash_info:
        return "new"
    writers = [out for out in repo.index.outs if _overlap(out, entry)]
    if not any(out.use_cache for out in writers):
        return state  # code, or a report that is in Git
    # A writer without a hash has never run: it is stale, and this stage follows it.
    written = [out.hash_info for out in writers if out.fs_path == entry.fs_path and out.hash_info]
    return "" if all(md5 == entry.hash_info for md5 in written) else "modified"


def _overlap(one: Any, other: Any) -> bool:
    """Return whether two files are the same, or one is a folder with the other in it."""
    return any(a.fs.isin_or_eq(a.fs_path, b.fs_path) for a, b in ((one, other), (other, one)))
