"""Run a revision from scratch in a clean clone, with nothing but what is committed."""

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

# The clone has a cache of its own, whatever this user has set, so nothing comes from another one.
CONFIG = "[cache]\n    dir = cache\n"


def run_in_clone(revision: Revision, locked: Lock, folder: Path, scratch: Path) -> Path:
    """Run a revision's pipeline from scratch and return the project's folder in the clone.

    DVC's run cache is off, and progress goes to standard error. Only the pipeline in the root
    folder runs: studies/ is a DVC project of its own.

    Args:
        revision: A commit.
        locked: Its lock file.
        folder: Empty; the clone is made in it.
        scratch: For files that DVC keeps outside of projects.

    Raises:
        PipelineError: The lock file is stale, a stage fails, or the pipeline writes outside of
            its folder.
    """
    project = clone(revision, folder)
    (project / ".dvc/config.local").write_text(CONFIG, encoding="utf-8")
    environment = _environment(scratch)
    _refuse_stale(revision, project, environment)
    _remove_results(project, locked)
    code = run_dvc(
        *("repro", "--force", "--no-run-cache", "--no-commit"),
        folder=project,
        environment=environment,
        output=sys.stderr,
    )
    if code:
        raise PipelineError(
            f"{revision} does not run in a clean clone: dvc repro ended with exit code {code}; "
            "its message stands above"
        )
    return project


def _environment(scratch: Path) -> dict[str, str]:
    """Return this process's variables, changed so that DVC and the stages keep to the clone."""
    variables = without_repository(dvc_environment())
    variables["DVC_SITE_CACHE_DIR"] = str(scratch / "dvc")
    # The stages import the clone's modules, not those of the workspace.
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


def _refuse_stale(revision: Revision, project: Path, environment: Mapping[str, str]) -> None:
    """Refuse a lock file of other code, parameters or reports than those committed with it."""
    try:
        stale = staleness(project, environment)
    except PipelineError as error:
        raise PipelineError(f"{revision}: {error}") from error
    if stale:
        reasons = (
            f"{stage} ({reason})" for stage, found in stale.reasons.items() for reason in found
        )
        raise PipelineError(
            f"{revision}: {LOCK_FILE} is stale, it is not of the files committed with it: "
            f"{', '.join(reasons)}. Run `dvc repro` and commit what it changes."
        )


def _remove_results(project: Path, locked: Lock) -> None:
    """Remove the committed outputs and the lock file, so that a stage must write its outputs.

    Raises:
        PipelineError: An output lies outside of the clone, where a run would overwrite it.
    """
    results = [project / path for stage in locked.values() for path in stage.outs]
    for result in results:
        if not result.resolve().is_relative_to(project.resolve()):
            raise PipelineError(
                f"{result}: the pipeline writes outside of its project, so a clone cannot run it"
            )
    for result in [*results, project / LOCK_FILE]:
        if result.is_dir() and not result.is_symlink():
            shutil.rmtree(result)
        else:
            result.unlink(missing_ok=True)
