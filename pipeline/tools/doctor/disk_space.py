"""Disk space: what a run needs of it, what there is, and what could be freed."""

import shutil
from pathlib import Path

from pipeline.runtime.lock import LOCK_FILE
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import Finding, counted, good, note, problem, size
from pipeline.tools.doctor.dvc_project import can_be_opened, opened

ENVIRONMENT = 3_000_000_000  # bytes, of an environment with the packages of requirements.lock
CHECKPOINTS = "data/checkpoints"  # as in pipeline.training.checkpoint, which imports Keras


def disk(project: Path) -> Finding:
    """Return whether there is room for a run that makes everything anew."""
    texts, short = [], False
    for free, place, needs in _disks(project):
        parts = [f"{size(number)} for {what}" for what, number in needs.items() if number]
        texts.append(f"{size(free)} free in {place}, needed are up to {' + '.join(parts) or '?'}")
        short = short or free < sum(needs.values())
    if not _size_of_outputs(project):
        texts.append(f"{LOCK_FILE} does not say how large data are")
    if not short:
        return good("; ".join(texts))
    return problem(
        "; ".join(texts),
        "Free some; or move the cache, `dvc cache dir --local /larger/disk`; or delete what only "
        "other commits use of it, `dvc gc --workspace`",
    )


def _disks(project: Path) -> list[tuple[int, Path, dict[str, int]]]:
    """Return of every disk the bytes that are free, a folder there, and bytes by what needs them.

    Of data, there is one copy in the work tree and one in DVC's cache.
    """
    data = _size_of_outputs(project)
    wanted = [("data", project, data), ("DVC's cache", _cache(project), data)]
    if not (project / ".venv").exists():
        wanted.append((".venv", project, ENVIRONMENT))
    disks: dict[int, tuple[int, Path, dict[str, int]]] = {}
    for what, path, number in wanted:
        place = next(folder for folder in [path, *path.parents] if folder.exists())
        free = shutil.disk_usage(place).free
        _, _, needs = disks.setdefault(place.stat().st_dev, (free, place, {}))
        needs[what] = number
    return list(disks.values())


def _cache(project: Path) -> Path:
    """Return the folder of DVC's cache; where DVC cannot tell, the default."""
    if not can_be_opened(project):
        return project / ".dvc/cache"
    with opened(project) as repo:
        return Path(repo.cache.local.path)


def _size_of_outputs(project: Path) -> int:
    """Return the bytes of all outputs that ``dvc.lock`` knows of; 0 where it cannot be read."""
    try:
        stages = parse_yaml((project / LOCK_FILE).read_bytes())["stages"]
        return sum(
            int(out.get("size", 0)) for stage in stages.values() for out in stage.get("outs", [])
        )
    except (ValueError, LookupError, TypeError, AttributeError, OSError):
        return 0


def checkpoints(project: Path) -> Finding:
    """Return what interrupted trainings have left."""
    found = [path for path in (project / CHECKPOINTS).rglob("*") if path.is_file()]
    if not found:
        return good("none left over")
    total = size(sum(path.stat().st_size for path in found))
    return note(
        f"{counted(len(found), 'file')} in {CHECKPOINTS} ({total}), of trainings that were "
        "interrupted or are running now",
        "Run such a training again, with the same parameters and code, and it goes on from there; "
        f"or `rm -r {CHECKPOINTS}` frees them",
    )
