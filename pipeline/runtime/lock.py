"""``dvc.lock``: what every stage read and wrote when it last ran."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.yaml import parse_yaml

LOCK_FILE = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """One run of a stage.

    Attributes:
        deps: MD5 by path, of what it read; of a folder it ends in ".dir".
        params: Values by key, by parameter file.
        outs: MD5 by path, of what it wrote.
        files: How many there were in each folder that it read, by path.
    """

    deps: Mapping[str, str]
    params: Mapping[str, Mapping[str, Any]]
    outs: Mapping[str, str]
    files: Mapping[str, int] = field(default_factory=dict)


Lock = Mapping[str, LockedStage]


def parse_lock(content: bytes, name: str) -> Lock:
    """Return the stages in a lock file's content, in its order.

    Raises:
        PipelineError: It is no lock file that DVC 3 writes.
    """
    try:
        stages = parse_yaml(content)["stages"]
        return {
            str(stage): LockedStage(
                deps=_hashes(entry.get("deps", [])),
                params={
                    str(file): dict(values) for file, values in entry.get("params", {}).items()
                },
                outs=_hashes(entry.get("outs", [])),
                files={
                    str(dep["path"]): int(dep["nfiles"])
                    for dep in entry.get("deps", [])
                    if dep.get("nfiles")
                },
            )
            for stage, entry in stages.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: {reason(error)}") from error


def overlap(path: str, other: str) -> bool:
    """Return whether two paths are the same, or one is a folder that holds the other."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def writers(lock: Lock, path: str) -> set[str]:
    """Return the stages that write a path, something in it, or the folder that it is in."""
    return {name for name, stage in lock.items() if any(overlap(path, out) for out in stage.outs)}


def upstream(lock: Lock, stages: Iterable[str]) -> set[str]:
    """Return the stages that have to run before some others can."""
    found: set[str] = set()
    waiting = set(stages)
    while waiting:
        waiting = {
            writer for name in waiting for path in lock[name].deps for writer in writers(lock, path)
        } - found
        found |= waiting
    return found


def disagreements(lock: Lock) -> dict[str, list[str]]:
    """Return which inputs stages have read in another version than the lock file has as output.

    Returns:
        Paths by stage, without the stages that agree. A folder that several stages fill is left
        out if there is anything else in it.
    """
    written = {path: md5 for stage in lock.values() for path, md5 in stage.outs.items()}
    found = {
        name: [
            path
            for path, md5 in stage.deps.items()
            if _written(path, written, stage.files.get(path), md5) != md5
        ]
        for name, stage in lock.items()
    }
    return {name: paths for name, paths in found.items() if paths}


def _written(path: str, written: Mapping[str, str], count: int | None, read: str) -> str:
    """Return the hash of an input as stages wrote it; the one that was read, if none is known."""
    if path in written or count is None:
        return written.get(path, read)
    inside = {
        out.removeprefix(f"{path}/"): md5
        for out, md5 in written.items()
        if out.startswith(f"{path}/")
    }
    known = len(inside) == count and not any(md5.endswith(".dir") for md5 in inside.values())
    return hash_of_folder(inside) if known else read


def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield parameters one by one, with their keys in full, such as ``train.seed``."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from ((f"{key}.{inner}", found) for inner, found in flat(value))
        else:
            yield key, value


def hash_of_folder(files: Mapping[str, str]) -> str:
    """Return DVC's hash of a folder, from the MD5 of each file by its path inside the folder."""
    listed = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return f"{md5_of(json.dumps(listed, sort_keys=True).encode())}.dir"


def md5_of(content: bytes) -> str:
    """Return the MD5 of a content, by which DVC knows it, in hexadecimal digits."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5(path: Path) -> str:
    """Return the MD5 of a file, by which DVC knows it, in hexadecimal digits."""
    with path.open("rb") as file:
        # Said to be for no security, since machines under FIPS refuse it for that.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _hashes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return MD5 by path; what is not known by its MD5, such as an address, is left out."""
    return {str(entry["path"]): str(entry["md5"]) for entry in entries if entry.get("md5")}
