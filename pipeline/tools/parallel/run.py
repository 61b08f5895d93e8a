"""Run a plan: prepare each stage, hand it to the pool, and record it when it has ended."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.stage.cache import RunCacheNotFoundError

from pipeline.jobs.job import Job
from pipeline.jobs.pool import FinishedJob, Pool
from pipeline.jobs.sandbox import FILES, NAMED, OUTPUT, remove_sandbox
from pipeline.runtime.errors import reason
from pipeline.tools.parallel.job_builder import JobBuilder, slots_of
from pipeline.tools.parallel.order import SerialOrder
from pipeline.tools.parallel.plan import Plan
from pipeline.tools.parallel.progress import Progress

# What programs say of a file that is not there.
MISSING = "no such file|not found|cannot (open|find)|does not exist|FileNotFound|No module named"


@dataclass
class Run:
    """A run of a plan.

    Attributes:
        plan: What runs.
        pool: Where.
        order: The files in which it is recorded.
        builder: Makes the jobs.
        progress: Tells the user.
        logs: A folder, in which the output of each stage is kept.
        force: Whether also those stages run that have not changed.
        keep_going: Whether a failure stops only the stages after it.
        done: The stages that are as they should be.
        failed: Those that failed, and those that could not run for that.
    """

    plan: Plan
    pool: Pool
    order: SerialOrder
    builder: JobBuilder
    progress: Progress
    logs: Path
    force: bool
    keep_going: bool
    done: set[Any] = field(default_factory=set)
    failed: set[Any] = field(default_factory=set)
    _started: dict[str, "_Started"] = field(default_factory=dict)

    def run(self) -> None:
        """Run until nothing is left to do."""
        while True:
            for stage in self._ready():
                if not self.pool.wants_more:
                    break
                self._begin(stage)
            if not self._started:
                return
            self._collect()
            self.progress.show(list(self.pool.running()))

    def _collect(self) -> None:
        """Wait for stages that have ended; record those that ended well, whatever happens."""
        settled: list[Any] = []
        try:
            for finished in self.pool.collect(self.progress.interval):
                settled += self._settle(finished)
        finally:
            self._record(settled)

    def _ready(self) -> Iterator[Any]:
        """Yield the stages that can begin; each is asked for when the one before has begun."""
        begun = {started.stage for started in self._started.values()}
        for stage in self.plan.stages:
            if self.failed and not self.keep_going:
                return
            if stage in self.done or stage in self.failed or stage in begun:
                continue
            if all(before in self.done for before in self.plan.upstream[stage]):
                yield stage

    def _begin(self, stage: Any) -> None:
        """Start a stage, if it has to run at all; what DVC remembers of earlier runs is taken."""
        upstream = self.plan.upstream[stage]
        try:
            if not self.force and not _changed(stage, upstream):
                self.done.add(stage)
                self.progress.unchanged()
                return
            if stage.frozen or not stage.cmd:
                stage.run()
                self._record([stage])
                self.progress.verified(stage.addressing)
                return
            if self.force:
                stage.save_deps()
            elif _restored(stage):
                _save(stage)
                self._record([stage])
                self.progress.restored(stage.addressing)
                return
            job, top = self.builder.job(stage)
        except (DvcException, OSError) as error:
            self._fail(stage, reason(error))
            return
        hashes = [dependency.hash_info for dependency in stage.deps]
        self._started[job.name] = _Started(stage, job, top, hashes)
        self.pool.submit(job, slots_of(stage))

    def _settle(self, finished: FinishedJob) -> list[Any]:
        """Put the outputs of a stage in place and save them; return it, if all went well."""
        started = self._started.pop(finished.name)
        stage, result = started.stage, finished.result
        log = self._keep_log(finished)
        try:
            if result.state == "failed":
                text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
                hint = undeclared_input(text, started.job, started.top)
                self._fail(stage, result.reason, text, hint)
                return []
            changed = started.changed()
            if changed:
                self._fail(stage, f"{', '.join(changed)} changed while it ran: run this again")
                return []
            _remove_outputs(stage)
            for path in started.job.outs:
                move_into_place(Path(result.sandbox, FILES, path), started.top / path)
            _save(stage)
        except (DvcException, OSError) as error:
            self._fail(stage, reason(error))
            return []
        finally:
            if result.sandbox:
                remove_sandbox(result.sandbox)
        self._tell_undeclared(finished, started.top)
        self.progress.done(finished)
        return [stage]

    def _record(self, stages: list[Any]) -> None:
        self.order.record(stages)
        self.done.update(stages)

    def _keep_log(self, finished: FinishedJob) -> Path:
        kept = self.logs / (re.sub(r"[^\w@.-]", "_", finished.name) + ".txt")
        if finished.result.sandbox:
            shutil.move(Path(finished.result.sandbox, OUTPUT), kept)
        else:
            kept.unlink(missing_ok=True)
        return kept

    def _tell_undeclared(self, finished: FinishedJob, top: Path) -> None:
        """Name files that would have stayed in the folder with `dvc repro`."""
        ignore = self.plan.repo.dvcignore
        wrote = [
            path
            for path in finished.result.undeclared
            if not ignore.is_ignored(self.plan.repo.fs, str(top / path))
        ]
        if wrote:
            more = f" and {len(wrote) - NAMED} more" if len(wrote) > NAMED else ""
            self.progress.tell(
                f"{finished.name}: also wrote {', '.join(wrote[:NAMED])}{more}, which it does not "
                "declare: gone"
            )

    def _fail(self, stage: Any, problem: str, output: str = "", hint: str = "") -> None:
        self.failed.add(stage)
        after = self.plan.downstream(stage)
        self.failed.update(after)
        self.progress.failed(stage.addressing, problem, output, hint)
        if after and self.keep_going:
            names = ", ".join(one.addressing for one in after)
            self.progress.tell(f"{names}: cannot run without {stage.addressing}")
        if not self.keep_going:
            self._drop_waiting()

    def _drop_waiting(self) -> None:
        """Start nothing more; what runs is waited for and recorded."""
        for name in self.pool.drop_waiting():
            del self._started[name]
        running = sorted(name for name, _, _ in self.pool.running())
        if running:
            self.progress.tell(
                f"Waiting for what still runs: {', '.join(running)}. Ctrl-C kills it"
            )


@dataclass(frozen=True)
class _Started:
    """A stage that runs; ``hashes`` are those of its inputs, before."""

    stage: Any
    job: Job
    top: Path
    hashes: list[Any]

    def changed(self) -> list[str]:
        """Return the inputs that are others now: their hashes would go into the lock file."""
        self.stage.save_deps()
        pairs = zip(self.stage.deps, self.hashes, strict=True)
        return [str(dependency) for dependency, before in pairs if dependency.hash_info != before]


def _changed(stage: Any, upstream: list[Any]) -> bool:
    """Return whether a stage has to run."""
    # One without recorded outputs has: DVC, which would look at all its files, need not be asked.
    return any(not out.hash_info for out in stage.outs) or stage.changed(upstream=upstream)


def _restored(stage: Any) -> bool:
    """Return whether DVC had the outputs in its cache, and has put them in place.

    If not, the stage knows the hashes of its inputs as they are now.
    """
    cache = stage.repo.stage_cache
    if stage.changed_stage() or not stage.deps_cached():
        stage.save_deps()
        for out in stage.outs:  # what the lock file says of them is of other inputs
            out.hash_info = type(out.hash_info)()
    try:
        cache.restore(stage, dry=True)
    except RunCacheNotFoundError:
        return False
    _remove_outputs(stage)
    cache.restore(stage)
    return True


def _remove_outputs(stage: Any) -> None:
    """Remove what DVC removes before it runs a stage, late enough that a failure leaves it."""
    if any(os.path.lexists(out.fs_path) for out in stage.outs):
        stage.remove_outs(ignore_remove=False, force=False)


def _save(stage: Any) -> None:
    """Save a stage as `dvc repro` does after its commands."""
    no_cache = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
    stage.save(run_cache=not no_cache)
    stage.commit()


def move_into_place(source: Path, target: Path) -> None:
    """Put an output in place, whole; what was there goes.

    Raises:
        OSError: It cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove(target)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:  # the output is on another disk
            raise
        shutil.move(source, beside := target.with_name(f"{target.name}.partial"))
        beside.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def undeclared_input(output: str, job: Job, top: Path) -> str:
    """Return a hint where a stage's output names a file that it does not declare, or "".

    Args:
        output: What the stage printed.
        job: What it declares.
        top: The folder that its paths are relative to.
    """
    lines = [one for one in output.splitlines() if re.search(MISSING, one, re.IGNORECASE)]
    words = set(re.findall(r"[^\s'\"`:,;()\[\]<>=]+", "\n".join(lines)))
    modules = re.findall(r"No module named '([\w.]+)'", output)
    words |= {
        f"{name.replace('.', '/')}{end}" for name in modules for end in (".py", "/__init__.py")
    }
    declared = [*job.files, *job.outs]
    for word in sorted(words):
        path = os.path.normpath(Path(job.folder) / word)
        known = any(f"{one}/".startswith(f"{path}/") for one in declared)
        if not Path(word).is_absolute() and not known and _is_input(top / path, top):
            return (
                f"{word} is in the project, but not among the stage's dependencies: a stage runs "
                "in a folder with nothing but what it declares. Add it under `deps`"
            )
    return ""


def _is_input(path: Path, top: Path) -> bool:
    try:
        return path != top and path.is_relative_to(top) and path.is_file()
    except (OSError, ValueError):  # no path at all
        return False
