"""Revisions of the project: what Git holds of each of them, and the workspace."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pathspec import GitIgnoreSpec

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import IGNORE_FILE, files_of
from pipeline.runtime.lock import md5, md5_of

PROJECT = Path(__file__).resolve().parents[2]  # studies/ reaches this by a link
WORKSPACE = "workspace"
# Most are of `git rev-parse --local-env-vars`: what would lead Git to another repository.
REPOSITORY_VARIABLES = {
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DEFAULT_HASH", "GIT_DIR"),
    *("GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_WORK_TREE"),
}


@dataclass(frozen=True)
class Revision:
    """A commit of the project, or the workspace.

    Attributes:
        name: What the user calls it.
        commit: Its hash; None for the workspace.
    """

    name: str
    commit: str | None

    def __str__(self) -> str:
        """Return the name, with the commit where the name does not say it."""
        short = (self.commit or "")[:7]
        return self.name if self.name.startswith(short) else f"{self.name} ({short})"

    def read(self, path: str) -> bytes | None:
        """Return a file's content, or None where the revision has no such file.

        Args:
            path: Relative to the project's root folder, with forward slashes.

        Raises:
            PipelineError: Git has lost the content.
            OSError: The file in the workspace cannot be read.
        """
        if self.commit is None:
            file = PROJECT / path
            return file.read_bytes() if file.is_file() else None
        name = f"{self.commit}:./{path}"
        found = git("cat-file", "blob", name)
        if not found.returncode:
            return found.stdout
        if git("rev-parse", "--quiet", "--verify", name).returncode:
            return None
        raise PipelineError(f"{self}: {path} cannot be read: {git_reason(found)}")

    def files(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the MD5 of every file at these paths, or in the folders there, by its own path.

        Files that DVC ignores are left out, and so are paths where the revision has nothing.

        Args:
            paths: As for ``read``.

        Raises:
            PipelineError: Git has lost a content.
        """
        # The revision has nothing outside of the project.
        wanted = [path for path in paths if not path.startswith(("/", "../"))]
        if self.commit is None:
            found = [file for path in wanted for file in files_of(PROJECT / path, PROJECT)]
            return {file.relative_to(PROJECT).as_posix(): md5(file) for file in found}
        if not wanted:
            return {}
        rules = (self.read(str(IGNORE_FILE)) or b"").decode()
        ignored = GitIgnoreSpec.from_lines(rules.splitlines())
        listed = git("ls-tree", "-r", "-z", self.commit, "--", *wanted).stdout.decode()
        # Each entry is "mode type object", a tab, and the path.
        entries = (entry.split("\t", 1) for entry in listed.split("\0") if " blob " in entry)
        objects = {path: about.split()[2] for about, path in entries}
        known = {path: objects[path] for path in objects if not ignored.match_file(path)}
        contents = _contents(list(known.values()))
        return {path: md5_of(content) for path, content in zip(known, contents, strict=True)}


def _contents(objects: Sequence[str]) -> list[bytes]:
    """Return what Git stores under these hashes.

    Raises:
        PipelineError: Git has lost one.
    """
    answer = BytesIO(git("cat-file", "--batch", question="\n".join(objects).encode()).stdout)
    contents = []
    for name in objects:
        header = answer.readline().split()  # "object type size"
        if header[1:2] != [b"blob"]:
            raise PipelineError(f"Git has lost object {name}")
        contents.append(answer.read(int(header[2])))
        answer.read(1)  # the end of the line
    return contents


def workspace() -> Revision:
    """Return what lies in the project's folder now."""
    return Revision(WORKSPACE, None)


def default_base() -> Revision:
    """Return what a change is compared with: the branch main, or on main the commit before.

    Raises:
        PipelineError: There is no such commit.
    """
    names = {"main": "refs/heads/main", "origin/main": "refs/remotes/origin/main"}
    mains = [Revision(name, commit) for name, full in names.items() if (commit := _commit(full))]
    if not mains:
        _require_repository()
        raise PipelineError("there is no branch main here: name what to compare with")
    branch = git("symbolic-ref", "--quiet", "HEAD").stdout.decode().strip()
    # Runners of CI check a commit out, not a branch.
    is_detached_main = not branch and _commit("HEAD") == mains[0].commit
    return resolve("HEAD~1") if branch == names["main"] or is_detached_main else mains[0]


