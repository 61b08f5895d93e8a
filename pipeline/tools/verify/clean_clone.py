"""A clean clone: a revision run from scratch, on nothing but what is committed."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.history.dvc_command import dvc_environment, run_dvc
from pipeline.history.revisions import PROJECT, Revision, clone, without_repository
from pipeline.history.staleness import staleness
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LOCK_FILE, Lock
from pipeline.runtime.yaml import parse_yaml

# The clone's own cache, whatever this user has set: nothing is to come from elsewhere or go there.
CONFIG = "[cache]\n    dir = cache\n"


def run_in_clone(revision: Revision, locked: Lock, folder: Path, scratch: Path) -> Path:
    """Run a revision's pipeline from scratch and return the project's folder in the clone.

    The run cache of DVC is off, and progress goes to standard error.

    Args:
        revision: A commit.
        locked: What its lock holds.
        folder: Empty; the clone is made in it.
        scratch: For what DVC keeps outside of projects.

    Raises:
        PipelineError: The lock is not about what is committed with it, a stage fails, or the
            pipeline works outside of its folder.
    """
    project = clone(revision, folder)
    if (project / ".dvc").is_symlink() or not (project / ".dvc").is_dir():
        raise PipelineError(f"{revision}: no folder .dvc there, so no project of DVC")
    _refuse_working_directories(revision, project)
    (project / ".dvc/config.local").write_text(CONFIG, encoding="utf-8")
    surroundings = _surroundings(scratch)
    _refuse_stale(revision, project, surroundings)
    _remove_results(project, locked)
    status = run_dvc(
        *("repro", "--force", "--no-run-cache", "--no-commit"),
        folder=project,
        environment=surroundings,
        output=sys.stderr,
    )
    if status:
        raise PipelineError(
            f"{revision} does not run in a clean clone: dvc repro ended with exit status "
            f"{status}; its message stands above"
        )
    return project


def _surroundings(scratch: Path) -> dict[str, str]:
    """Return the variables for DVC in the clone: those of this process, but no traces elsewhere."""
    variables = without_repository(dvc_environment())
    variables["DVC_SITE_CACHE_DIR"] = str(scratch / "dvc")
    mirror = variables.get("MNIST_MIRROR", "").strip()
    if mirror and Path(mirror).is_dir():  # which may be named as seen from here
        variables["MNIST_MIRROR"] = str(Path(mirror).absolute())
    # The stages are to import the clone's modules, not those that lie here.
    variables.pop("PYTHONSAFEPATH", None)
    paths = variables.pop("PYTHONPATH", "").split(os.pathsep)
    elsewhere = [
        path
        for path in paths
        if path and not Path(path).resolve().is_relative_to(PROJECT.resolve())
    ]
    if elsewhere:
        variables["PYTHONPATH"] = os.pathsep.join(elsewhere)
    return variables


def _refuse_stale(revision: Revision, project: Path, surroundings: Mapping[str, str]) -> None:
    """Refuse a lock that is not about the revision's own code, parameters and reports."""
    try:
        stale = staleness(project, surroundings)
    except PipelineError as error:
        raise PipelineError(f"{revision}: {error}") from error
    if stale:
        blamed = (
            f"{stage} ({reason})" for stage, reasons in stale.reasons.items() for reason in reasons
        )
        raise PipelineError(
            f"{revision}: {LOCK_FILE} is stale, since it is not about what is committed with it: "
            f"{', '.join(blamed)}. Run `dvc repro` and commit what it changes."
        )


def _refuse_working_directories(revision: Revision, project: Path) -> None:
    """Refuse stages with a ``wdir``: the lock gives their paths without saying from where."""
    try:
        stages = parse_yaml((project / "dvc.yaml").read_bytes())["stages"]
        where = [name for name, stage in stages.items() if "wdir" in stage.get("do", stage)]
    except (ValueError, LookupError, TypeError, AttributeError, OSError):
        return  # DVC says better what is wrong
    if where:
        raise PipelineError(f"{revision}: cannot verify stages with a wdir: {', '.join(where)}")


def _remove_results(project: Path, locked: Lock) -> None:
    """Remove the committed reports and the lock, so that no stage can live on what it left.

    Raises:
        PipelineError: A result lies outside of the clone, where a run would overwrite it.
    """
    results = [project / path for stage in locked.values() for path in stage.outs]
    for result in results:
        if not result.resolve().is_relative_to(project.resolve()):
            raise PipelineError(
                f"{result}: the pipeline writes outside of its project, so it cannot be run aside"
            )
    for result in [*results, project / LOCK_FILE]:
        if result.is_dir() and not result.is_symlink():
            shutil.rmtree(result)
        else:
            result.unlink(missing_ok=True)
