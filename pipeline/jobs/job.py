"""A job, and how it ended: what travels between this machine and a worker."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Job:
    """Commands, and all that they may read.

    Every path is relative to the folder in which the job runs, its sandbox, where no other is said.

    Attributes:
        name: For people.
        commands: One after the other, by a shell.
        shell: Its absolute path; where there is no such file, it is ``/bin/sh``.
        folder: Where the commands run.
        root: The root folder of the DVC project.
        files: MD5 and whether it is executable, by path, of each file that is put there.
        folders: Folders that are made, also where they are empty.
        links: The targets of symbolic links to folders, by path.
        outs: The files and folders that the commands must write.
        variables: Of the environment, beside those of the worker.
        removed_prefixes: The worker's variables with these prefixes are removed from it,
        kept_prefixes: but not those with these prefixes.
        source_folders: Absolute paths of folders where a file may be found by its path.
        dvc_caches: Absolute paths of caches of DVC, where it may be found by its MD5.
        stores: Absolute paths of folders of this machine and of workers, where it may be found by
            its MD5.
    """

    name: str
    commands: list[str]
    shell: str = "/bin/sh"
    folder: str = "."
    root: str = "."
    files: dict[str, tuple[str, bool]] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    outs: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    removed_prefixes: tuple[str, ...] = ()
    kept_prefixes: tuple[str, ...] = ()
    source_folders: list[str] = field(default_factory=list)
    dvc_caches: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class JobResult:
    """How a job ended, or why it did not begin.

    Attributes:
        state: "done"; "failed", by its own fault; "missing", files have to be sent first; "broken",
            by the fault of the worker. The last two are no exceptions, since the class of one that
            was raised on a worker is not the class that is caught here.
        reason: One line, of a job that failed or was broken.
        missing: The MD5 of the files to be sent.
        sandbox: The absolute path of its folder, which is there until it is removed; or "". What it
            wrote is in ``files``, what the commands printed in ``output.txt``.
        undeclared: Paths of files that it wrote beside its outputs.
    """

    state: Literal["done", "failed", "missing", "broken"]
    reason: str = ""
    missing: list[str] = field(default_factory=list)
    sandbox: str = ""
    undeclared: list[str] = field(default_factory=list)
