"""Which stages to run, and in which order `dvc repro` would run them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

from pipeline.runtime.errors import PipelineError, reason


@dataclass(frozen=True)
class Plan:
    """The stages of a run.

    Attributes:
        repo: DVC's view of the project.
        stages: DVC's stages, in the order of ``dvc repro``.
        upstream: Those that have to be done before, by stage.
    """

    repo: Any
    stages: Sequence[Any]
    upstream: dict[Any, list[Any]]

    def downstream(self, stage: Any) -> list[Any]:
        """Return the stages that cannot run without one, in order."""
        found: list[Any] = []
        for other in self.stages:
            if any(before == stage or before in found for before in self.upstream[other]):
                found.append(other)
        return found


def make_plan(repo: Repo, targets: Iterable[str]) -> Plan:
    """Return what `dvc repro` does with these targets; without any, with the whole ``dvc.yaml``.

    Raises:
        PipelineError: There is no such target, or a stage that only `dvc repro` can run.
    """
    try:
        graph = get_active_graph(repo.index.graph)
        stages = plan_repro(graph, collect_stages(repo, list(targets) or ["dvc.yaml"]))
    except DvcException as error:
        raise PipelineError(reason(error)) from error
    problems = [
        f"{stage.addressing}: {problem}" for stage in stages for problem in _problems(stage)
    ]
    if problems:
        raise PipelineError(
            "\n".join([*problems, "Nothing ran: `dvc repro` can run this pipeline"])
        )
    inside = set(stages)
    upstream = {
        stage: [one for one in graph.successors(stage) if one in inside] for stage in stages
    }
    return Plan(repo, stages, upstream)


def _problems(stage: Any) -> Iterator[str]:
    """Yield why a stage cannot run in a folder of its own, with what it declares."""
    if not stage.cmd:
        if stage.deps and not stage.frozen and stage.changed():
            yield "an import that is out of date; `dvc update` brings it up to date"
        return
    for kind, entries in {"reads": stage.deps, "writes": stage.outs}.items():
        for entry in entries:
            if entry.protocol != "local":
                yield f"it {kind} {entry}, which is on no local disk"
            elif Path(entry.def_path).is_absolute():
                yield f"it {kind} {entry} by an absolute path"
