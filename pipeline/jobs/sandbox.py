"""The folder in which a job runs, with nothing in it but what the job declares."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline.jobs.job import Job

CHUNK = 4 << 20  # bytes that are read, or travel, at a time
NAMED = 5  # files that a job wrote but does not declare: so many are named, and the rest counted
FILES, OUTPUT = "files", "output.txt"  # in a sandbox


def unpack(job: Job, files: Path) -> list[str]:
    """Put the files of a job where its commands will look for them.

    Args:
        job: The job.
        files: A folder that is not there yet.

    Returns:
        The MD5 of those that are nowhere to be found.

    Raises:
        OSError: They cannot be written.
    """
    files.mkdir()
    for link, target in job.links.items():
        (files / link).parent.mkdir(parents=True, exist_ok=True)
        (files / link).symlink_to(target)
    missing = set()
    for path, (digest, executable) in job.files.items():
        copy = files / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not any(copy_checked(source, copy, digest) for source in _sources(job, path)):
            missing.add(digest)
        elif executable:
            make_executable(copy)
    made = [job.folder, *job.folders, *(str(Path(out).parent) for out in job.outs)]
    for folder in (files / one for one in made):
        folder.mkdir(parents=True, exist_ok=True)
    return sorted(missing)


def _sources(job: Job, path: str) -> Iterator[Path]:
    """Yield where a file of a job may be found on this machine."""
    digest = job.files[path][0]
    yield from (Path(store, digest) for store in job.stores)
    yield from (Path(folder, path) for folder in job.source_folders)
    yield from (Path(cache, digest[:2], digest[2:]) for cache in job.dvc_caches)


def copy_checked(source: Path, copy: Path, digest: str) -> bool:
    """Copy a file; return whether it is there and has this MD5.

    Raises:
        OSError: The copy cannot be written.
    """
    found = hashlib.md5(usedforsecurity=False)
    try:
        opened = source.open("rb")
    except OSError:  # not there, or not for this user
        return False
    with opened, copy.open("wb") as written:
        while chunk := opened.read(CHUNK):
            found.update(chunk)
            written.write(chunk)
    return found.hexdigest() == digest


def make_executable(path: Path) -> None:
    """Let everybody run a file."""
    path.chmod(path.stat().st_mode | 0o111)


def strange_outputs(job: Job, files: Path) -> list[str]:
    """Return what is among the outputs but neither file, folder nor link, such as a socket."""
    found = [path for out in job.outs for path in below(files / out) if not path.is_symlink()]
    return [
        path.relative_to(files).as_posix()
        for path in found
        if not (path.is_file() or path.is_dir())
    ]


def below(path: Path) -> Iterator[Path]:
    """Yield a path and, of a folder, all in it."""
    yield path
    for folder, folders, names in os.walk(path):
        yield from (Path(folder) / name for name in sorted([*folders, *names]))


def undeclared_files(job: Job, files: Path) -> list[str]:
    """Return the files that the commands wrote but that the job does not declare."""
    found: list[str] = []
    outs = {files / out for out in job.outs}
    for folder, folders, names in os.walk(files):
        here = Path(folder)
        folders[:] = [name for name in folders if name != "__pycache__" and here / name not in outs]
        paths = [(here / name).relative_to(files).as_posix() for name in names]
        found += [path for path in paths if path not in job.files and files / path not in outs]
    return sorted(found)


def file_entry(path: Path) -> tuple[str, bool]:
    """Return the MD5 of a file and whether it is executable, as a job lists it."""
    return md5(path), bool(path.stat().st_mode & 0o100)


def md5(path: Path) -> str:
    """Return the MD5 of a file, by which DVC knows it, in hexadecimal digits."""
    # As `md5` of pipeline.runtime.lock, which a worker has not.
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def remove_sandbox(sandbox: str) -> None:
    """Remove the folder of a job."""
    shutil.rmtree(sandbox, ignore_errors=True)
