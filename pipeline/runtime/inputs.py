"""The inputs of a stage: their files, their hashes, and the check against the lock file."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import (
    LOCK_FILE,
    Lock,
    LockedStage,
    disagreements,
    flat,
    hash_of_folder,
    md5,
    parse_lock,
    upstream,
    writers,
)
from pipeline.runtime.params import DVC_FILE, read_section
from pipeline.runtime.yaml import parse_yaml

IGNORE_FILE = Path(".dvcignore")


def files_of(path: Path, project: Path = Path()) -> list[Path]:
    """Return the file at a path, or all files in the folder there that DVC does not ignore."""
    if not path.is_dir():
        return [path] if path.exists() else []
    rules = project / IGNORE_FILE
    lines = rules.read_text(encoding="utf-8").splitlines() if rules.exists() else []
    ignored = GitIgnoreSpec.from_lines(lines)
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return [file for file in found if not ignored.match_file(file.relative_to(project).as_posix())]


def hash_of(path: Path, project: Path = Path()) -> str:
    """Return DVC's hash of a file or a folder: an MD5, for a folder with ".dir" at its end."""
    if not path.is_dir():
        return md5(path)
    files = files_of(path, project)
    return hash_of_folder({file.relative_to(path).as_posix(): md5(file) for file in files})


def check_inputs(paths: Iterable[Path]) -> None:
    """Make sure that files and folders have the hashes that the lock file recorded for them.

    DVC trusts a file of the size and time that it remembers, and an object of its cache that is
    write-protected, without reading either. What a disk or a copy has damaged would go into the
    results. What no stage writes is left out. The stages before must agree with each other, and
    with the parameters: ``dvc repro --single-item`` would mix results of two trainings.

    Raises:
        PipelineError: A file or folder is another one than was written, or a stage before has
            run with another input or another parameter than there is now.
        OSError: A file cannot be read.
    """
    mine = list(paths)
    for lock_file in _lock_files():
        lock = _without_leftovers(parse_lock(lock_file.read_bytes(), str(lock_file)), lock_file)
        for stage in lock.values():
            for name, expected in stage.outs.items():
                written = Path(name)
                if any(written.is_relative_to(path) for path in mine) and written.exists():
                    _check(written, expected)
        last = {name for path in mine for name in writers(lock, path.as_posix())}
        read = disagreements(lock)
        for name in sorted(last | upstream(lock, last)):
            used = [*read.get(name, []), *_changed_params(lock[name], lock_file.parent)]
            if used:
                raise PipelineError(
                    f"stage {name!r} is out of date: it has used another {used[0]} than there is "
                    f"now. `dvc repro {name}` first (if {DVC_FILE} has it frozen, take that out)"
                )


def _changed_params(stage: LockedStage, folder: Path) -> list[str]:
    """Return the keys whose values are others now than when a stage has run."""
    changed = []
    for file, values in stage.params.items():
        try:
            now = dict(flat(parse_yaml((folder / file).read_bytes())))
        except (OSError, ValueError, AttributeError):
            continue  # no YAML; DVC reads others too
        changed += [key for key, value in flat(values) if key not in now or now[key] != value]
    return changed


def _lock_files() -> Iterator[Path]:
    """Yield the lock files that know the inputs: this project's, and that of the data's project."""
    # The studies are a DVC project of their own, in which `data` links to the pipeline's folder.
    folders = dict.fromkeys([Path.cwd().resolve(), Path("data").resolve().parent])
    yield from (folder / LOCK_FILE for folder in folders if (folder / LOCK_FILE).exists())


def _without_leftovers(lock: Lock, lock_file: Path) -> Lock:
    """Return the entries of stages that ``dvc.yaml`` still has; DVC removes no others."""
    pipeline = lock_file.with_name(DVC_FILE.name)
    if not pipeline.exists():
        return lock
    stages = read_section("stages", pipeline)
    return {run: entry for run, entry in lock.items() if run.split("@")[0] in stages}


def _check(path: Path, expected: str) -> None:
    found = hash_of(path)
    if found != expected:
        raise PipelineError(
            f"{path}: not what its stage wrote (MD5 {expected}), but {found}. "
            "Delete it and run `dvc repro` again. If that brings the same back, it is "
            "damaged in DVC's cache: `python -m pipeline doctor` names the object"
        )
