"""DVC's storage: the cache, how it is linked to the work tree, and the remote."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LockedStage, md5, read_lock
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import Finding, counted, good, note, problem, size, some
from pipeline.tools.doctor.dvc_files import run_folders, runs_folder, unfinished_runs
from pipeline.tools.doctor.dvc_project import can_be_opened, opened


def cache(project: Path) -> Finding | None:
    """Return whether every object in the cache is what its name says; None without DVC.

    DVC does not look at that again: it takes a read-only object for good.
    """
    if not can_be_opened(project):
        return None
    with opened(project) as repo:
        folder = Path(repo.cache.local.path)
    objects = {
        f"{path.parent.name}{path.name}": path
        for path in sorted(folder.glob("*/*"))
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", f"{path.parent.name}{path.name}")
    }
    damaged = [name for name, path in objects.items() if md5(path) != name.removesuffix(".dir")]
    if damaged:
        return _damage(project, objects, damaged)
    if not objects:
        return good(f"nothing in {_short(folder, project)} yet")
    total = size(sum(path.stat().st_size for path in objects.values()))
    whole = f"all {counted(len(objects), 'object')}"
    return good(f"{whole} in {_short(folder, project)} ({total}) have the bytes that they promise")


def _damage(project: Path, objects: Mapping[str, Path], damaged: Sequence[str]) -> Finding:
    """Return what is to be said and done of damaged objects."""
    try:
        stages: Iterable[LockedStage] = read_lock(project).values()
    except PipelineError:
        stages = ()
    files = {
        name: [path for stage in stages for path, found in stage.outs.items() if found == name]
        for name in damaged
    }
    paths = {name: _short(objects[name], project) for name in damaged}
    told = [paths[name] + (f" ({', '.join(files[name])})" if files[name] else "") for name in paths]
    # The file in the work tree may come of the damaged object, and DVC remember it as good.
    doomed = [*paths.values(), *(path for name in damaged for path in files[name])]
    return problem(
        "other bytes than the name promises, which DVC does not notice, in "
        f"{len(damaged)} of {counted(len(objects), 'object')}: {some(told)}",
        f"`{shlex.join(['rm', '-rf', *doomed])}`, then `dvc repro` makes anew what dvc.lock knows "
        "(or `dvc pull` brings it from a remote); `make verify` tells whether the committed "
        "results are sound",
    )


def run_cache(project: Path) -> Finding | None:
    """Return whether what DVC remembers of runs is as it wrote it; None without DVC.

    What is damaged may stop DVC each time, with an error that names nothing.
    """
    if not can_be_opened(project):
        return None
    folder = runs_folder(project)
    entries = [path for one in run_folders(project) for path in one.glob("*") if path.is_file()]
    damaged = {path for path in entries if not _is_whole(path)}
    # An empty folder would stop DVC as well.
    left = {path.parent for path in entries if path not in damaged}
    doomed = {path if path.parent in left else path.parent for path in damaged}
    names = [_short(path, project) for path in sorted({*doomed, *unfinished_runs(project)})]
    if not names:
        return good(f"{counted(len(entries), 'run')} in {_short(folder, project)}")
    return problem(
        f"other than DVC writes it is {some(names)}",
        f"`{shlex.join(['rm', '-rf', *names])}`; `dvc repro` runs again what it no longer knows of",
    )


def _is_whole(run: Path) -> bool:
    """Return whether an entry of the run cache says what its name promises."""
    from dvc.utils import dict_sha256

    try:
        found: str = dict_sha256(parse_yaml(run.read_bytes()), exclude=["size", "nfiles"])
    except (ValueError, TypeError):
        return False
    return found == run.name


def _short(path: Path, project: Path) -> str:
    """Return a path as seen from the project, if it is in there."""
    return str(path.relative_to(project) if path.is_relative_to(project) else path)


def links(project: Path) -> Finding | None:
    """Return how files get from the cache into the work tree, tried out; None without DVC."""
    if not can_be_opened(project):
        return None
    from dvc_objects.fs.generic import test_links

    with opened(project) as repo:
        odb = repo.cache.local
        wanted = list(odb.cache_types)
        place = next(
            folder for folder in [odb.path, *odb.fs.parents(odb.path)] if odb.fs.exists(folder)
        )
        # The file to link to is made beside this one, which need not be there.
        beside = str(project / ".dvc/tmp/link")
        kinds = ["reflink", "hardlink", "symlink", "copy"]
        possible = test_links(kinds, odb.fs, str(place), repo.fs, beside)
    used = next((kind for kind in wanted if kind in possible), None)
    among = f"cache.type: {', '.join(wanted)}; possible here: {', '.join(possible)}"
    if used is None:
        return problem(
            f"none of those wanted ({among})", "`dvc config --local cache.type reflink,copy`"
        )
    twice = ", so data lie here twice" if used == "copy" else ""
    return good(f"{used}{twice} ({among})")


def remote(project: Path) -> Finding | None:
    """Return which remote shares the results, without contacting it; None without DVC."""
    if not can_be_opened(project):
        return None
    with opened(project) as repo:
        remotes, default = repo.config["remote"], repo.config["core"].get("remote")
        options = {name: _option(repo.config, name) for name in remotes}
    if not remotes:
        return note(
            "none is configured, so data and model are on this machine only",
            "`dvc remote add --default storage s3://…`, or a folder; nothing, if that is enough",
        )
    places = ", ".join(f"{name} ({_public(remotes[name]['url'])})" for name in remotes)
    if default not in remotes:
        first = next(iter(remotes))
        return note(
            f"{places}, none of which is the default",
            f"`dvc remote default{options[first]} {first}`",
        )
    if not remotes[default].get("verify"):
        return note(
            f"{places}: DVC would take what comes from {default} unseen",
            f"`dvc remote modify{options[default]} {default} verify true`",
        )
    return good(f"{places}, not contacted")


def _option(config: Any, remote: str) -> str:
    """Return the option by which DVC finds a remote in the file that has its address."""
    level = next(
        level
        for level in ("local", "repo", "global", "system")
        if "url" in config.read(level)["remote"].get(remote, {})
    )
    return "" if level == "repo" else f" --{level}"


def _public(url: str) -> str:
    """Return an address without a user's name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
