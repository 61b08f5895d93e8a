"""Look at this set-up, say what is good and what is not, and what to do about that.

Looked at are Python, its packages and bytecode, the GPU, Git, and, of both DVC projects (here and
in studies/), settings, lock file, every byte of outputs and cache, run cache, remotes and disk
space.
A problem makes a run or the tests fail, or lets results go wrong unseen; a note is worth knowing.
Without --fix nothing is changed. No remote is contacted. A large cache takes a while.

With --fix, it only repairs the files that DVC leaves half written when it is killed, or when the
disk is full:

- dvc.lock, cut off: replaced by what Git has, if anything; what it was is kept as *.damaged
- .dvc/tmp/rwlock, DVC's list of the processes at work, unreadable: kept as *.damaged
- runs in DVC's run cache that are not finished: removed
- Python's bytecode in pipeline/, cut off: removed

`make repro` and `make study` do so where `dvc repro` fails, and then run that once more.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

try:
    from pipeline.history.revisions import PROJECT
    from pipeline.tools.command_line import run_tool, show, tool_parser
    from pipeline.tools.doctor.bytecode import bytecode
    from pipeline.tools.doctor.checkup import (
        STUDIES,
        Check,
        Finding,
        checkup_facts,
        checkup_page,
        dvc_projects,
        examined,
        with_problem,
    )
    from pipeline.tools.doctor.dvc_files import lock_file, run_cache, rwlock
    from pipeline.tools.doctor.dvc_project import dvc, files, remote
    from pipeline.tools.doctor.installation import gpu, packages, python
    from pipeline.tools.doctor.repair import repair
    from pipeline.tools.doctor.repository import repository
    from pipeline.tools.doctor.storage import cache, disk, rights
except (ImportError, SyntaxError, TypeError) as error:  # the last two: an old Python
    sys.exit(
        "doctor: expected Python 3.11 to 3.13 with the packages of requirements.lock, found "
        f"{sys.version.split()[0]}, {sys.executable}: {error}. `make setup` makes what is expected."
    )

EPILOG = """\
examples:
  python -m pipeline doctor
  python -m pipeline doctor --format json
  python -X pycache_prefix=/dev/null -m pipeline doctor --fix    # if bytecode may be broken, too

exit codes:
  0  no problem; with --fix: something was repaired
  1  a problem; with --fix: there was nothing to repair
  2  an error: the message says what it is
"""
CHECKS: Mapping[str, Check] = {
    "Python": python,
    "packages": packages,
    "GPU": gpu,
    "bytecode": bytecode,
    "Git": repository,
}
# Of each DVC project; the second ones only where the first find no problem.
DVC_FILES: Mapping[str, Check] = {"dvc.lock": lock_file, "rwlock": rwlock, "DVC": dvc}
DVC_CHECKS: Mapping[str, Check] = {
    "outputs": files,
    "rights": rights,
    "DVC cache": cache,
    "DVC run cache": run_cache,
    "DVC remotes": remote,
    "disk": disk,
}


def doctor(project: Path = PROJECT) -> dict[str, Finding]:
    """Return what every check finds of a project, by the check's name; nothing is raised."""
    findings = _findings(CHECKS, project)
    for folder in dvc_projects(project):
        found = _findings(DVC_FILES, folder)
        if not with_problem(found):
            found |= _findings(DVC_CHECKS, folder)
        if folder != project:
            found = {
                f"{STUDIES}: {name}": one._replace(
                    advice=one.advice and f"In {STUDIES}/: {one.advice}"
                )
                for name, one in found.items()
            }
        findings |= found
    _say("")
    return findings


def _findings(checks: Mapping[str, Check], folder: Path) -> dict[str, Finding]:
    findings = {}
    for name, check in checks.items():
        _say(f"Looking at {name} …")
        found = examined(check, folder)
        if found is not None:
            findings[name] = found
    return findings


def _say(text: str) -> None:
    """Show on a terminal what is being looked at, in place of what stood there."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _fix() -> int:
    count = 0
    for count, done in enumerate(repair(PROJECT), 1):  # noqa: B007 (the last number counts)
        print(f"doctor: {done}", flush=True)
    if not count:
        print(
            "doctor: nothing to repair of what a killed DVC leaves; `make doctor` looks at the rest"
        )
    return int(not count)


def main() -> int:
    """Parse the command line, look or repair, print, and return the exit code."""
    parser = tool_parser("doctor", __doc__)
    parser.epilog = EPILOG
    parser.add_argument(
        "--fix", action="store_true", help="repair what a killed DVC leaves behind, as above"
    )
    arguments = parser.parse_args()
    if arguments.fix:
        return _fix()
    findings = doctor()
    show(checkup_page(findings), checkup_facts(findings), arguments.format)
    return int(with_problem(findings))


if __name__ == "__main__":
    run_tool("doctor", main)
