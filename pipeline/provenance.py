"""What the results of a revision were made with: parameters, environment and code."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.changes import Change, changes
from pipeline.lock import LOCK_FILE, Lock, parse_lock, sources
from pipeline.predictions import PREDICTIONS_FILE
from pipeline.revisions import Revision
from pipeline.stage import PARAMS_FILE, PipelineError

ENVIRONMENT_FILE = "reports/environment.json"


def differences(base: Revision, revision: Revision) -> dict[str, list[Change]]:
    """Return what could explain a difference in results: the changed entries, file by file.

    Of the code they are the MD5 in ``dvc.lock``, which tells what the results were made with.

    Raises:
        PipelineError: One of the files is not what it should be.
    """
    readers: dict[str, Callable[[Revision], Mapping[str, Any]]] = {
        str(PARAMS_FILE): read_params,
        ENVIRONMENT_FILE: read_environment,
        LOCK_FILE: lambda one: sources(read_lock(one)),
    }
    return {name: changes(read(base), read(revision)) for name, read in readers.items()}


def outdated(revision: Revision) -> list[str]:
    """Return the files that are not those that ``dvc.lock`` says the predictions belong to.

    Raises:
        PipelineError: The parameters or the lock are not what they should be.
    """
    lock, params = read_lock(revision), read_params(revision)
    recorded = sources(lock)
    for stage in lock.values():
        recorded |= {path: md5 for path, md5 in stage.outs.items() if path == PREDICTIONS_FILE}
    found = {
        path
        for path, md5 in recorded.items()
        if hashlib.md5(revision.read(path) or b"", usedforsecurity=False).hexdigest() != md5
    }
    for stage in lock.values():
        read = stage.params.get(str(PARAMS_FILE), {})
        found |= {str(PARAMS_FILE) for section in read if params.get(section) != read[section]}
    return sorted(found)


def read_params(revision: Revision) -> Mapping[str, Any]:
    """Return a revision's parameters; none where it has no such file."""
    path = str(PARAMS_FILE)
    return _parse(YAML(typ="safe").load, revision.read(path), f"{revision}: {path}")


def read_environment(revision: Revision) -> Mapping[str, Any]:
    """Return what a revision's training recorded of its environment; nothing without a record."""
    return parse_environment(revision.read(ENVIRONMENT_FILE), f"{revision}: {ENVIRONMENT_FILE}")


def parse_environment(content: bytes | None, name: str) -> Mapping[str, Any]:
    """Return the environment in a file's content, which messages call ``name``.

    Raises:
        PipelineError: It is not what training writes.
    """
    return _parse(json.loads, content, name)


def read_lock(revision: Revision) -> Lock:
    """Return what ``dvc.lock`` records; no stages where there is no such file."""
    content = revision.read(LOCK_FILE)
    return {} if content is None else parse_lock(content, f"{revision}: {LOCK_FILE}")


def _parse(parse: Callable[[bytes], Any], content: bytes | None, name: str) -> Mapping[str, Any]:
    if content is None:
        return {}
    try:
        found = parse(content)
    except (YAMLError, ValueError) as error:  # a wrong encoding is a ValueError
        raise PipelineError(f"{name}: {' '.join(str(error).split())}") from error
    if not isinstance(found, Mapping):
        raise PipelineError(f"{name}: expected keys with values, found none")
    return found
