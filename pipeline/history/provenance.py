"""What the results of a revision were made with: parameters, environment and code."""

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.evaluation.predictions import PREDICTIONS_FILE
from pipeline.history.changes import Change, changes
from pipeline.history.revisions import Revision
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.lock import LOCK_FILE, Lock, parse_lock, sources, upstream, writers
from pipeline.runtime.params import PARAMS_FILE
from pipeline.runtime.yaml import parse_yaml

ENVIRONMENT_FILE = "reports/environment.json"
METRICS_FILE = "reports/metrics.json"
LINKED = {"data", "pipeline"}  # in studies/, links to the folders of these names in the root


@dataclass(frozen=True)
class Provenance:
    """What a revision tells of its results; nothing where it lacks a file.

    Attributes:
        params: The parameters.
        environment: What training wrote down of its environment.
        lock: What DVC recorded of every stage.
        folder: Of the lock file, as seen from the project's root folder.
    """

    params: Mapping[str, Any]
    environment: Mapping[str, Any]
    lock: Lock
    folder: PurePosixPath

    def located(self, path: str) -> str:
        """Return a path of the lock as seen from the project's root folder."""
        if PurePosixPath(path).parts[0] in LINKED:
            return path
        return posixpath.normpath(self.folder / path)


def provenance(revision: Revision, lock_file: str = LOCK_FILE) -> Provenance:
    """Return what a revision tells of its results, or of those that another lock file is of.

    Raises:
        PipelineError: One of the files is not what it should be.
    """
    params, environment, lock = (
        revision.read(path) for path in (str(PARAMS_FILE), ENVIRONMENT_FILE, lock_file)
    )
    return Provenance(
        _parse(parse_yaml, params, f"{revision}: {PARAMS_FILE}"),
        parse_json(environment, f"{revision}: {ENVIRONMENT_FILE}"),
        {} if lock is None else parse_lock(lock, f"{revision}: {lock_file}"),
        PurePosixPath(lock_file).parent,
    )


def parse_json(content: bytes | None, name: str) -> Mapping[str, Any]:
    """Return keys and values of a report such as the environment; none where there is no file.

    Args:
        content: Of the file; None where there is none.
        name: What messages call it.

    Raises:
        PipelineError: It is no object of JSON.
    """
    return _parse(json.loads, content, name)


def _parse(parse: Callable[[bytes], Any], content: bytes | None, name: str) -> Mapping[str, Any]:
    if content is None:
        return {}
    try:
        found = parse(content)
    except (ValueError, RecursionError) as error:  # a wrong encoding is a ValueError
        raise PipelineError(f"{name}: {reason(error)}") from error
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise PipelineError(f"{name}: expected keys with values, found none")
    return found


def differences(base: Provenance, revision: Provenance) -> dict[str, list[Change]]:
    """Return what could explain a difference in results: the changed entries, file by file.

    Of the code they are the MD5 in ``dvc.lock``, which tells what the results were made with.
    """
    return {
        str(PARAMS_FILE): changes(base.params, revision.params),
        ENVIRONMENT_FILE: changes(base.environment, revision.environment),
        # A path is one key, whatever dots are in it.
        LOCK_FILE: changes(sources(base.lock), sources(revision.lock)),
    }


def outdated(revision: Revision, found: Provenance, result: str = PREDICTIONS_FILE) -> list[str]:
    """Return what has changed since a result of the revision was made: files and folders.

    Seen are the result itself, and the parameters and the code of the stages that lead to it;
    data are not looked into.

    Args:
        revision: Where to look.
        found: Of the revision.
        result: As the lock file has it.
    """
    last = writers(found.lock, result)
    stages = upstream(found.lock, last) | last
    lock = {name: found.lock[name] for name in found.lock if name in stages}
    recorded = sources(lock)
    changed = set()
    for stage in lock.values():
        recorded |= {path: md5 for path, md5 in stage.outs.items() if path == result}
        for file, read in stage.params.items():
            path = found.located(file)
            params = _parse(parse_yaml, revision.read(path), f"{revision}: {path}")
            if changes(read, {key: _value(params, key) for key in read}):
                changed.add(path)
    for path, md5 in recorded.items():
        place = found.located(path)
        now = revision.hash_of(place)
        if now is not None and now != md5:
            changed.add(place)
    return sorted(changed)


def _value(params: Mapping[str, Any], key: str) -> Any:
    """Return the value at a key of ``dvc.yaml``, in which dots lead downwards."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
