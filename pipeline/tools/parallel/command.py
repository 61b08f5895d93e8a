"""Run the stages of dvc.yaml several at once, with the lock file and results of `dvc repro`.

Each stage starts as soon as the stages before it are done and a slot is free. It takes as many
slots as its parameter `threads` says, or one; on a worker with GPUs, one of them too. It runs in a
folder of its own, with nothing in it but what it declares.

With --scheduler, stages run on the workers of a Dask cluster, which need the packages of this
environment, but neither this project nor a file system in common (docs/scaling.md).
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.jobs.options import base_job, open_executor, parse_arguments
from pipeline.runtime.errors import PipelineError, reason
from pipeline.tools.command_line import run_tool, tool_parser

if TYPE_CHECKING:
    from dvc.repo import Repo

    from pipeline.tools.parallel.plan import Plan

FAILED = 1
ORDER = "parallel/order.json"  # in DVC's folder for temporary files
EPILOG = """\
Exit codes: 0 every stage is up to date, 1 a stage failed, 2 bad use, a lost cluster, or an error.
The output of each stage is kept in .dvc/tmp/parallel/output/.

  python -m pipeline parallel                    # a slot for each core of this machine
  python -m pipeline parallel --jobs 4 evaluate  # `evaluate`, and what it needs
  cd studies && python -m pipeline parallel      # another dvc.yaml, as `make study JOBS=4`"""


def main() -> None:
    """Parse the command line, and run."""
    parser = tool_parser("parallel", __doc__, formats=False)
    parser.epilog = EPILOG
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="as of dvc repro")
    parser.add_argument("--force", action="store_true", help="run also what has not changed")
    parser.add_argument(
        "--keep-going", action="store_true", help="after a failure, run what does not need it"
    )
    parser.add_argument("--dry", action="store_true", help="only tell what would run")
    given = parse_arguments(parser, "one for each core of this machine")
    run_tool("parallel", lambda: parallel(given))


def parallel(given: argparse.Namespace) -> int:
    """Run the targets, and return the exit code."""
    from pipeline.tools.parallel.plan import make_plan

    with _project() as repo:
        plan = make_plan(repo, given.targets)
        if given.dry:
            for line in would_run(plan, force=given.force):
                print(line)
            return 0
        return _run(plan, given)


@contextmanager
def _project() -> Iterator["Repo"]:
    """Open the DVC project of the current folder, locked against other commands of DVC."""
    import logging

    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.WARNING)
    try:
        with Repo() as repo:
            if Path(repo.tmp_dir, ORDER).exists():  # the last run may have been killed
                from pipeline.tools.doctor.repair import repair_dvc_project

                for repaired in repair_dvc_project(Path(repo.root_dir), Path(repo.root_dir)):
                    print(repaired)
            with repo.lock:
                yield repo
    except LockError as error:
        raise PipelineError(
            "another command of DVC runs in this project. Wait until it has ended"
        ) from error
    except DvcException as error:
        raise PipelineError(reason(error)) from error


def would_run(plan: "Plan", *, force: bool) -> Iterator[str]:
    """Yield a line for each stage that would run, or would if the ones before change."""
    changed: set[object] = set()
    for stage in plan.stages:
        after = [one.addressing for one in plan.upstream[stage] if one in changed]
        if force or stage.changed(upstream=plan.upstream[stage]) or after:
            changed.add(stage)
            yield f"{stage.addressing}: would run" + (
                f", after {', '.join(after)}" if after else ""
            )
    if not changed:
        yield "Every stage is up to date."


def _run(plan: "Plan", given: argparse.Namespace) -> int:
    from pipeline.jobs.pool import Pool
    from pipeline.tools.parallel.job_builder import JobBuilder
    from pipeline.tools.parallel.order import SerialOrder
    from pipeline.tools.parallel.progress import Progress
    from pipeline.tools.parallel.run import Run

    folder = Path(plan.repo.tmp_dir, "parallel")
    logs = folder / "output"
    logs.mkdir(parents=True, exist_ok=True)
    order = SerialOrder(plan.stages, Path(plan.repo.tmp_dir, ORDER))
    with (
        _scratch(folder / "jobs") as scratch,
        closing(Progress(len(plan.stages))) as progress,
        closing(Pool(lambda: open_executor(given, scratch, progress.tell), progress.tell)) as pool,
    ):
        builder = JobBuilder(plan.repo, scratch, base_job(given))
        run = Run(
            plan,
            pool,
            order,
            builder,
            progress,
            logs,
            force=given.force,
            keep_going=given.keep_going,
        )
        run.run()
    with plan.repo.scm_context(quiet=True):
        pass  # adds what has changed to Git, where core.autostage says so
    if run.failed:
        return FAILED
    order.close()
    if not progress.told:
        print("Every stage is up to date.")
    return 0


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Make a folder for the files of jobs, and remove it with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
