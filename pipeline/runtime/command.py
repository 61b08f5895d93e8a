"""Run a stage as a command: its command line, its exit codes, and no change while it runs."""

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.inputs import check_inputs, files_of
from pipeline.runtime.params import DVC_FILE, PARAMS_FILE, Section, load_section, read_section

S = TypeVar("S", bound=Section)


@contextmanager
def dependencies_unchanged(stage: str, load: Callable[[], Any]) -> Iterator[None]:
    """Make sure that what a stage depends on is whole, and does not change while the stage runs.

    DVC hashes it when the stage has ended. A file edited before that would go into ``dvc.lock``
    with results that another version of it has made (treeverse/dvc#11058). Not seen are a change
    before this begins, while modules are imported, and one that is undone.

    Args:
        stage: Its name in ``dvc.yaml``.
        load: Returns the stage's parameters as they stand in their files.

    Raises:
        PipelineError: A file that the pipeline lists, or a parameter, changed; or DVC runs the
            stage, and an input is not what an earlier stage wrote; or the pipeline cannot be read.
    """
    stages = read_section("stages", DVC_FILE) if DVC_FILE.exists() else {}
    try:
        paths = [Path(dependency) for dependency in stages.get(stage, {}).get("deps") or []]
    except (AttributeError, TypeError) as error:
        raise PipelineError(f"{DVC_FILE}: stage {stage!r} is malformed") from error

    if "DVC_STAGE" in os.environ:  # by hand, what the lock says need not be what is meant
        check_inputs(paths)

    def fingerprints() -> dict[str, Any]:
        files = {file: _fingerprint(file) for path in paths for file in files_of(path)}
        return {str(PARAMS_FILE): load()} | {str(file): found for file, found in files.items()}

    before = fingerprints()
    yield
    after = fingerprints()
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if changed:
        raise PipelineError(
            f"{', '.join(changed)} changed while the stage ran, so the results may come from "
            "either version. Run `dvc repro` again; or if the change does not matter, "
            f"`dvc commit {os.environ.get('DVC_STAGE', stage)}` takes the results as they are."
        )


def _fingerprint(path: Path) -> Any:
    """Return what shows a change: the bytes of code, the time of data, which are large."""
    return path.read_bytes() if path.suffix == ".py" else path.stat().st_mtime_ns


def run_stage(stage: Callable[[S], None], section: type[S]) -> None:
    """Run a stage as a command, with the parameters of the section that bears its name.

    Args:
        stage: The function.
        section: What its section is checked by.
    """
    name = stage.__name__
    stage_parser(name, "stage").parse_args()
    run_checked(name, stage, lambda: (load_section(name, section),))


def run_study(stage: Callable[..., None], load: Callable[[], Sequence[Any]]) -> None:
    """Run a stage of the studies as a command without arguments.

    Args:
        stage: The function, which bears the stage's name.
        load: Returns the parameters for it.
    """
    stage_parser(stage.__name__, "study").parse_args()
    run_checked(stage.__name__, stage, load)


def stage_parser(name: str, group: str, text: str | None = None) -> argparse.ArgumentParser:
    """Return the command line of a stage; its help says what the stage reads and writes.

    Args:
        name: Of the stage, in the ``dvc.yaml`` of the current folder.
        group: What the front door has it under, "stage" or "study".
        text: What it does; left out, the docstring of the module that runs.
    """
    where = " in studies/" if group == "study" else ""
    return argparse.ArgumentParser(
        prog=f"python -m pipeline {group} {name}",
        description=text or sys.modules["__main__"].__doc__,
        epilog=f"{_contract(name)}Exit codes: 0 done, 1 failed, with the reason in one line, "
        "2 wrong arguments.\n"
        f"`dvc repro {name}`{where} runs it only if it has to.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _contract(name: str) -> str:
    """Return what ``dvc.yaml`` says that a stage reads and writes, for its help."""
    try:
        stage = read_section("stages", DVC_FILE)[name]
        inputs = [path for path in stage.get("deps", []) if not path.startswith("pipeline/")]
        params = list(_names(stage.get("params", [])))
        outputs = [
            path for kind in ("outs", "metrics", "plots") for path in _names(stage.get(kind, []))
        ]
    except (PipelineError, OSError, LookupError, TypeError, AttributeError):
        return ""  # it runs without them too
    lists = {"reads": inputs, "parameters": params, "writes": outputs}
    lines = (f"{what}: {', '.join(names)}\n" for what, names in lists.items() if names)
    return re.sub(r"\$\{item\.(\w+)\}", lambda item: item[1].upper(), "".join(lines)) + "\n"


def _names(entries: Iterable[Any]) -> Iterator[str]:
    """Yield the names in a list of ``dvc.yaml``: of files, of parameters, of those of a file."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
            continue
        for name, below in entry.items():
            yield from (f"{name}:{key}" for key in below) if isinstance(below, list) else [name]


def run_checked(name: str, stage: Callable[..., None], load: Callable[[], Sequence[Any]]) -> None:
    """Run a stage with the parameters that ``load`` returns; nothing may change meanwhile.

    Whatever the user can mend ends the process with a message and exit code 1; an interruption
    ends it with the shell's usual 128 + signal, after the clean-up of what was open.
    """
    with clear_ending(name), dependencies_unchanged(name, load):
        try:
            stage(*load())
        except FileNotFoundError as error:
            here = shlex.quote(str(Path.cwd()))
            advice = f"`cd {here} && dvc repro {name}` makes first whatever {name} reads."
            raise PipelineError(f"{error}. {advice}") from error


@contextmanager
def clear_ending(name: str) -> Iterator[None]:
    """End the process of a stage of that name as ``run_checked`` says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except (PipelineError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        sys.exit(f"{name}: out of memory: {reason(error)}")


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether Python, or TensorFlow or JAX, which most stages never load, says so."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"MemoryError", "ResourceExhaustedError"}) or (
        "JaxRuntimeError" in names and "RESOURCE_EXHAUSTED" in str(error)
    )
