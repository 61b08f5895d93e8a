"""Bring back what a killed DVC has left half-written, so that `dvc repro` can go on.

DVC writes its lock files, and `.dvc/tmp/rwlock`, where it notes who is at work, in place: killed
in that moment, or on a full disk, it leaves a part, which the next `dvc repro` refuses. A lock
file is taken from Git, or removed where Git has none; what it was is kept beside it, as *.damaged.
What the lock then no longer knows of, `dvc repro` takes from DVC's run cache or runs again, to the
same bytes. `.dvc/tmp/rwlock` is removed. What is whole is left alone, and so is a lock file that
lacks only some of its stages: that may be on purpose, and `make doctor` tells of it. In its run
cache, a DVC that ends just as it adds a run leaves what stops the next one; it is removed.
"""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.history.revisions import PROJECT, git, git_reason
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.lock import md5
from pipeline.tools.command_line import run_tool, tool_parser
from pipeline.tools.doctor.checkup import LOCK_FILES
from pipeline.tools.doctor.dvc_files import (
    RWLOCK,
    UNFINISHED,
    remove_unfinished,
    rwlock,
    unfinished_runs,
)
from pipeline.tools.doctor.dvc_project import opened
from pipeline.tools.doctor.working_copy import is_damaged, lock_file


def mend(project: Path = PROJECT) -> None:
    """Bring back what is not whole, and say so on standard error.

    Raises:
        PipelineError: Another DVC is at work here, a merge has left its conflict in a lock file,
            or Git cannot bring it back.
        OSError: A file can be neither read nor removed.
    """
    if not _damages(project) and not unfinished_runs(project):
        return
    # It may also be one that another DVC is about to write.
    with _other_dvcs_kept_out(project) as repo:
        for name, damage in _damages(project).items():
            if name == RWLOCK:
                done = _removed(project, name)
            elif _is_refused(repo, project / name):
                done = _brought_back(repo, project, name)
            else:  # beyond what this project reads, but DVC goes on with it
                continue
            print(f"mend: {damage}. {done}", file=sys.stderr)
        for folder in unfinished_runs(project):
            try:
                remove_unfinished(folder)
            except OSError as error:  # another user's, and of other runs than the next, perhaps
                done = f"It cannot be removed: {reason(error)}"
            else:
                done = "It has been removed."
            print(f"mend: {folder}: {UNFINISHED}. {done}", file=sys.stderr)


def _damages(project: Path) -> dict[str, str]:
    """Return what is wrong with files that DVC writes in place, by their names."""
    names = [path.as_posix() for path in LOCK_FILES]
    findings = {name: lock_file(project, name) for name in names} | {RWLOCK: rwlock(project)}
    return {
        name: finding.found
        for name, finding in findings.items()
        if finding and finding.verdict == "problem"
    }


@contextmanager
def _other_dvcs_kept_out(project: Path) -> Iterator[Any]:
    """Yield DVC's own object of the project, holding what it holds as it writes those files."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_LOCK

    with opened(project) as repo:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        guard = make_lock(
            str(Path(repo.tmp_dir, RWLOCK_LOCK)), repo.tmp_dir, hardlink_lock=hardlink
        )
        with repo.lock, guard:
            yield repo


def _is_refused(repo: Any, path: Path) -> bool:
    """Return whether DVC refuses a lock file, or a process that reads it would end of it."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    content = path.read_bytes()
    if is_damaged(content):
        return True
    try:
        Lockfile(repo, str(path)).load()
    except DvcException:
        return True
    return False


def _brought_back(repo: Any, project: Path, name: str) -> str:
    path = project / name
    if b"\n<<<<<<< " in b"\n" + path.read_bytes():
        raise PipelineError(f"{name}: there is a conflict of a merge in it, to be resolved")
    listed = git("ls-files", "--error-unmatch", "--", name, folder=project)
    if listed.returncode not in {0, 1}:
        raise PipelineError(f"{name} is not whole, and Git fails: {git_reason(listed)}")
    is_committed = not git("cat-file", "-e", f"HEAD:./{name}", folder=project).returncode
    # With a name by its content, so that it takes the place of no other.
    kept = path.with_name(f"{path.name}.{md5(path)[:8]}.damaged")
    shutil.copyfile(path, kept)
    if listed.returncode and not is_committed:
        return f"{_removed(project, name)} What it was is in {kept.name}."
    # What is staged may be newer than what is committed; or be what is cut off.
    places = [*([] if listed.returncode else [""]), *(["HEAD"] if is_committed else [])]
    for place in places:
        brought = git("checkout", *place.split(), "--", name, folder=project)
        if brought.returncode:
            # On a full disk Git has removed the file by then. This takes no space.
            kept.replace(path)
            raise PipelineError(f"{name} is not whole, and Git fails: {git_reason(brought)}")
        if not _is_refused(repo, path):
            return f"It has been brought back from Git. What it was is in {kept.name}."
    raise PipelineError(f"{name} is not whole, nor is what Git has of it, which is there now")


def _removed(project: Path, name: str) -> str:
    (project / name).unlink()
    return "It has been removed."


def main() -> int:
    """Parse the command line, mend, and return the exit status."""
    parser = tool_parser("mend", __doc__, formats=False)
    parser.epilog = "Exit status: 0 where these files are whole now, or not there; 2 for errors."
    parser.parse_args()
    mend()
    return 0


if __name__ == "__main__":
    run_tool("mend", main)
