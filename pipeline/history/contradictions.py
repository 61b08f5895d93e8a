"""What does not hold together in a lock file: results of such a revision cannot be judged."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from pipeline.history.provenance import Provenance, hash_at, located, parse_mapping
from pipeline.history.revisions import Revision
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import Lock, LockedStage, disagreements, flat, upstream, writers
from pipeline.runtime.params import DVC_FILE
from pipeline.runtime.yaml import parse_yaml


def contradictions(found: Provenance, result: str | None = None) -> list[str]:
    """Return what does not hold together in a lock file, or between it and the other files.

    DVC records every stage by itself. So after ``dvc repro --single-item``, an edited report, or
    a merge, the lock file can list a stage that ran with other inputs than there are now.

    Args:
        found: The lock file, with its revision.
        result: The output, as the lock file has it, to which the stages looked at lead; by
            default all stages are looked at.

    Raises:
        PipelineError: The revision's ``dvc.yaml`` is malformed.
    """
    return list(dict.fromkeys(_contradictions(found, result)))


def refuse_contradictions(found: Provenance, result: str | None = None) -> None:
    """Refuse a revision with results that do not hold together, as ``contradictions`` finds them.

    Raises:
        PipelineError: They do not; it says what to run. Or ``dvc.yaml`` is malformed.
    """
    if problems := contradictions(found, result):
        where = "there" if found.revision.commit else "here"
        folder = "" if found.folder == PurePosixPath() else f" in {found.folder}/"
        raise PipelineError(
            f"{found.revision}: no verdict, since the results do not hold together: "
            f"{'; '.join(problems)}. `dvc repro`{folder} {where} brings up to date what is not "
            "frozen"
        )


def _contradictions(found: Provenance, result: str | None) -> Iterator[str]:
    place = located(str(DVC_FILE), found.folder)
    pipeline, outs = _pipeline(found.revision, place)
    wanted = set(pipeline)
    if result is not None:
        last = writers(pipeline, result)
        wanted = upstream(pipeline, last) | last
    if not wanted:
        yield f"{place} has no stage that writes {result or 'anything'}"
    known = {run: stage for run in found.lock if (stage := run.split("@")[0]) in wanted}
    yield from (
        f"stage {stage!r} is not in the lock file" for stage in sorted(wanted - {*known.values()})
    )
    read = disagreements({run: found.lock[run] for run in known})
    for run, stage in known.items():
        locked, listed = found.lock[run], pipeline[stage]
        # Those of a matrix have names with parts that only DVC knows.
        if run == stage and locked.outs.keys() != listed.outs.keys():
            yield f"stage {run!r} has written other files than {place} lists"
        if run == stage and locked.deps.keys() != listed.deps.keys():
            yield f"stage {run!r} has read other files than {place} lists"
        for path in read.get(run, []):
            yield f"stage {run!r} has read another {path} than there is"
    yield from different_params({run: found.lock[run] for run in known})
    in_git = {path for stage in wanted for path, is_cached in outs[stage].items() if not is_cached}
    written = {
        located(path, found.folder): md5
        for run in known
        for path, md5 in found.lock[run].outs.items()
        if path in in_git
    }
    files = found.revision.files(written)
    for path, md5 in sorted(written.items()):
        if (there := hash_at(path, files)) != md5:
            yield f"{path} is {'not what its stage wrote' if there else 'missing'}"


def different_params(lock: Lock) -> Iterator[str]:
    """Yield which stages have run with different values of the same parameter, the first of all."""
    seen: dict[str, tuple[str, Any]] = {}
    for run, stage in lock.items():
        for file, values in stage.params.items():
            for key, value in flat(values):
                place = f"{file}.{key}"
                first, expected = seen.setdefault(place, (run, value))
                # A section in place of a value, as of a recipe without distortion, differs too.
                others = [seen[other][0] for other in seen if _is_above(other, place)]
                for other in [*others, *([first] if value != expected else [])]:
                    yield f"stages {other!r} and {run!r} have run with different values of {key}"


def _is_above(one: str, other: str) -> bool:
    """Return whether one of two keys is a section that holds the other."""
    return one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _pipeline(revision: Revision, place: str) -> tuple[Lock, dict[str, dict[str, Any]]]:
    """Return the stages of a ``dvc.yaml`` as a lock file without hashes, and their outputs.

    The outputs are paths, each with whether DVC's cache has it.
    """
    name = f"{revision}: {place}"
    stages = parse_mapping(parse_yaml, revision.read(place), name).get("stages") or {}
    try:
        outs = {stage: listed(about, "outs", "metrics", "plots") for stage, about in stages.items()}
        pipeline = {
            stage: LockedStage(
                deps=dict.fromkeys(about.get("deps") or [], ""),
                params={},
                outs=dict.fromkeys(outs[stage], ""),
            )
            for stage, about in stages.items()
        }
    except (AttributeError, TypeError) as error:
        raise PipelineError(f"{name}: a stage is malformed") from error
    return pipeline, outs


def listed(stage: Mapping[str, Any], *kinds: str) -> dict[str, Any]:
    """Return the outputs of these kinds that a part of ``dvc.yaml`` lists.

    Each is a path, with whether DVC's cache has it.
    """
    entries = [entry for kind in kinds for entry in stage.get(kind) or []]
    return {
        path: about.get("cache", True)
        for entry in entries
        for path, about in (entry.items() if isinstance(entry, dict) else [(entry, {})])
    }
