"""What came out when a locked pipeline was run again, against what its lock promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.changes import Change
from pipeline.comparison import Comparison
from pipeline.lock import Lock, sources, upstream
from pipeline.provenance import ENVIRONMENT_FILE

REPRODUCED = "reproduced"
CONSISTENT = "consistent"
NOT_REPRODUCED = "not reproduced"


class Output(NamedTuple):
    """An output of a stage, as locked and as reproduced.

    Attributes:
        stage: Its name.
        path: Of the file.
        locked: MD5 in the lock; None where the lock has no such output.
        reproduced: MD5 of what came out; None where nothing did.
    """

    stage: str
    path: str
    locked: str | None
    reproduced: str | None

    @property
    def is_same(self) -> bool:
        """Whether every byte is."""
        return self.locked == self.reproduced


@dataclass(frozen=True)
class Reproduction:
    """A lock, and the lock that a run from scratch wrote.

    Attributes:
        locked: What the revision promises.
        reproduced: What was read and written now.
        environment: Entries of the environment that differ, old as locked, new as now.
        comparison: Of the locked predictions with those that came out; None where they are
            of different images, or missing.
    """

    locked: Lock
    reproduced: Lock
    environment: Sequence[Change]
    comparison: Comparison | None

    @property
    def outputs(self) -> list[Output]:
        """Every output of the pipeline, in the order of the stages."""
        return [
            Output(stage, path, before.get(path), after.get(path))
            for stage in {**self.locked, **self.reproduced}
            for before, after in [(outs(self.locked, stage), outs(self.reproduced, stage))]
            for path in {**before, **after}
        ]

    @property
    def changed_meanwhile(self) -> tuple[str, str] | None:
        """The first file that a stage depends on and that changed during the run, and the stage.

        DVC hashes what a stage depends on when the stage has ended, so a change before that
        ties the outputs to bytes that they were not made from.
        """
        # Code had the locked bytes when the run began, data those that their stage wrote.
        expected = sources(self.locked)
        for stage in self.reproduced.values():
            expected |= stage.outs
        for name, stage in self.reproduced.items():
            for path, md5 in stage.deps.items():
                if md5 != expected.get(path):
                    return path, name
            for path, params in stage.params.items():
                if name in self.locked and params != self.locked[name].params.get(path):
                    return path, name
        return None

    @property
    def first_difference(self) -> str | None:
        """The first stage with an output that differs although all that it read is the same."""
        differing = {output.path for output in self.outputs if not output.is_same}
        for name, stage in {**self.locked, **self.reproduced}.items():
            written = {*outs(self.locked, name), *outs(self.reproduced, name)}
            if differing & written and not differing & set(stage.deps):
                return name
        return None

    @property
    def data_are_same(self) -> bool:
        """Whether all is that comes before the stage that records the environment."""
        stages = upstream(self.locked, ENVIRONMENT_FILE)
        return all(output.is_same for output in self.outputs if output.stage in stages)

    @property
    def verdict(self) -> str:
        """Reproduced, consistent or not reproduced."""
        if self.changed_meanwhile:
            return NOT_REPRODUCED
        if all(output.is_same for output in self.outputs):
            return REPRODUCED
        agrees = self.comparison is not None and self.comparison.is_equivalent
        return CONSISTENT if self.environment and self.data_are_same and agrees else NOT_REPRODUCED

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        outputs = self.outputs
        if self.verdict == REPRODUCED:
            return f"Reproduced: all {len(outputs)} outputs are the same to the byte."
        if self.changed_meanwhile:
            path, stage = self.changed_meanwhile
            return (
                f"Not reproduced: {path}, on which stage {stage!r} depends, changed during the run."
            )
        differing = (
            f"{sum(not output.is_same for output in outputs)} of {len(outputs)} outputs differ"
        )
        if self.verdict == CONSISTENT:
            return (
                f"Consistent: {differing}, but so does the environment; the data are the same, and "
                "the predictions agree within the margin."
            )
        where = f"{differing}, first of stage {self.first_difference!r}, whose inputs are the same"
        if not self.environment:
            return f"Not reproduced: {where}; so is the environment."
        if not self.data_are_same:
            return f"Not reproduced: {where}; it does not depend on the environment."
        return (
            f"Not reproduced: {where}; the environment differs, "
            "but the predictions do not agree within the margin."
        )


def outs(lock: Lock, stage: str) -> Mapping[str, str]:
    """Return what a stage wrote, MD5 by path; nothing if it did not run."""
    return lock[stage].outs if stage in lock else {}
