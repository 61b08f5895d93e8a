"""What DVC keeps books of for itself: who is at work, and which files it has read."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.checkup import Finding, good, problem
from pipeline.reason import reason

# Where DVC notes which process is at work on which files; no setting moves it.
RWLOCK = ".dvc/tmp/rwlock"


def rwlock(project: Path) -> Finding:
    """Return whether DVC can read who is at work here; killed as it wrote that, it cannot."""
    try:
        entries = json.loads((project / RWLOCK).read_bytes())
    except FileNotFoundError:
        return good("none, as before the first run")
    except (ValueError, RecursionError) as error:
        damage = reason(error)
    else:
        if isinstance(entries, dict):
            return good("as DVC writes it")
        damage = "not a JSON object"
    return problem(
        f"DVC cannot read {RWLOCK}, where it notes who is at work here: {damage}",
        f"`rm -f {RWLOCK}`, when no DVC is at work here",
    )


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
