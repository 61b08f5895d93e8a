"""What turns a function into a stage: typed parameters, a command line and clear errors."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS_FILE = Path("params.yaml")
DVC_FILE = Path("dvc.yaml")


class PipelineError(Exception):
    """A failure that the user can mend: it is shown as a message, never as a traceback."""


class Section(BaseModel):
    """A section of ``params.yaml``, or part of one: closed, typed, without defaults of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def load_section(name: str, section: type[S], path: Path = PARAMS_FILE) -> S:
    """Return the section ``name`` of a parameter file, checked.

    The file is read with DVC's own parser, so that both see the same values (other parsers
    take ``1e-3`` for a string) and a key given twice is an error.

    Raises:
        PipelineError: The file is no YAML mapping, or the section or a key in it is
            missing, unknown, of the wrong type or out of range.
    """
    values = read_section(name, path)
    try:
        return section.model_validate(values)
    except ValidationError as error:
        problems = (
            f"{path}: {'.'.join(map(str, (name, *problem['loc'])))}: {problem['msg']}"
            + ("" if problem["type"] == "missing" else f", found {problem['input']!r}")
            for problem in error.errors()
        )
        raise PipelineError("\n".join(problems)) from error


def read_section(name: str, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Return the keys and values of a section of a YAML file, unchecked.

    Raises:
        PipelineError: The file is no YAML mapping, or has no such section.
    """
    try:
        sections = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(sections, dict) or not isinstance(sections.get(name), dict):
        raise PipelineError(f"{path}: expected a section {name!r} with keys and values, found none")
    found: dict[str, Any] = sections[name]
    return found


@contextmanager
def dependencies_unchanged(stage: str) -> Iterator[None]:
    """Make sure that what a stage depends on does not change in the course of it.

    DVC hashes it when the stage has ended. A file edited before that would go into ``dvc.lock``
    with results that another version of it has made (treeverse/dvc#11058). Not seen are a change
    before this begins, while modules are imported, one inside a folder, and one that is undone.

    Raises:
        PipelineError: A file that ``dvc.yaml`` lists, or the stage's parameters, changed.
    """
    stages = read_section("stages", DVC_FILE) if DVC_FILE.exists() else {}
    paths = [Path(dependency) for dependency in stages.get(stage, {}).get("deps") or []]

    def fingerprints() -> dict[Path, Any]:
        return {PARAMS_FILE: read_section(stage)} | {path: _fingerprint(path) for path in paths}

    before = fingerprints()
    yield
    after = fingerprints()
    changed = [str(path) for path in before if before[path] != after[path]]
    if changed:
        raise PipelineError(
            f"{', '.join(changed)} changed while the stage ran, so nobody knows what made its "
            "results. Run `dvc repro` again; or if the change does not matter, "
            f"`dvc commit {stage}` takes the results as they are."
        )


def _fingerprint(path: Path) -> Any:
    """Return what tells of a change: of code its bytes, of data, which are large, their time."""
    if not path.exists():
        return None
    return path.read_bytes() if path.suffix == ".py" else path.stat().st_mtime_ns


def run_stage(stage: Callable[[S], None], section: type[S]) -> None:
    """Run a stage as a command, with the parameters of the section that bears its name.

    Whatever the user can mend ends the process with a message and exit status 1; an
    interruption ends it with the shell's usual 128 + signal, after the clean-up of what
    was open.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m pipeline.stages.{stage.__name__}",
        description=sys.modules["__main__"].__doc__,
        epilog=f"Parameters: section {stage.__name__!r} of {PARAMS_FILE}. Run it in the project's "
        f"root folder, or let `dvc repro {stage.__name__}` decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        params = load_section(stage.__name__, section)
        with dependencies_unchanged(stage.__name__):
            stage(params)
    except (PipelineError, OSError) as error:
        sys.exit(f"{stage.__name__}: {error}")
    except KeyboardInterrupt:
        print(f"{stage.__name__}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
