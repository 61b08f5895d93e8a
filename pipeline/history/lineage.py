"""Which stage of a lock file wrote a path, and which stages come before which."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.runtime.lock import LOCK_FILE, Lock, parse_lock


def read_lock(project: Path) -> Lock:
    """Return the stages in a project's lock file; none where it has no such file.

    Raises:
        PipelineError: It is no lock file that DVC 3 writes.
    """
    path = project / LOCK_FILE
    return parse_lock(path.read_bytes(), LOCK_FILE) if path.exists() else {}


def entries(lock: Lock) -> set[tuple[str, str]]:
    """Return what a lock has entries for, whatever their values: stage and file, or parameter."""
    return {
        (name, entry)
        for name, stage in lock.items()
        for entry in (
            *stage.deps,
            *stage.outs,
            *(f"{file}: {key}" for file, values in stage.params.items() for key in values),
        )
    }


def overlap(path: str, other: str) -> bool:
    """Return whether two paths are the same, or one is a folder that holds the other."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def writers(lock: Lock, path: str) -> set[str]:
    """Return the stages that write a path, something in it, or the folder that it is in."""
    return {name for name, stage in lock.items() if any(overlap(path, out) for out in stage.outs)}


def sources(lock: Lock) -> dict[str, str]:
    """Return what stages read and no stage writes, which is the code: MD5 by path."""
    return {
        path: recorded
        for stage in lock.values()
        for path, recorded in stage.deps.items()
        if not writers(lock, path)
    }


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
