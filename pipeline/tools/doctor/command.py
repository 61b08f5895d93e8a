"""Look at this set-up, say what is good and what is not, and what to do about that.

A problem makes `make repro` or `make test` fail, or results that cannot be trusted; a note is
worth knowing. Nothing is changed, and a remote is not contacted. All of DVC's cache is read, so a
large one takes a while.
"""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

try:
    from pipeline.history.revisions import PROJECT
    from pipeline.tools.command_line import run_tool, show, tool_parser
    from pipeline.tools.doctor.accelerator import gpu
    from pipeline.tools.doctor.checkup import (
        LOCK_FILES,
        Check,
        Finding,
        checkup_facts,
        checkup_page,
        examined,
        with_problem,
    )
    from pipeline.tools.doctor.disk_space import checkpoints, disk
    from pipeline.tools.doctor.dvc_files import RWLOCK, rwlock
    from pipeline.tools.doctor.dvc_project import dvc, files, pipeline
    from pipeline.tools.doctor.installation import packages, python
    from pipeline.tools.doctor.reachability import mirrors
    from pipeline.tools.doctor.storage import cache, links, remote, run_cache
    from pipeline.tools.doctor.working_copy import (
        changes,
        history,
        line_endings,
        lock_file,
        repository,
    )
except (ImportError, SyntaxError, TypeError) as error:  # the last two: an old Python
    sys.exit(
        "doctor: expected Python 3.11 to 3.13 with the packages of requirements.lock, found "
        f"{sys.version.split()[0]}, {sys.executable}: {error}. `make setup` makes what is expected."
    )

CHECKS: Mapping[str, Check] = {
    "Python": python,
    "packages": packages,
    "GPU": gpu,
    "Git": repository,
    "history": history,
    "line endings": line_endings,
    "changes": changes,
    **{path.as_posix(): partial(lock_file, name=path.as_posix()) for path in LOCK_FILES},
    RWLOCK: rwlock,
    "DVC": dvc,
    "pipeline": pipeline,
    "files": files,
    "mirrors": mirrors,
    "DVC cache": cache,
    "DVC run cache": run_cache,
    "DVC links": links,
    "DVC remote": remote,
    "disk": disk,
    "checkpoints": checkpoints,
}


def doctor(project: Path = PROJECT) -> dict[str, Finding]:
    """Return what every check finds of a project, by the check's name; nothing is raised."""
    findings = {}
    for name, check in CHECKS.items():
        _say(f"Looking at {name} …")
        found = examined(check, project)
        if found is not None:
            findings[name] = found
    _say("")
    return findings


def _say(text: str) -> None:
    """Show on a terminal what is being looked at, in place of what stood there."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Parse the command line, look, print, and return the exit status."""
    parser = tool_parser("doctor", __doc__)
    parser.epilog = "Exit status: 0 where nothing is a problem, 1 where something is, 2 for errors."
    arguments = parser.parse_args()
    findings = doctor()
    show(checkup_page(findings), checkup_facts(findings), arguments.format)
    return int(with_problem(findings))


if __name__ == "__main__":
    run_tool("doctor", main)
