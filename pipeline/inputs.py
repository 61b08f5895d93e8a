"""What a stage reads, held against what the stages before it wrote."""

from collections.abc import Collection, Iterable
from pathlib import Path

from pipeline.lock import LOCK_FILE, md5, parse_lock
from pipeline.stage import PipelineError

LOCK_FILES = (Path(LOCK_FILE), Path("studies", LOCK_FILE))


def check_inputs(paths: Collection[Path], lock_files: Iterable[Path] = LOCK_FILES) -> None:
    """Make sure that files are what DVC has recorded of the stages that wrote them.

    DVC trusts a file of the size and time that it remembers, and an object of its cache that is
    write-protected, without reading either. What a disk or a copy has damaged would go into the
    results.

    Args:
        paths: The files, and folders for all that stages wrote in them; what no stage writes is
            left out.
        lock_files: Where DVC records what stages wrote, in the folder of the lock file or below.

    Raises:
        PipelineError: A file is another one than was written.
        OSError: A file cannot be read.
    """
    for lock_file in lock_files:
        mine = [path for path in paths if path.is_relative_to(lock_file.parent)]
        if not mine or not lock_file.exists():
            continue
        for stage in parse_lock(lock_file.read_bytes(), str(lock_file)).values():
            for name, expected in stage.outs.items():
                if any(Path(name).is_relative_to(path) for path in mine):
                    _check(Path(name), expected)


def _check(path: Path, expected: str) -> None:
    """Make sure that a file, if it is one, has the MD5 that is expected."""
    if path.is_file() and (found := md5(path)) != expected:
        raise PipelineError(
            f"{path}: not the file that its stage wrote (MD5 {expected}), but {found}. "
            "Delete it and run `dvc repro` again. If that brings the same one back, it is "
            "damaged in DVC's cache: `make doctor` names the object"
        )
