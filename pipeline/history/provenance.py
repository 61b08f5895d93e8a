"""What the results of a revision were made with: parameters, environment and code."""

import json
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.evaluation.predictions import PREDICTIONS_FILE
from pipeline.history.changes import Change, changes
from pipeline.history.lineage import sources
from pipeline.history.revisions import Revision
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.lock import (
    LOCK_FILE,
    Lock,
    hash_of_folder,
    parse_lock,
    upstream,
    writers,
)
from pipeline.runtime.params import PARAMS_FILE
from pipeline.runtime.yaml import parse_yaml

ENVIRONMENT_FILE = "reports/environment.json"
METRICS_FILE = "reports/metrics.json"
LINKED = {"data", "pipeline"}  # in studies/, links to the folders of these names in the root


@dataclass(frozen=True)
class Provenance:
    """How the results of a revision were made; empty where it lacks a file.

    Attributes:
        revision: The revision.
        params: The parameters.
        environment: What training recorded of its environment.
        lock: What DVC recorded of every stage.
        sources: Hash by path, of what its stages read and none writes: the code, in studies/ also
            the data.
        folder: Of the lock file, as seen from the project's root folder.
        written: Hash by path, of the pipeline's outputs.
        code: MD5 by path, of every file of the code as it is in the revision.
    """

    revision: Revision
    params: Mapping[str, Any]
    environment: Mapping[str, Any]
    lock: Lock
    sources: Mapping[str, str]
    folder: PurePosixPath
    written: Mapping[str, str]
    code: Mapping[str, str]

    def hash_of(self, path: str) -> str | None:
        """Return DVC's hash of a dependency as the revision has it; None where it has none.

        Args:
            path: As seen from the project's root folder.
        """
        return self.written.get(path) or hash_at(path, self.code)


def provenance(revision: Revision, lock_file: str = LOCK_FILE) -> Provenance:
    """Return how the results of a revision, or those of another lock file, were made.

    Raises:
        PipelineError: One of the files is malformed.
    """
    lock = _lock(revision, lock_file)
    pipeline = lock if lock_file == LOCK_FILE else _lock(revision, LOCK_FILE)
    written = {path: md5 for stage in pipeline.values() for path, md5 in stage.outs.items()}
    folder = PurePosixPath(lock_file).parent
    read = sources(lock)
    places = sorted({located(path, folder) for path in read})
    return Provenance(
        revision,
        _read_params(revision, str(PARAMS_FILE)),
        parse_json(revision.read(ENVIRONMENT_FILE), f"{revision}: {ENVIRONMENT_FILE}"),
        lock,
        read,
        folder,
        written,
        revision.files(path for path in places if not writers(pipeline, path)),
    )


def _lock(revision: Revision, lock_file: str) -> Lock:
    content = revision.read(lock_file)
    return {} if content is None else parse_lock(content, f"{revision}: {lock_file}")


def located(path: str, folder: PurePosixPath) -> str:
    """Return a path of the lock file in a folder as seen from the project's root folder."""
    is_linked = PurePosixPath(path).parts[0] in LINKED
    return path if is_linked else posixpath.normpath(folder / path)


def hash_at(path: str, files: Mapping[str, str]) -> str | None:
    """Return DVC's hash of a file or folder, from the MD5 of files by path; None where none is."""
    inside = {name.removeprefix(f"{path}/"): md5 for name, md5 in _inside(path, files).items()}
    return files.get(path) or (hash_of_folder(inside) if inside else None)


def _inside(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return the MD5 of every file in a folder, by its path."""
    return {path: md5 for path, md5 in files.items() if path.startswith(f"{folder}/")}


def parse_json(content: bytes | None, name: str) -> Mapping[str, Any]:
    """Return keys and values of a report such as the environment, as ``parse_mapping`` does."""
    return parse_mapping(json.loads, content, name)


def parse_mapping(
    parse: Callable[[bytes], Any], content: bytes | None, name: str
) -> Mapping[str, Any]:
    """Return keys and values of a file; none where there is no file, or it is empty.

    Args:
        parse: Parser of the content.
        content: Of the file; None where there is none.
        name: What messages call it.

    Raises:
        PipelineError: It holds something else.
    """
    if content is None:
        return {}
    try:
        found = parse(content)
    except ValueError as error:
        raise PipelineError(f"{name}: {reason(error)}") from error
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise PipelineError(f"{name}: expected keys with values, found none")
    return found


def differences(base: Provenance, revision: Provenance) -> dict[str, list[Change]]:
    """Return the changes that could explain a difference in results, by the file they are in.

    Those of the code are in ``dvc.lock``, which has the hashes of the code that made the results:
    the MD5 of each changed file, or the hash of its folder if the files there are newer.
    """
    return {
        str(PARAMS_FILE): changes(base.params, revision.params),
        ENVIRONMENT_FILE: changes(base.environment, revision.environment),
        # A path is one key, whatever dots are in it.
        LOCK_FILE: [
            change
            for entry in changes(base.sources, revision.sources)
            for change in _in_files(entry, base, revision)
        ],
    }


def _in_files(entry: Change, base: Provenance, revision: Provenance) -> list[Change]:
    """Return the changed files in a changed folder, or the entry if they are not known."""
    path, old, new = entry
    files = _inside(path, base.code), _inside(path, revision.code)
    are_known = all(files) and (base.hash_of(path), revision.hash_of(path)) == (old, new)
    return changes(*files) if are_known else [entry]


def outdated(found: Provenance, result: str = PREDICTIONS_FILE) -> list[str]:
    """Return the files and folders of a revision that have changed since a result was made.

    They may be the parameters and code of the stages that lead to it. In studies/ also data, whose
    hashes are in the pipeline's lock file.

    Args:
        found: Of the revision.
        result: As the lock file has it.
    """
    last = writers(found.lock, result)
    names = upstream(found.lock, last) | last
    lock = {name: stage for name, stage in found.lock.items() if name in names}
    changed = _changed_params(found, lock)
    for stage in lock.values():
        for path in stage.deps.keys() & found.sources.keys():
            place = located(path, found.folder)
            if found.hash_of(place) not in {None, stage.deps[path]}:
                changed.add(place)
    return sorted(changed)


def _changed_params(found: Provenance, lock: Lock) -> set[str]:
    """Return the parameter files with another value than a stage has read."""
    read = [(file, values) for stage in lock.values() for file, values in stage.params.items()]
    places = {file: located(file, found.folder) for file, _ in read}
    params = {
        place: found.params if place == str(PARAMS_FILE) else _read_params(found.revision, place)
        for place in places.values()
    }
    return {
        places[file]
        for file, values in read
        if changes(values, {key: _value(params[places[file]], key) for key in values})
    }


def _read_params(revision: Revision, path: str) -> Mapping[str, Any]:
    return parse_mapping(parse_yaml, revision.read(path), f"{revision}: {path}")


def _value(params: Mapping[str, Any], key: str) -> Any:
    """Return the value at a key of ``dvc.yaml``, in which dots lead downwards."""
    value: Any = params
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
