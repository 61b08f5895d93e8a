"""Storage: the objects in DVC's cache, what may be written, and the space on the disk."""

import json
import os
import re
import shlex
import shutil
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from pipeline.history.lineage import read_lock
from pipeline.runtime.lock import LOCK_FILE, md5
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import Finding, counted, good, problem, shown, size, some
from pipeline.tools.doctor.dvc_project import opened

MOVE_CACHE = (
    "`mv .dvc/cache /other/disk/cache`,",
    "`dvc cache dir --local /other/disk/cache`,",
    "`dvc config --local cache.type symlink`,",
    "`dvc checkout --relink`",
)
CHECKPOINTS = "data/checkpoints"  # as in pipeline.training.checkpoint, which imports Keras


def cache(folder: Path) -> Finding:
    """Return whether every object in DVC's cache has the bytes that its name promises.

    DVC takes a read-only object for good, and puts damage into the work tree as "up to date".
    """
    place = _cache(folder)
    objects = {
        f"{path.parent.name}{path.name}": path
        for path in sorted(place.glob("*/*"))
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", f"{path.parent.name}{path.name}")
    }
    damaged = [name for name, path in objects.items() if md5(path) != name.removesuffix(".dir")]
    total = size(sum(path.stat().st_size for path in objects.values()))
    if not damaged:
        return good(f"all {counted(len(objects), 'object')} ({total}) have the bytes they promise")
    # The file in the work tree may be a copy of the damaged object that DVC takes for good.
    outputs = _outputs(folder, objects)
    doomed = [
        path for name in damaged for path in (shown(objects[name], folder), *outputs.get(name, []))
    ]
    return problem(
        "other bytes than the name promises, which DVC does not notice, in "
        f"{len(damaged)} of {counted(len(objects), 'object')}: {some(doomed)}",
        f"`{shlex.join(['rm', '-rf', *doomed])}`, then `dvc repro` makes anew what dvc.lock knows "
        "(or `dvc pull` brings it from a remote); `make verify` tells whether the committed "
        "results are sound",
    )


def _cache(folder: Path) -> Path:
    with opened(folder) as repo:
        return Path(repo.cache.local.path)


def _outputs(folder: Path, objects: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return the outputs that the lock file knows, and the files in them, by their hash."""
    found = defaultdict(list)
    stages = read_lock(folder).values()
    for path, recorded in [entry for stage in stages for entry in stage.outs.items()]:
        found[recorded].append(path)
        if recorded.endswith(".dir") and recorded in objects:
            with suppress(ValueError, LookupError, TypeError):  # the listing may be what is damaged
                for file in json.loads(objects[recorded].read_bytes()):
                    found[file["md5"]].append(f"{path}/{file['relpath']}")
    return found


def rights(folder: Path) -> Finding:
    """Return whether DVC may write where it has to.

    It would train first, and then not record the result.
    """
    with opened(folder) as repo:
        outputs = [Path(out.fs_path) for out in repo.index.outs]
        places = [Path(repo.cache.local.path), Path(repo.tmp_dir)]
    inner = [path for place in places for path in place.glob("*")]
    folders = [path for out in outputs for path in (out, out.parent) if path.is_dir()]
    asked = [path for path in {folder, *places, *inner, *folders} if path.exists()]
    denied = sorted(shown(path, folder) for path in asked if not os.access(path, os.W_OK))
    if not denied:
        return good("DVC may write its cache, and stages their outputs")
    return problem(
        f"must not be written here: {some(denied)}",
        f"`ls -ld {shlex.quote(denied[0])}` says whose it is. Make it yours with `sudo chown`; a "
        "cache that several use: `dvc config cache.shared group`; a disk: mount it for writing",
    )


def disk(folder: Path) -> Finding:
    """Return whether there is room for a run that makes everything anew.

    On a full disk DVC may wait for ever, without a word, to write its memory of files.
    """
    place = _cache(folder)
    existing = next(path for path in [place, *place.parents] if path.exists())
    free = min(shutil.disk_usage(path).free for path in (folder, existing))
    # One copy is in the work tree, one in the cache.
    needed = 2 * _size_of_outputs(folder)
    found = f"{size(free)} free, needed are up to {size(needed) if needed else '?'}"
    if left := [path for path in (folder / CHECKPOINTS).rglob("*") if path.is_file()]:
        total = size(sum(path.stat().st_size for path in left))
        found += f"; {CHECKPOINTS} has {total} of trainings that were interrupted or are running"
    if free >= needed:
        return good(found)
    return problem(
        found,
        "Free some; or delete what only other commits use of it, `dvc gc --workspace`; or have the "
        f"cache on another disk: {' '.join(MOVE_CACHE)}",
    )


def _size_of_outputs(folder: Path) -> int:
    """Return the bytes of all outputs that the lock file knows."""
    if not (folder / LOCK_FILE).exists():
        return 0
    stages = parse_yaml((folder / LOCK_FILE).read_bytes())["stages"].values()
    return sum(out.get("size", 0) for stage in stages for out in stage.get("outs", []))