def resolve(name: str) -> Revision:
    """Return the commit that a name stands for: Git's names, or one of DVC's experiments.

    Raises:
        PipelineError: There is no such revision, or more than one experiment of that name.
    """
    _require_repository()
    commit = _commit(name)
    commits = [commit] if commit else _experiments(name)
    if len(commits) > 1:
        raise PipelineError(
            f"{name!r}: {len(commits)} experiments have this name: "
            f"give one's hash, of {', '.join(commit[:7] for commit in commits)}"
        )
    if not commits:
        raise PipelineError(f"{name!r}: no such revision or experiment{_advice_if_shallow()}")
    return Revision(name, commits[0])


def merge_base(revision: Revision) -> Revision:
    """Return the newest commit that is common to a revision's history and that of HEAD.

    Raises:
        PipelineError: There is none, or this clone is too shallow to tell.
    """
    found = git("merge-base", str(revision.commit), "HEAD")
    if found.returncode:
        raise PipelineError(f"{revision}: no history in common with HEAD{_advice_if_shallow()}")
    commit = found.stdout.decode().strip()
    is_named = commit == revision.commit and not commit.startswith(revision.name)
    return Revision(revision.name if is_named else commit[:7], commit)


def _advice_if_shallow() -> str:
    shallow = git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"
    return (
        "; this clone is shallow: `git fetch --unshallow` gets the rest, "
        "in a workflow `fetch-depth: 0` of actions/checkout"
        if shallow
        else ""
    )


def _require_repository() -> None:
    found = git("rev-parse", "--git-dir")
    if found.returncode:
        raise PipelineError(f"{PROJECT}: {git_reason(found)}")


def _commit(name: str) -> str | None:
    """Return the hash of the one commit that Git knows by a name."""
    found = git("rev-parse", "--quiet", "--verify", f"{name}^{{commit}}").stdout.decode().strip()
    # Of a range such as a..b it gives two, of which one is negated.
    return found if re.fullmatch("[0-9a-f]{40,64}", found) else None


def _experiments(name: str) -> list[str]:
    """Return the commits of DVC's experiments of a name, whatever commit they started from."""
    # refs/exps/<2 digits>/<38 digits of the commit they started from>/<name>; others of these
    # refs, with fewer parts, are DVC's own book-keeping.
    listed = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").stdout.decode()
    references = [line.split() for line in listed.splitlines()]
    return [commit for reference, commit in references if reference.split("/")[4:] == [name]]


def clone(revision: Revision, folder: Path) -> Path:
    """Make a new repository in ``folder`` with the one commit; return the project's folder in it.

    Fetched, not cloned: so a commit that no branch leads to, such as an experiment's, can be
    had, and one of a shallow clone too. Nothing is written to the project's own repository.

    Raises:
        PipelineError: Git failed.
    """
    top = git("rev-parse", "--show-toplevel").stdout.decode().strip()
    upload = "git -c uploadpack.allowAnySHA1InWant=true upload-pack"
    # No hooks that the user has for new repositories; no advice about detached heads.
    config = ["-c", f"core.hooksPath={os.devnull}", "-c", "advice.detachedHead=false"]
    form = git("rev-parse", "--show-object-format").stdout.decode().strip()  # SHA-1 or SHA-256
    for command in (
        ["init", "--quiet", "--template=", "--initial-branch=main", f"--object-format={form}"],
        ["fetch", "--quiet", "--depth=1", f"--upload-pack={upload}", top, str(revision.commit)],
        ["checkout", "--quiet", "--detach", "FETCH_HEAD"],
    ):
        result = git(*config, *command, folder=folder)
        if result.returncode:
            raise PipelineError(f"git {command[0]} failed: {git_reason(result)}")
    return folder / git("rev-parse", "--show-prefix").stdout.decode().strip()


def git(
    *arguments: str, folder: Path | None = None, question: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run Git in a folder, by default the project's, and return it whatever its exit code.

    Args:
        arguments: Of ``git``.
        folder: Where it runs.
        question: Its standard input.

    Raises:
        PipelineError: There is no Git.
    """
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder or PROJECT,
            env=without_repository(os.environ),
            input=question,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise PipelineError("git is not installed, or not on the PATH") from error


def git_reason(failed: "subprocess.CompletedProcess[bytes]") -> str:
    """Return what Git says of a failure, with the commands that it advises."""
    lines = failed.stderr.decode(errors="replace").splitlines()
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    what = next(iter(fatal + lines), f"exit code {failed.returncode}")
    commands = [f"`{line.strip()}`" for line in lines if line.startswith("\tgit ")]
    return ", ".join([what, *commands])


def without_repository(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables without those that name a repository, as Git sets them for its hooks."""
    return {name: value for name, value in environment.items() if name not in REPOSITORY_VARIABLES}
