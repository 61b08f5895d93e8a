"""What DVC writes for itself: the lock file, who is at work, the runs that it remembers.

DVC writes these files in place. Killed in that moment, or on a full disk, it leaves a part, which
the next DVC refuses.
"""

import json
import re
import shlex
import time
from pathlib import Path

from pipeline.history.revisions import git
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.lock import LOCK_FILE, parse_lock
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.doctor.checkup import Finding, counted, good, note, problem, shown, some
from pipeline.tools.doctor.dvc_project import opened

# Of a file DVC writes path, hash, md5, size and, of a folder, nfiles.
CUT_OFF = re.compile(
    rb"([^\n]|\n *- path: .*\n|\n *hash: md5\n|\n *md5: .*\n|\n *md5: .*\.dir\n *size: .*\n)\Z"
)
# Where DVC lists the processes at work and their files; no setting moves it.
RWLOCK = ".dvc/tmp/rwlock"
PARTS = ".*.tmp"  # what DVC calls the file of a run until it is whole
PATIENCE = 10  # seconds that a run may take to be remembered; it takes milliseconds
FIX = "`python -m pipeline doctor --fix`, when no DVC is at work here"


def lock_file(folder: Path) -> Finding:
    """Return whether the lock file is whole.

    Cut off between two entries it looks whole, and a training of hours runs again.
    """
    path = folder / LOCK_FILE
    if not path.exists():
        return note("there is none, so everything has to run", "`dvc repro`")
    content = path.read_bytes()
    if b"\n<<<<<<< " in b"\n" + content:
        return problem("a conflict of a merge is in it", f"Resolve it, or `rm {LOCK_FILE}`")
    if damage := lock_damage(content):
        return problem(damage, f"{FIX}, takes it from Git")
    before = git("cat-file", "blob", f"HEAD:./{LOCK_FILE}", folder=folder).stdout
    committed = {} if lock_damage(before) else parse_lock(before, LOCK_FILE)
    now = parse_lock(content, LOCK_FILE)
    lost = [
        name
        for name, stage in committed.items()
        if name not in now or stage.outs.keys() - now[name].outs.keys()
    ]
    if lost:
        return note(
            f"it lacks outputs that are in the last commit's, of {some(lost)}",
            f"If DVC was killed as it wrote, `git checkout {LOCK_FILE}`, then `dvc repro`; "
            "nothing, if it was you",
        )
    return good(f"{counted(len(now), 'stage')} recorded")


def lock_damage(content: bytes) -> str | None:
    """Return why DVC refuses a lock file; None where it does not."""
    try:
        parse_lock(content, LOCK_FILE)
    except PipelineError as error:
        return str(error).removeprefix(f"{LOCK_FILE}: ") if content.strip() else "empty"
    return "cut off within its last entry" if CUT_OFF.search(content) else None


def rwlock(folder: Path) -> Finding:
    """Return whether DVC can read its list of the processes at work.

    DVC refuses every run where it cannot.
    """
    if damage := rwlock_damage(folder):
        return problem(damage, f"{FIX}, sets it aside")
    return good("as DVC writes it, or none")


def rwlock_damage(folder: Path) -> str | None:
    """Return why DVC cannot read its list of the processes at work; None where it can."""
    from dvc.rwlock import SCHEMA
    from voluptuous import Invalid

    try:
        SCHEMA(json.loads((folder / RWLOCK).read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, Invalid) as error:
        return f"DVC cannot read its list of the processes at work: {reason(error)}"
    return None


def run_cache(folder: Path) -> Finding:
    """Return whether what DVC remembers of runs is as it wrote it.

    DVC ends with an error that names nothing where it is not.
    """
    entries = [path for one in _run_folders(folder) for path in one.glob("*") if path.is_file()]
    # With the folder: an empty one would stop DVC as well.
    damaged = {path.parent for path in entries if not _is_whole(path)}
    names = [shown(path, folder) for path in sorted({*damaged, *unfinished_runs(folder)})]
    if not names:
        return good(counted(len(entries), "run"))
    return problem(
        f"not as DVC writes it: {some(names)}",
        f"`{shlex.join(['rm', '-rf', *names])}`; `dvc repro` runs again what it no longer knows of",
    )


def _is_whole(run: Path) -> bool:
    """Return whether an entry of the run cache has the content that its name promises."""
    from dvc.utils import dict_sha256

    try:
        found: str = dict_sha256(parse_yaml(run.read_bytes()), exclude=["size", "nfiles"])
    except (ValueError, TypeError):
        return False
    return found == run.name


def _run_folders(folder: Path) -> list[Path]:
    """Return the folders in which DVC remembers runs, one for each input that it ran with.

    Others may lie beside them, since people choose where the cache is.
    """
    with opened(folder) as repo:
        place = Path(repo.stage_cache.cache_dir)
    return [
        path
        for path in sorted(place.glob("[0-9a-f][0-9a-f]/*"))
        if re.fullmatch(f"{path.parent.name}[0-9a-f]{{62}}", path.name)
    ]


def unfinished_runs(folder: Path, patience: float | None = None) -> list[Path]:
    """Return the folders of runs that DVC was about to remember as it ended.

    Args:
        folder: A DVC project.
        patience: Seconds for which such a folder counts as another clone's, which may share the
            cache and be at work; ``PATIENCE`` by default.
    """
    age = PATIENCE if patience is None else patience
    return [path for path in _run_folders(folder) if _is_unfinished(path, age)]


def _is_unfinished(run: Path, age: float) -> bool:
    try:
        is_left = not any(run.iterdir()) or any(run.glob(PARTS))
        # Whatever was wrong with the clock when DVC ended.
        return is_left and abs(time.time() - run.stat().st_mtime) >= age
    except OSError:  # another user's, that cannot be read
        return False
