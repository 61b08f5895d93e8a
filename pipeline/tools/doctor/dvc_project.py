"""The project as DVC sees it, whether it is in a repository of Git or not."""

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import md5, parse_lock
from pipeline.runtime.params import DVC_FILE, PARAMS_FILE
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import LOCK_FILES, Finding, counted, good, note, problem, some
from pipeline.tools.doctor.dvc_files import damaged_memory


@contextmanager
def opened(project: Path) -> Iterator[Any]:
    """Open the project as DVC's own object.

    Raises:
        PipelineError: DVC cannot do so, or what is asked of it meanwhile.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project), config={"core": {"no_scm": True}}) as repo:
            yield repo
    except DvcException as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""  # the place in a file, if any
        raise PipelineError(" ".join(f"{error}{cause}".split())) from error
    except sqlite3.OperationalError:
        raise  # a full disk, or a database that somebody uses, is not damaged
    except sqlite3.DatabaseError as error:
        folders = some(damaged_memory(project))
        raise PipelineError(f"DVC's memory of files is damaged: {error}, in {folders}") from error


def can_be_opened(project: Path) -> bool:
    """Return whether DVC is there and can read its configuration."""
    try:
        with opened(project):
            return True
    except (PipelineError, ModuleNotFoundError):
        return False


def dvc(project: Path) -> Finding:
    """Return whether DVC can read its configuration."""
    from dvc import __version__

    try:
        with opened(project):
            return good(f"version {__version__}")
    except PipelineError as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError):
            folders = shlex.join(damaged_memory(project))
            return problem(
                f"version {__version__}, which cannot work here: {error}",
                f"`rm -rf {folders}`: it holds what DVC remembers of files that it has read, and "
                "that it then reads again",
            )
        return problem(
            f"version {__version__}, which cannot work here: {error}",
            "`git checkout .dvc` brings back the committed settings; those of this machine are in "
            ".dvc/config.local, and your own where `dvc config --list --show-origin` says",
        )


def pipeline(project: Path) -> Finding | None:
    """Return whether DVC can read the pipeline; None where that is up to something else."""
    try:
        for path in LOCK_FILES:
            if (project / path).exists():
                parse_lock((project / path).read_bytes(), path.as_posix())
    except PipelineError:
        return None  # DVC reads no stage without it
    if not can_be_opened(project):
        return None
    if damage := _unreadable(project):
        return damage
    try:
        with opened(project) as repo:
            stages = repo.index.stages
            partial = {
                str(stage.name): str(
                    Path(stage.path).with_suffix(".lock").relative_to(repo.root_dir)
                )
                for stage in stages
                if _is_partial(stage)
            }
    except PipelineError as error:
        return problem(
            f"DVC cannot read it: {error}",
            "Mend the file that is named; `git diff` shows what changed in it",
        )
    if partial:
        locks = sorted(set(partial.values()))
        return note(
            f"these stages are only in part in {some(locks)}: {some(list(partial))}",
            f"If DVC was killed as it wrote, `git checkout {shlex.join(locks)}`; "
            "`dvc repro` runs them again",
        )
    return good(f"{counted(len(stages), 'stage')}, as DVC reads them")


def _unreadable(project: Path) -> Finding | None:
    """Return which of the files that people write is missing or no YAML; DVC may crash of it."""
    if not (project / DVC_FILE).exists():
        return problem(f"there is no {DVC_FILE}", f"`git checkout {DVC_FILE}`")
    for folder in (Path(), Path("studies")):
        for path in (folder / DVC_FILE, folder / PARAMS_FILE):
            try:
                parse_yaml((project / path).read_bytes() if (project / path).exists() else b"")
            except ValueError as error:
                return problem(
                    f"{path} cannot be read: {error}",
                    "Mend it; `git diff` shows what changed in it",
                )
    return None


def _is_partial(stage: Any) -> bool:
    """Return whether outputs of a stage are missing in the lock though the stage is in there."""
    if not hasattr(stage, "name"):  # of a .dvc file, which is its own lock
        return False
    recorded = [bool(entry.hash_info) for entry in [*stage.deps, *stage.outs]]
    return any(recorded) and not all(out.hash_info for out in stage.outs)


def files(project: Path) -> Finding | None:
    """Return whether files that DVC takes for those of its locks are; None where it cannot tell.

    DVC does not read a file of the size and time that it remembers.
    """
    readable = pipeline(project)
    if readable is None or readable.verdict == "problem":
        return None
    with opened(project) as repo:
        taken = {
            str(Path(out.fs_path).relative_to(repo.root_dir)): out.hash_info.value
            for out in repo.index.outs
            if out.hash_info and not out.hash_info.isdir and out.exists
            if not out.workspace_status()
        }
    damaged = [path for path, expected in taken.items() if md5(project / path) != expected]
    if not damaged:
        return good(f"{counted(len(taken), 'file')} as recorded in DVC's locks")
    return problem(
        "other bytes than recorded, which DVC does not notice, in "
        f"{len(damaged)} of {counted(len(taken), 'file')}: {some(damaged)}",
        f"`{shlex.join(['rm', '-f', *damaged])}`, then `dvc repro` puts back what the cache has "
        "and makes the rest anew; of those in Git, `git checkout`",
    )
