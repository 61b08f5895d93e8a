"""Bring back what a killed DVC has left half-written, so that `dvc repro` can go on.

DVC writes its lock files, and `.dvc/tmp/rwlock`, where it notes who is at work, in place: killed
in that moment, or on a full disk, it leaves a part, which the next `dvc repro` refuses. A lock
file is taken from Git, or removed where Git has none; what it then no longer knows of,
`dvc repro` takes from DVC's run cache or runs again, to the same bytes. `.dvc/tmp/rwlock` is
removed. What is whole is left alone, and so is a lock file that lacks only some of its stages:
that may be on purpose, and `make doctor` tells of it. Bytecode of this project that a full disk has
cut off is deleted, since Python 3.11 would end of it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourcelessFileLoader
from pathlib import Path

from pipeline.dvc_books import RWLOCK, rwlock
from pipeline.dvc_project import opened
from pipeline.inputs import LOCK_FILES
from pipeline.revisions import PROJECT, git, git_reason
from pipeline.stage import PipelineError
from pipeline.tool import run_tool, tool_parser
from pipeline.working_copy import lock_file


def mend(project: Path = PROJECT) -> None:
    """Bring back what is not whole, and say so on standard error.

    Raises:
        PipelineError: Another DVC is at work here, a merge has left its conflict in a lock file,
            or Git cannot bring it back.
        OSError: A file can be neither read nor removed.
    """
    for path in _cut_bytecode(project):
        path.unlink(missing_ok=True)
        print(f"mend: {path.name}: bytecode that is cut off. It has been removed.", file=sys.stderr)
    if not _damages(project):
        return
    # It may also be one that another DVC is about to write.
    with _other_dvcs_kept_out(project):
        for name, damage in _damages(project).items():
            done = _removed(project, name) if name == RWLOCK else _brought_back(project, name)
            print(f"mend: {damage}. {done}", file=sys.stderr)


def _damages(project: Path) -> dict[str, str]:
    """Return what is wrong with files that DVC writes in place, by their names."""
    names = [path.as_posix() for path in LOCK_FILES]
    findings = {name: lock_file(project, name) for name in names} | {RWLOCK: rwlock(project)}
    return {
        name: finding.found
        for name, finding in findings.items()
        if finding and finding.verdict == "problem"
    }


def _cut_bytecode(project: Path) -> Iterator[Path]:
    """Yield bytecode of this Python's that it could not start from (python/cpython#126606)."""
    for path in project.glob(f"pipeline/**/*.{sys.implementation.cache_tag}.pyc"):
        try:
            SourcelessFileLoader(path.stem, str(path)).get_code(path.stem)
        except (EOFError, ValueError, TypeError, ImportError):
            yield path


@contextmanager
def _other_dvcs_kept_out(project: Path) -> Iterator[None]:
    """Hold what a DVC holds as it writes a lock file, and as it writes who is at work."""
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_LOCK

    with opened(project) as repo:
        hardlink = repo.config["core"].get("hardlink_lock", False)
        guard = make_lock(
            str(Path(repo.tmp_dir, RWLOCK_LOCK)), repo.tmp_dir, hardlink_lock=hardlink
        )
        with repo.lock, guard:
            yield


def _brought_back(project: Path, name: str) -> str:
    path = project / name
    if b"\n<<<<<<< " in b"\n" + path.read_bytes():
        raise PipelineError(f"{name}: there is a conflict of a merge in it, to be resolved")
    if git("ls-files", "--error-unmatch", name, folder=project).returncode:
        return _removed(project, name)
    brought = git("checkout", "--", name, folder=project)
    if brought.returncode:
        raise PipelineError(f"{name} is not whole, and git checkout: {git_reason(brought)}")
    return "It has been brought back from Git."


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
