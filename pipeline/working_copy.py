"""A working copy: what Git says of it, and whether its ``dvc.lock`` is whole."""

import shutil
from pathlib import Path

from pipeline.checkup import Finding, counted, good, note, problem
from pipeline.lock import LOCK_FILE, parse_lock
from pipeline.revisions import git, git_reason
from pipeline.stage import PipelineError

# It can do what it says with however many files, and keeps edits that are not committed.
UNIX_LINES = (
    r"`git ls-files --eol | grep -E 'w/(crlf|mixed)' | cut -f 2 | xargs perl -pi -e 's/\r$//'`"
)


def repository(project: Path) -> Finding:
    """Return whether the project is in a repository of Git, without which DVC runs nothing."""
    if shutil.which("git") is None:
        return problem("git is not installed, or not on the PATH", "Install Git")
    version = git("version").stdout.decode().strip()
    found = git("rev-parse", "--show-toplevel", folder=project)
    if not found.returncode:
        return good(f"{version}, in {found.stdout.decode().strip()}")
    reason = git_reason(found)
    if "dubious ownership" in reason:
        advice = f"`git config --global --add safe.directory {project}`, if you trust its owner"
    else:
        advice = "Clone the project with Git; or `git init`, which is enough for DVC"
    return problem(f"{version}, but DVC runs nothing here: {reason}", advice)


def history(project: Path) -> Finding | None:
    """Return whether the whole history is here; None outside of a repository."""
    if not _is_repository(project):
        return None
    shallow = git("rev-parse", "--is-shallow-repository", folder=project).stdout.strip() == b"true"
    number = int(git("rev-list", "--count", "--all", folder=project).stdout or 0)
    if not shallow:
        return good(counted(number, "commit"))
    return note(
        f"this clone is shallow, with {counted(number, 'commit')}: comparisons with a commit "
        "or branch that is not here fail",
        "`git fetch --unshallow`; in a workflow, `fetch-depth: 0` of actions/checkout",
    )


def line_endings(project: Path) -> Finding | None:
    """Return whether text files are as Unix has them; None outside of a repository."""
    if not _is_repository(project):
        return None
    listed = git("ls-files", "--eol", "-z", folder=project).stdout.decode(errors="replace")
    entries = [entry.partition("\t") for entry in listed.split("\0") if entry]
    changed = [name for state, _, name in entries if state.split()[1] in {"w/crlf", "w/mixed"}]
    if changed:
        more = f" and {len(changed) - 1} more" if changed[1:] else ""
        return problem(
            f"lines end with CRLF in {changed[0]}{more}: DVC hashes bytes, so it sees other files",
            UNIX_LINES,
        )
    # As in .gitattributes, which takes precedence.
    kept = git("check-attr", "eol", LOCK_FILE, folder=project).stdout.endswith(b": lf\n")
    automatic = git("config", "--get", "core.autocrlf", folder=project).stdout.strip() == b"true"
    if automatic and not kept:
        return note(
            "as on Unix, but core.autocrlf is true: the next checkout writes CRLF",
            "`git config core.autocrlf input`",
        )
    overruled = "; core.autocrlf is true, which .gitattributes overrules" if automatic else ""
    return good(f"as on Unix{overruled}")


def changes(project: Path) -> Finding | None:
    """Return whether all is committed; None outside of a repository."""
    if not _is_repository(project):
        return None
    lines = git("status", "--porcelain", folder=project).stdout.splitlines()
    if not lines:
        return good("all is committed")
    return note(
        f"{counted(len(lines), 'file')} not as in the last commit",
        "`git status` lists them; `make verify` sees committed files only",
    )


def lock_file(project: Path) -> Finding:
    """Return whether ``dvc.lock`` is whole; a DVC that is killed may leave it cut off."""
    path = project / LOCK_FILE
    committed = (
        _is_repository(project)
        and not git("cat-file", "-e", f"HEAD:./{LOCK_FILE}", folder=project).returncode
    )
    mend = f"`git checkout {LOCK_FILE}`" if committed else f"`rm -f {LOCK_FILE}`"
    # Stages with outputs in Git are not in the run cache.
    advice = (
        f"{mend}, then `dvc repro`: what it no longer knows of runs again, but for what "
        "DVC's run cache has, which are the data"
    )
    if not path.exists():
        return note(
            "there is none, so everything has to run", advice if committed else "`dvc repro`"
        )
    content = path.read_bytes()
    try:
        stages = parse_lock(content, LOCK_FILE)
    except PipelineError as error:
        return problem(str(error), advice)
    if not content.endswith(b"\n"):
        return problem("it is cut off within its last line", advice)
    return good(f"{counted(len(stages), 'stage')} recorded")


def _is_repository(project: Path) -> bool:
    if shutil.which("git") is None:
        return False
    return git("rev-parse", "--git-dir", folder=project).returncode == 0
