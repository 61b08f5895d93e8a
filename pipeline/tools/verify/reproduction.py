"""The outputs of a pipeline that was run again, compared with its committed lock file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.history.changes import Change
from pipeline.history.lineage import sources
from pipeline.history.provenance import ENVIRONMENT_FILE
from pipeline.runtime.lock import Lock, overlap, upstream, writers
from pipeline.tools.compare.comparison import Comparison

REPRODUCED = "reproduced"
CONSISTENT = "consistent"
NOT_REPRODUCED = "not reproduced"


class Output(NamedTuple):
    """An output of a stage, a file or a folder, as locked and as reproduced.

    Attributes:
        stage: Its name.
        path: Of the output.
        locked: Hash in the committed lock file; of a folder it ends in ".dir".
        reproduced: Hash of the new output.
    """

    stage: str
    path: str
    locked: str
    reproduced: str

    @property
    def is_same(self) -> bool:
        """Whether every byte is the same."""
        return self.locked == self.reproduced


@dataclass(frozen=True)
class Reproduction:
    """A committed lock file, and the one that a run from scratch wrote, with the same entries.

    Attributes:
        locked: The committed lock file.
        reproduced: The new one.
        environment: Entries of the environment that differ, old as committed, new as now.
        comparison: Of the committed predictions with the new ones; None where they are for
            different images, or missing.
        claimed_accuracy: In the committed metrics; None where they have none.
    """

    locked: Lock
    reproduced: Lock
    environment: Sequence[Change]
    comparison: Comparison | None
    claimed_accuracy: float | None

    @property
    def outputs(self) -> list[Output]:
        """Every output of the pipeline, in the order of the stages."""
        return [
            Output(name, path, md5, self.reproduced[name].outs[path])
            for name, stage in self.locked.items()
            for path, md5 in stage.outs.items()
        ]

    @property
    def changed_meanwhile(self) -> tuple[str, str] | None:
        """The first file or folder that changed while a stage that depends on it ran; the stage.

        DVC hashes the dependencies of a stage when the stage has ended, so its lock file would
        tie the outputs to bytes that they were not made from.
        """
        # Code had the locked bytes when the run began, data those that their stage wrote. A file
        # in a folder that a stage wrote is left out, since the lock file has no hash of it.
        expected = sources(self.locked)
        for stage in self.reproduced.values():
            expected |= stage.outs
        for name, stage in self.reproduced.items():
            for path, md5 in stage.deps.items():
                if md5 != expected.get(path, md5):
                    return path, name
            for path, params in stage.params.items():
                if params != self.locked[name].params[path]:
                    return path, name
        return None

    @property
    def first_difference(self) -> str | None:
        """The first stage with an output that differs although its inputs are the same."""
        differing = [output for output in self.outputs if not output.is_same]
        for output in differing:
            deps = self.locked[output.stage].deps
            if not any(overlap(path, other.path) for path in deps for other in differing):
                return output.stage
        return None

    @property
    def data_are_same(self) -> bool:
        """Whether all outputs are the same but those of training, which the environment is of."""
        recorders = writers(self.locked, ENVIRONMENT_FILE)
        return all(
            output.is_same or recorders & {output.stage, *upstream(self.locked, [output.stage])}
            for output in self.outputs
        )

    @property
    def verdict(self) -> str:
        """Reproduced, consistent or not reproduced."""
        if not self.changed_meanwhile and all(output.is_same for output in self.outputs):
            return REPRODUCED
        return NOT_REPRODUCED if self.objection else CONSISTENT

    @property
    def objection(self) -> str:  # noqa: PLR0911 (a table of cases)
        """Why what is not the same to the byte is not consistent either; empty if it is."""
        if self.changed_meanwhile:
            path, stage = self.changed_meanwhile
            return f"{path}, on which stage {stage!r} depends, changed during the run"
        if not self.environment:
            return "the environment is the same"
        if not self.data_are_same:
            return "it does not come from the stage that records the environment"
        if self.comparison is None:
            return "the environment differs, but the predictions cannot be compared"
        if not self.comparison.is_equivalent:
            return "the environment differs, but the predictions do not agree within the margin"
        base, claimed = self.comparison.base, self.claimed_accuracy
        if claimed is not None and round(claimed * self.comparison.images) != base.correct:
            return (
                f"the committed metrics claim an accuracy of {claimed:.2%}, "
                f"but the predictions beside them have {base.share:.2%}"
            )
        return ""

    @property
    def sentence(self) -> str:
        """The verdict and its reason."""
        outputs = self.outputs
        differing = [output for output in outputs if not output.is_same]
        if self.verdict == REPRODUCED:
            return f"Reproduced: all {len(outputs)} outputs are the same to the byte."
        if self.changed_meanwhile:
            return f"Not reproduced: {self.objection}."
        counted = f"{len(differing)} of {len(outputs)} outputs differ"
        if self.verdict == CONSISTENT:
            return (
                f"Consistent: {counted}, but so does the environment; the data are the same, and "
                "the predictions agree within the margin."
            )
        return (
            f"Not reproduced: {counted}, first of stage {self.first_difference!r}, "
            f"whose inputs are the same; {self.objection}."
        )
