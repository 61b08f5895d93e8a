"""What DVC keeps books of for itself: who is at work, runs that were, and files that it read."""

import json
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from pipeline.runtime.errors import PipelineError, reason
from pipeline.tools.doctor.checkup import Finding, good, note, problem, some

# Where DVC notes which process is at work on which files; no setting moves it.
RWLOCK = ".dvc/tmp/rwlock"
WHAT_IT_IS = "where it notes who is at work here"
PATIENCE = 10  # seconds; it takes milliseconds
PARTS = ".*.tmp"  # what DVC calls a file of a run until it is whole
UNFINISHED = "what DVC was about to remember of a run as it ended"


def rwlock(project: Path) -> Finding:
    """Return whether what DVC notes of who is at work here can be read, and is of now."""
    from voluptuous import Invalid

    path = project / RWLOCK
    advice = f"`rm -f {RWLOCK}`, when no DVC is at work here, nor in a container with this clone"
    try:
        entries, written = json.loads(path.read_bytes()), path.stat().st_mtime
        if entries == {}:
            return good("nobody is at work here")
        from dvc.rwlock import SCHEMA

        SCHEMA(entries)
    except FileNotFoundError:
        return good("none, as before the first run")
    except (ValueError, RecursionError, Invalid) as error:
        return problem(f"DVC cannot read {RWLOCK}, {WHAT_IT_IS}: {reason(error)}", advice)
    readers = [who for some_who in entries.get("read", {}).values() for who in some_who]
    workers = {who["pid"] for who in [*entries.get("write", {}).values(), *readers]}
    strangers = sorted(pid for pid in workers if _is_stranger(pid, written))
    if strangers:
        # Not for sure: two containers with one clone have numbers of their own.
        return note(
            f"{RWLOCK}, {WHAT_IT_IS}, names process {some([str(pid) for pid in strangers])}, which "
            "is another one than DVC by now; but `dvc repro` refuses to run beside it",
            advice,
        )
    return good("as DVC writes it")


def _is_stranger(pid: int, written: float) -> bool:
    """Return whether a process looks like another one than was noted under its number.

    Numbers come again, above all where a machine or a container has started anew; DVC itself only
    asks whether there is such a process.

    Args:
        pid: Its number.
        written: When it was noted, at the latest, in seconds.
    """
    import psutil

    try:
        process = psutil.Process(pid)
        # Clocks may be set, so the time alone says nothing for sure.
        began, command = process.create_time(), " ".join(process.cmdline())
    except (psutil.Error, ValueError, OverflowError):  # none that could be asked
        return False
    return began > written and "dvc" not in command


def runs_folder(project: Path) -> Path:
    """Return where DVC remembers runs.

    Raises:
        PipelineError: DVC's settings cannot be read.
    """
    from dvc.config import Config, ConfigError

    try:
        cache = Config(str(project / ".dvc"))["cache"].get("dir")
    except ConfigError as error:
        raise PipelineError(f"DVC's settings cannot be read: {reason(error)}") from error
    return Path(cache or project / ".dvc/cache", "runs")


def run_folders(project: Path) -> list[Path]:
    """Return the folders in which DVC remembers runs, one for each input that it ran with.

    Others may lie beside them, since people choose where the cache is.

    Raises:
        PipelineError: DVC's settings cannot be read.
    """
    return [
        folder
        for folder in sorted(runs_folder(project).glob("[0-9a-f][0-9a-f]/*"))
        if re.fullmatch(f"{folder.parent.name}[0-9a-f]{{62}}", folder.name)
    ]


def unfinished_runs(project: Path) -> list[Path]:
    """Return the folders of runs that DVC was about to remember as it ended.

    An empty one, or a part of a file there, stops every later DVC that looks for that run, with an
    error that names nothing. Those of the last seconds are left out: other clones may share the
    cache, and one may be at it. So are those of other users that cannot be read.

    Raises:
        PipelineError: DVC's settings cannot be read.
    """
    return [folder for folder in run_folders(project) if _is_unfinished(folder)]


def _is_unfinished(folder: Path) -> bool:
    try:
        is_left = not any(folder.iterdir()) or any(folder.glob(PARTS))
        # Whatever was wrong with the clock when DVC ended.
        return is_left and abs(time.time() - folder.stat().st_mtime) >= PATIENCE
    except OSError:
        return False


def remove_unfinished(folder: Path) -> None:
    """Remove what DVC was about to remember of a run, and nothing else.

    Raises:
        OSError: It cannot be removed.
    """
    for part in folder.glob(PARTS):
        part.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def damaged_memory(project: Path) -> list[str]:
    """Return the folders of DVC's databases that are damaged, of this project or others.

    DVC names the one that it fails of nowhere.
    """
    from dvc.config import Config
    from dvc.dirs import site_cache_dir

    settings = Config(str(project / ".dvc"))["core"]
    place = Path(site_cache_dir(settings.get("site_cache_dir")), "repo").absolute()
    found = {
        str(place / database.relative_to(place).parts[0])
        for database in place.glob("*/**/cache.db")
        if _is_damaged(database)
    }
    return sorted(found) or [str(place)]


def _is_damaged(database: Path) -> bool:
    """Return whether a database of SQLite is none; False where it cannot be told."""
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.OperationalError:
        return False
    except sqlite3.DatabaseError:
        return True
