"""What a stage reads, held against what the stages before it wrote."""

from collections.abc import Iterable
from pathlib import Path

from pipeline.lock import LOCK_FILE, md5, parse_lock
from pipeline.stage import PipelineError

LOCK_FILES = (Path(LOCK_FILE), Path("studies", LOCK_FILE))


def check_inputs(paths: Iterable[Path], lock_files: Iterable[Path] = LOCK_FILES) -> None:
    """Make sure that files are what DVC has recorded of the stages that wrote them.

    DVC trusts a file of the size and time that it remembers, and an object of its cache that is
    write-protected, without reading either. What a disk or a copy has damaged would go into the
    results.

    Args:
        paths: The files; those that no stage writes are left out.
        lock_files: Where DVC records what stages wrote.

    Raises:
        PipelineError: A file is another one than was written.
        OSError: A file cannot be read.
    """
    written: dict[str, str] = {}
    for lock_file in lock_files:
        if lock_file.exists():
            for stage in parse_lock(lock_file.read_bytes(), str(lock_file)).values():
                written |= stage.outs
    for path in paths:
        expected = written.get(path.as_posix())
        if expected and path.is_file():
            found = md5(path)
            if found != expected:
                raise PipelineError(
                    f"{path}: not the file that its stage wrote (MD5 {expected}), but {found}. "
                    "Delete it and run `dvc repro` again. If that brings the same one back, it is "
                    "damaged in DVC's cache: `make doctor` names the object"
                )
