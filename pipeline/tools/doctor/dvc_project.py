"""A DVC project: its settings, DVC's memory of files, and the outputs in the work tree."""

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import hash_of
from pipeline.tools.doctor.checkup import Finding, counted, good, note, problem, some


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """Open a DVC project, whether it is in a repository of Git or not, as DVC's own object.

    Raises:
        PipelineError: DVC cannot do so, or what is asked of it meanwhile.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(folder), config={"core": {"no_scm": True}}) as repo:
            yield repo
    except DvcException as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""  # the place in a file, if any
        raise PipelineError(" ".join(f"{error}{cause}".split())) from error
    except sqlite3.OperationalError:
        raise  # a full disk, or a database that somebody uses, is not damaged
    except sqlite3.DatabaseError as error:
        raise PipelineError(f"DVC's memory of files is damaged: {error}") from error


def dvc(folder: Path) -> Finding:
    """Return whether DVC can work here.

    Where its memory of files is damaged, every command ends, and names neither file nor folder.
    """
    from dvc import __version__
    from dvc.config import Config
    from dvc.dirs import site_cache_dir

    try:
        with opened(folder):
            return good(f"version {__version__}")
    except PipelineError as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError):
            settings = Config(str(folder / ".dvc"))["core"]
            place = Path(site_cache_dir(settings.get("site_cache_dir")), "repo").absolute()
            advice = (
                f"`rm -rf {shlex.quote(str(place))}`, when no DVC is at work on this machine: it "
                "holds what DVC remembers of files, which it then reads again"
            )
        else:
            advice = (
                "`git checkout .dvc` brings back the committed settings; those of this machine are "
                "in .dvc/config.local, and your own where `dvc config --list --show-origin` says"
            )
        return problem(f"version {__version__}, which cannot work here: {error}", advice)


def files(folder: Path) -> Finding:
    """Return whether the outputs that DVC takes for those of its lock file have those bytes.

    DVC does not read a file of the size and time that it remembers, so it calls damage up to date.
    """
    with opened(folder) as repo:
        paths = [Path(out.fs_path) for out in repo.index.outs]
        links = [file for path in paths for file in (path, *path.rglob("*")) if file.is_symlink()]
        if gone := [str(link.relative_to(folder)) for link in links if not link.exists()]:
            return problem(
                f"links into a cache that is gone: {some(gone)}",
                "Connect the disk that `dvc cache dir` names; if it is lost, `dvc repro`",
            )
        taken = {
            str(Path(out.fs_path).relative_to(repo.root_dir)): out.hash_info.value
            for out in repo.index.outs
            if out.hash_info and out.exists and not out.workspace_status()
        }
    damaged = [path for path in taken if hash_of(folder / path, folder) != taken[path]]
    if not damaged:
        return good(f"{counted(len(taken), 'output')} as recorded in dvc.lock")
    return problem(
        "other bytes than recorded, which DVC does not notice, in "
        f"{len(damaged)} of {counted(len(taken), 'output')}: {some(damaged)}",
        f"`{shlex.join(['rm', '-rf', *damaged])}`, then `dvc repro` puts back what the cache has "
        "and makes the rest anew; of those in Git, `git checkout`",
    )


def remote(folder: Path) -> Finding | None:
    """Return whether what comes from remotes is verified; None without any.

    DVC takes what a remote sends without a look at its hash, unless told to.
    """
    with opened(folder) as repo:
        remotes = repo.config["remote"]
    trusted = [name for name, settings in remotes.items() if not settings.get("verify")]
    if trusted:
        return note(
            f"DVC would take what comes from {some(trusted)} without a look at its hash",
            f"`dvc remote modify {trusted[0]} verify true`, with --local or --global if that is "
            "how it was added",
        )
    return good(f"{', '.join(remotes)}, not contacted") if remotes else None
