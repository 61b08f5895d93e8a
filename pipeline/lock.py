"""``dvc.lock``: what every stage was run with, and what came out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.stage import PipelineError

LOCK_FILE = "dvc.lock"


@dataclass(frozen=True)
class LockedStage:
    """One run of a stage.

    Attributes:
        deps: MD5 by path, of what it read.
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
        stages = YAML(typ="safe").load(content)["stages"]
        return {
            stage: LockedStage(
                deps={dep["path"]: dep["md5"] for dep in entry.get("deps", [])},
                params=entry.get("params", {}),
                outs={out["path"]: out["md5"] for out in entry.get("outs", [])},
            )
            for stage, entry in stages.items()
        }
    except (YAMLError, UnicodeDecodeError, LookupError, TypeError, AttributeError) as error:
        raise PipelineError(f"{name}: not a lock file of DVC: {error!r}") from error


def sources(lock: Lock) -> dict[str, str]:
    """Return what stages read and no stage writes, which is the code: MD5 by path."""
    written = {path for stage in lock.values() for path in stage.outs}
    return {
        path: md5
        for stage in lock.values()
        for path, md5 in stage.deps.items()
        if path not in written
    }


def upstream(lock: Lock, output: str) -> set[str]:
    """Return the stages that have to run before the one that writes ``output`` can."""
    writers = {path: name for name, stage in lock.items() for path in stage.outs}
    found: set[str] = set()
    waiting = {writers[output]} if output in writers else set()
    while waiting:
        waiting = {
            writers[path] for name in waiting for path in lock[name].deps if path in writers
        } - found
        found |= waiting
    return found
