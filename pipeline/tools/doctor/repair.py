"""Repair what a DVC that was killed, or found the disk full, leaves behind, and nothing else.

What is whole is left alone, and so is a lock file that lacks only some of its stages: that may be
on purpose, and the doctor's check tells of it.
"""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.history.revisions import git, git_reason
from pipeline.runtime.atomic import replacing
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.lock import LOCK_FILE, md5
from pipeline.tools.doctor.bytecode import broken_bytecode
from pipeline.tools.doctor.checkup import dvc_projects
from pipeline.tools.doctor.dvc_files import (
    PARTS,
    PATIENCE,
    RWLOCK,
    lock_damage,
    rwlock_damage,
    unfinished_runs,
)
from pipeline.tools.doctor.dvc_project import opened


def repair(project: Path) -> Iterator[str]:
    """Repair both DVC projects, and yield a sentence for each repair as it is done.

    Raises:
        PipelineError: Another DVC is at work here, a merge has left its conflict in a lock file,
            or Git has no version of it that is whole.
        OSError: A file can be neither read nor replaced.
    """
    for path in broken_bytecode(project):
        path.unlink()
        yield f"{path.relative_to(project)}: bytecode that was cut off; removed."
    for folder in dvc_projects(project):
        yield from repair_dvc_project(folder, project)


def repair_dvc_project(folder: Path, project: Path) -> Iterator[str]:
    """Repair one DVC project, as ``repair`` does; paths are told relative to ``project``."""
    if not (_damages(folder) or unfinished_runs(folder, 0)):
        return
    # A file may also be one that another DVC is about to write.
    with _other_dvcs_kept_out(folder):
        for name, damage in _damages(folder).items():
            done = _restored(folder) if name == LOCK_FILE else _set_aside(folder / name)
            yield f"{(folder / name).relative_to(project)}: {damage}; {done}."
    if unfinished_runs(folder, 0) != unfinished_runs(folder):
        time.sleep(PATIENCE)
    for run in unfinished_runs(folder):
        try:
            _remove(run)
        except OSError as error:  # another user's, and of other runs than the next, perhaps
            print(f"doctor: {run}: cannot be removed: {reason(error)}", file=sys.stderr)
        else:
            yield f"{run}: a run that DVC was about to remember; removed."


def _damages(folder: Path) -> dict[str, str]:
    """Return what is wrong with the files that DVC writes in place, by their names."""
    path = folder / LOCK_FILE
    found = {
        LOCK_FILE: lock_damage(path.read_bytes()) if path.exists() else None,
        RWLOCK: rwlock_damage(folder),
    }
    return {name: damage for name, damage in found.items() if damage}


@contextmanager
def _other_dvcs_kept_out(folder: Path) -> Iterator[None]:
    """Hold the locks that DVC holds as it writes those files."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_LOCK

    with opened(folder) as repo:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        guard = make_lock(
            str(Path(repo.tmp_dir, RWLOCK_LOCK)), repo.tmp_dir, hardlink_lock=hardlink
        )
        with repo.lock, guard:
            yield


def _restored(folder: Path) -> str:
    """Replace a damaged lock file by the version that Git has, or remove it where Git has none."""
    path = folder / LOCK_FILE
    if b"\n<<<<<<< " in b"\n" + path.read_bytes():
        raise PipelineError(f"{path}: there is a conflict of a merge in it, to be resolved")
    # What is staged may be newer than what is committed, or be what was cut off.
    places = [
        git("cat-file", "blob", f"{place}:./{LOCK_FILE}", folder=folder) for place in ("", "HEAD")
    ]
    known = [found.stdout for found in places if not found.returncode]
    if not known:
        listed = git("ls-files", "--error-unmatch", "--", LOCK_FILE, folder=folder)
        if listed.returncode != 1:
            raise PipelineError(f"{path} is damaged, and Git fails: {git_reason(listed)}")
        return f"{_set_aside(path)}, since Git has none"
    whole = next((content for content in known if not lock_damage(content)), None)
    if whole is None:
        raise PipelineError(f"{path} is damaged, and so is what Git has of it")
    kept = _kept(path)
    shutil.copyfile(path, kept)
    with replacing(path) as partial:
        partial.write_bytes(whole)
    return f"brought back from Git; what it was is in {kept.name}"


def _set_aside(path: Path) -> str:
    kept = _kept(path)
    path.replace(kept)
    return f"set aside as {kept.name}"


def _kept(path: Path) -> Path:
    """Return a name with a part of the content's hash, so that none replaces another."""
    return path.with_name(f"{path.name}.{md5(path)[:8]}.damaged")


def _remove(run: Path) -> None:
    """Remove what DVC was about to remember of a run, and nothing else."""
    for part in run.glob(PARTS):
        part.unlink(missing_ok=True)
    if not any(run.iterdir()):
        run.rmdir()
