"""What a stage needs to run in a folder of its own: its files, and nothing else."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.stage.run import get_executable

from pipeline.jobs.job import Job
from pipeline.jobs.sandbox import file_entry
from pipeline.runtime.lock import flat

# DVC reads a folder by them, and this project's stages check their inputs by dvc.lock.
DVC_FILES = ("dvc.yaml", "dvc.lock", ".dvcignore")


@dataclass
class JobBuilder:
    """Makes the jobs of a DVC project.

    Attributes:
        repo: DVC's view of the project.
        scratch: A folder; files that change during a run are kept there as they were.
        base_job: A job without commands, with the variables of all.
    """

    repo: Any
    scratch: Path
    base_job: Job
    _known: dict[tuple[Path, int, int, int], tuple[str, bool]] = field(default_factory=dict)

    def job(self, stage: Any) -> tuple[Job, Path]:
        """Return a stage as a job, and the folder that the paths in it are relative to.

        That folder holds all that the stage names, so that paths such as ``../params.yaml`` and
        symbolic links to folders are the same as in the project.

        Raises:
            OSError: A file cannot be read.
        """
        links: dict[Path, Path] = {}
        root = Path(self.repo.root_dir)
        needed = {self._real(path, links): path for path in self._needed(stage, links)}
        files = {real: path for real, path in needed.items() if not path.is_dir()}
        outs = [self._real(Path(out.fs_path), links) for out in stage.outs]
        folder = self._real(Path(stage.wdir), links)
        settings = [
            directory / name
            for directory in {root, Path(stage.path).parent, *(to.parent for to in links.values())}
            for name in DVC_FILES
            if (directory / name).is_file()
        ]
        ends = [root, folder, *(path.parent for path in [*needed, *outs, *settings, *links])]
        top = Path(os.path.commonpath(ends))

        def inside(path: Path) -> str:
            return path.relative_to(top).as_posix()

        job = replace(
            self.base_job,
            name=stage.addressing,
            commands=stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines(),
            shell=get_executable(),
            folder=inside(folder),
            root=inside(root),
            files={inside(real): self._content(path) for real, path in files.items()}
            | {inside(path): self._snapshot(path) for path in settings},
            folders=[inside(real) for real in needed if real not in files],
            links={inside(link): os.path.relpath(to, link.parent) for link, to in links.items()},
            outs=[inside(out) for out in outs],
            variables=self.base_job.variables | {"DVC_STAGE": stage.addressing},
            source_folders=[str(top)],
            dvc_caches=[str(self.repo.cache.local.path)],
            stores=[str(self.scratch)],
        )
        return job, top

    def _needed(self, stage: Any, links: dict[Path, Path]) -> Iterator[Path]:
        """Yield the files and folders that a stage may read: its inputs, and what persists."""
        for entry in [*stage.deps, *(out for out in stage.outs if out.persist)]:
            path = Path(entry.fs_path)
            if path.is_dir():
                yield from self._below(path, links)
            elif path.exists():
                yield path

    def _below(self, path: Path, links: dict[Path, Path]) -> Iterator[Path]:
        """Yield a folder, and what is in it, as far as DVC does not ignore it."""
        for folder, folders, names in self.repo.dvcignore.walk(self.repo.fs, str(path)):
            here = Path(folder)
            if not here.is_symlink():
                yield here
            yield from (here / name for name in names)
            for name in folders:
                if (here / name).is_symlink():
                    self._real(here / name / "inside", links)

    def _real(self, path: Path, links: dict[Path, Path]) -> Path:
        """Return a path without symbolic links to folders on its way, which are added to links."""
        root = Path(self.repo.root_dir)
        here, *inner = root, *Path(os.path.relpath(path, root)).parts
        for number, part in enumerate(inner, 1):
            here = here.parent if part == ".." else here / part
            if number < len(inner) and here.is_symlink():
                links[here] = here.resolve()
                here = links[here]
        return here

    def _content(self, path: Path) -> tuple[str, bool]:
        """Return the MD5 of a file, and whether it is executable."""
        status = path.stat()
        key = (path, status.st_ino, status.st_mtime_ns, status.st_size)
        if key not in self._known:
            self._known[key] = file_entry(path)
        return self._known[key]

    def _snapshot(self, path: Path) -> tuple[str, bool]:
        """Keep a file as it is now, since other stages change it while this one waits."""
        content = path.read_bytes()
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        copy = self.scratch / digest
        if not copy.exists():
            partial = self.scratch / "partial"  # the disk may be full
            partial.write_bytes(content)
            partial.rename(copy)
        return digest, False


def slots_of(stage: Any) -> int:
    """Return how many slots a stage takes: its largest parameter named ``threads``, or one."""
    values = [
        value
        for dependency in stage.deps
        if isinstance(dependency, ParamsDependency)
        for key, value in flat(dependency.hash_info.value or {})
        if key.rpartition(".")[2] == "threads" and isinstance(value, int)
    ]
    return max([1, *values])
