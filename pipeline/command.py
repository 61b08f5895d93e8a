"""What turns a stage into a command: a command line, clear endings, and no change meanwhile."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.inputs import check_inputs
from pipeline.reason import reason
from pipeline.stage import (
    DVC_FILE,
    PARAMS_FILE,
    PipelineError,
    Section,
    load_section,
    read_section,
)

S = TypeVar("S", bound=Section)


@contextmanager
def dependencies_unchanged(
    stage: str,
    load: Callable[[], Any],
    dvc_file: Path = DVC_FILE,
    params_file: Path = PARAMS_FILE,
) -> Iterator[None]:
    """Make sure that what a stage depends on is whole and does not change in the course of it.

    DVC hashes it when the stage has ended. A file edited before that would go into ``dvc.lock``
    with results that another version of it has made (treeverse/dvc#11058). Not seen are a change
    before this begins, while modules are imported, one inside a folder, and one that is undone.

    Args:
        stage: Its name.
        load: Returns the stage's parameters as they stand in their file.
        dvc_file: The pipeline that lists what the stage depends on.
        params_file: The file of the parameters.

    Raises:
        PipelineError: A file that the pipeline lists, or a parameter, changed; or DVC runs the
            stage, and a file is not what an earlier stage wrote; or the pipeline cannot be read.
    """
    stages = read_section("stages", dvc_file) if dvc_file.exists() else {}
    try:
        paths = [Path(dependency) for dependency in stages.get(stage, {}).get("deps") or []]
    except (AttributeError, TypeError) as error:
        raise PipelineError(f"{dvc_file}: stage {stage!r} is none that DVC can run") from error

    if "DVC_STAGE" in os.environ:  # by hand, what the lock says need not be what is meant
        check_inputs(paths)

    def fingerprints() -> dict[Path, Any]:
        return {params_file: load()} | {path: _fingerprint(path) for path in paths}

    before = fingerprints()
    yield
    after = fingerprints()
    changed = [str(path) for path in before if before[path] != after[path]]
    if changed:
        target = stage if dvc_file == DVC_FILE else f"{dvc_file}:{stage}"
        raise PipelineError(
            f"{', '.join(changed)} changed while the stage ran, so nobody knows what made its "
            "results. Run `dvc repro` again; or if the change does not matter, "
            f"`dvc commit {target}` takes the results as they are."
        )


def _fingerprint(path: Path) -> Any:
    """Return what tells of a change: of code its bytes, of data, which are large, their time."""
    if not path.exists():
        return None
    return path.read_bytes() if path.suffix == ".py" else path.stat().st_mtime_ns


def run_stage(stage: Callable[[S], None], section: type[S], folder: Path = Path()) -> None:
    """Run a stage as a command, with the parameters of the section that bears its name.

    Whatever the user can mend ends the process with a message and exit status 1; an
    interruption ends it with the shell's usual 128 + signal, after the clean-up of what
    was open.

    Args:
        stage: The function.
        section: What its section is checked by.
        folder: Where the ``params.yaml`` and the ``dvc.yaml`` are that know it.
    """
    name = stage.__name__
    params_file, dvc_file = folder / PARAMS_FILE, folder / DVC_FILE
    main = sys.modules["__main__"]
    target = name if dvc_file == DVC_FILE else f"{dvc_file}:{name}"
    argparse.ArgumentParser(
        prog=f"python -m {main.__spec__.name if main.__spec__ else name}",
        description=main.__doc__,
        epilog=f"Parameters: section {name!r} of {params_file}. Run it in the project's "
        f"root folder, or let `dvc repro {target}` decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    load = partial(load_section, name, section, params_file)
    with clear_ending(name), dependencies_unchanged(name, load, dvc_file, params_file):
        stage(load())


@contextmanager
def clear_ending(name: str) -> Iterator[None]:
    """End the process of a stage of that name as ``run_stage`` says."""
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
