"""``dvc.lock``: what every stage read and wrote when it last ran."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.yaml import parse_yaml

LOCK_FILE = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """One run of a stage.

    Attributes:
        deps: MD5 by path, of what it read; of a folder it ends in ".dir".
        params: Values by key, by parameter file.
        outs: MD5 by path, of what it wrote.
    """

    deps: Mapping[str, str]
    params: Mapping[str, Mapping[str, Any]]
    outs: Mapping[str, str]


Lock = Mapping[str, LockedStage]


def parse_lock(content: bytes, name: str) -> Lock:
    """Return the stages in a lock file's content, in its order.

    Raises:
        PipelineError: It is no lock file that DVC 3 writes.
    """
    try:
        stages = parse_yaml(content)["stages"]
        return {
            str(stage): LockedStage(
                deps=_hashes(entry.get("deps", [])),
                params={
                    str(file): dict(values) for file, values in entry.get("params", {}).items()
                },
                outs=_hashes(entry.get("outs", [])),
            )
            for stage, entry in stages.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: {reason(error)}") from error


def md5_of(content: bytes) -> str:
    """Return the MD5 of a content, by which DVC knows it, in hexadecimal digits."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5(path: Path) -> str:
    """Return the MD5 of a file, by which DVC knows it, in hexadecimal digits."""
    with path.open("rb") as file:
        # Said to be for no security, since machines under FIPS refuse it for that.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _hashes(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return MD5 by path; what is not known by its MD5, such as an address, is left out."""
    return {str(entry["path"]): str(entry["md5"]) for entry in entries if entry.get("md5")}
