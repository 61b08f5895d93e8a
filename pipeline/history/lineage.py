"""The lock file of a project: what it has entries for, and which of these no stage wrote."""

from pathlib import Path

from pipeline.runtime.lock import LOCK_FILE, Lock, parse_lock, writers


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


def sources(lock: Lock) -> dict[str, str]:
    """Return what stages read and no stage writes, which is the code: MD5 by path."""
    return {
        path: recorded
        for stage in lock.values()
        for path, recorded in stage.deps.items()
        if not writers(lock, path)
    }
