"""A working copy: what Git says of it, and whether its lock files are whole."""

import re
import shutil
from pathlib import Path

from pipeline.history.revisions import git, git_reason
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LOCK_FILE, Lock, parse_lock
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import Finding, counted, good, note, problem, some

# It can do what it says with however many files, and keeps edits that are not committed.
UNIX_LINES = (
    r"`git ls-files --eol | grep -E 'w/(crlf|mixed)' | cut -f 2 | xargs perl -pi -e 's/\r$//'`"
)

# Of a file DVC writes path, hash, md5, size and, of a folder, nfiles.
CUT_OFF = re.compile(
    rb"([^\n]|\n *- path: .*\n|\n *hash: md5\n|\n *md5: .*\n|\n *md5: .*\.dir\n *size: .*\n)\Z"
)

# The kinds of hash that DVC 3 has.
KINDS = frozenset({"md5", "md5-dos2unix"})


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


def lock_file(project: Path, name: str = LOCK_FILE) -> Finding:
    """Return whether a lock file is whole; a DVC that is killed may leave it cut off.

    Args:
        project: The project's folder.
        name: The file, as seen from there.
    """
    path = project / name
    committed = _committed(project, name)
    repro = "`dvc repro`" if name == LOCK_FILE else f"`dvc repro {Path(name).parent}/dvc.yaml`"
    mend = f"`rm -f {name}`" if committed is None else f"`git checkout {name}`"
    # Stages with outputs in Git are not in the run cache.
    advice = (
        f"{mend}, then {repro}: what it no longer knows of runs again, but for what "
        "DVC's run cache has, which are the data"
    )
    if not path.exists():
        missing = "there is none, so everything has to run"
        return note(missing, repro if committed is None else advice)
    content = path.read_bytes()
    try:
        stages = parse_lock(content, name)
    except PipelineError as error:
        return problem(str(error), advice)
    if is_damaged(content):
        return problem(
            f"{name} is cut off within its last entry, or names a kind of hash that DVC has not",
            advice,
        )
    lost = _lost(stages, committed, name)
    if lost:
        return note(
            f"it lacks outputs that are in the last commit's, of {some(lost)}",
            f"If it was a DVC that was killed, {advice}; nothing, if it was you",
        )
    return good(f"{counted(len(stages), 'stage')} recorded")


def is_damaged(content: bytes) -> bool:
    """Return whether DVC would fail of a lock file that it takes for whole.

    One that is empty, that ends within a line or within the entry of a file, or that names a kind
    of hash that DVC does not have: it then fails without a reason.
    """
    if not content.strip() or CUT_OFF.search(content):
        return True
    try:
        stages = parse_yaml(content)["stages"].values()
        files = [file for stage in stages for of in ("deps", "outs") for file in stage.get(of, [])]
        return not KINDS.issuperset(file.get("hash", "md5") for file in files)
    except (ValueError, LookupError, TypeError, AttributeError):
        return False  # which DVC, or whoever reads it, tells of


def _committed(project: Path, name: str) -> bytes | None:
    """Return a file's content as in the last commit, if it is in there."""
    if not _is_repository(project):
        return None
    found = git("cat-file", "blob", f"HEAD:./{name}", folder=project)
    return None if found.returncode else found.stdout


def _lost(stages: Lock, committed: bytes | None, name: str) -> list[str]:
    """Return the stages that a committed lock file has outputs of, and this one none."""
    try:
        before = parse_lock(committed, name) if committed is not None else {}
    except PipelineError:
        return []
    known = {stage for stage, entry in stages.items() if entry.outs}
    return [stage for stage, entry in before.items() if entry.outs and stage not in known]


def _is_repository(project: Path) -> bool:
    if shutil.which("git") is None:
        return False
    return git("rev-parse", "--git-dir", folder=project).returncode == 0
