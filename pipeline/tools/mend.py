"""Bring dvc.lock back if it is cut off, so that `dvc repro` can go on; else do nothing.

DVC writes that file in place: killed in that moment, it leaves a part, which the next `dvc repro`
may refuse. The file is taken from Git, or removed where Git has none. What it then no longer
knows of, `dvc repro` takes from DVC's run cache or runs again, to the same bytes.
"""

import sys
from pathlib import Path

from pipeline.dvc_project import opened
from pipeline.lock import LOCK_FILE
from pipeline.revisions import PROJECT, git, git_reason
from pipeline.stage import PipelineError
from pipeline.tool import run_tool, tool_parser
from pipeline.working_copy import lock_file


def mend(project: Path = PROJECT) -> str | None:
    """Bring back ``dvc.lock`` if it is not whole.

    Returns:
        What was done; None if there was nothing to do.

    Raises:
        PipelineError: Another DVC is at work here, a merge has left its conflict in the file, or
            Git cannot bring it back.
        OSError: The file can be neither read nor removed.
    """
    if lock_file(project).verdict != "problem":
        return None
    # It may also be one that another DVC is about to write.
    with opened(project) as repo, repo.lock:
        damage = lock_file(project)
        return _brought_back(project, damage.found) if damage.verdict == "problem" else None


def _brought_back(project: Path, damage: str) -> str:
    path = project / LOCK_FILE
    if b"\n<<<<<<< " in b"\n" + path.read_bytes():
        raise PipelineError(f"{LOCK_FILE}: there is a conflict of a merge in it, to be resolved")
    if not git("ls-files", "--error-unmatch", LOCK_FILE, folder=project).returncode:
        brought = git("checkout", "--", LOCK_FILE, folder=project)
        if brought.returncode:
            raise PipelineError(f"{damage}; git checkout: {git_reason(brought)}")
        return f"{damage}. It has been brought back from Git."
    path.unlink()
    return f"{damage}. It has been removed, since Git has none."


def main() -> int:
    """Parse the command line, mend, say what was done, and return the exit status."""
    parser = tool_parser("mend", __doc__, formats=False)
    parser.epilog = "Exit status: 0 where dvc.lock is whole now, or there is none; 2 for errors."
    parser.parse_args()
    done = mend()
    if done:
        print(f"mend: {done}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    run_tool("mend", main)
