"""The report of what a branch changed, as a page for a pull request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.evaluation.predictions import PREDICTIONS_FILE
from pipeline.history.changes import Change, changes
from pipeline.history.revisions import Revision
from pipeline.history.staleness import Staleness
from pipeline.runtime.lock import Lock, writers
from pipeline.tools.compare.comparison import Comparison
from pipeline.tools.compare.page import (
    changes_table,
    class_table,
    comparison_headline,
    confusion_table,
    difference_table,
)
from pipeline.tools.page import Headline, Page, Table
from pipeline.tools.review.curves import curves_page


@dataclass(frozen=True)
class Results:
    """The results of a revision; empty where it lacks a file.

    Attributes:
        revision: Where they come from.
        outdated: Files and folders that have changed since its predictions were made.
        contradictions: What does not hold together in its lock file.
        lock: What DVC recorded of every stage.
        metrics: The content of every file of metrics, as JSON types, by its name without ending.
        curves: The learning curves, as ``parse_curves`` returns them.
    """

    revision: Revision
    outdated: Sequence[str]
    contradictions: Sequence[str]
    lock: Lock
    metrics: Mapping[str, Any]
    curves: pd.DataFrame | None


def report_page(
    before: Results,
    after: Results,
    comparison: Comparison | str,
    differing: Mapping[str, Sequence[Change]],
    *,
    stale: Staleness,
    outcomes: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Page:
    """Return what a branch changed: the verdict first.

    Args:
        before: The results that the branch started from.
        after: Its own.
        comparison: Of their predictions; a text says why there is none.
        differing: The other changes between them, by the file that they are in.
        stale: Which stages of ``after`` are out of date.
        outcomes: What the last run did with every stage; empty if it was not recorded.
        notes: Sentences about other things, such as why something is missing.
    """
    return [
        *_verdict(before, after, comparison, stale),
        f"Before: {before.revision}; after: {after.revision}. {stale.sentence}"
        + (" The results before were out of date themselves." if before.outdated else ""),
        *notes,
        _stages_table(before.lock, after.lock, stale, outcomes),
        _metrics_table(before.metrics, after.metrics),
        changes_table(differing),
        *curves_page(before.curves, after.curves),
        *(_details(comparison) if isinstance(comparison, Comparison) else []),
    ]


def _verdict(
    before: Results, after: Results, comparison: Comparison | str, stale: Staleness
) -> Page:
    """Return the comparison's verdict, or why there is none: not both results are of one piece."""
    made_by = writers(after.lock, PREDICTIONS_FILE) or set(stale.stages)
    is_stale = made_by & {*stale.reasons, *stale.following}
    todo = Headline(f"Not judged yet; to run first: {', '.join(stale.reasons)}.", "neutral")
    if isinstance(comparison, str):
        reason = f"Not compared: {comparison}."
        return [todo, reason] if is_stale else [Headline(reason, "neutral")]
    found = comparison_headline(comparison)
    if is_stale:
        return [todo, f"The predictions that are here were made by something else. {found.text}"]
    problems = [
        f"{side.revision}: {'; '.join(side.contradictions)}."
        for side in (before, after)
        if side.contradictions
    ]
    refusal = Headline("Not judged: results do not hold together.", "neutral")
    return [refusal, *problems] if problems else [found]


def _details(comparison: Comparison) -> Page:
    """Return the tables of the comparison, folded."""
    return [
        "<details><summary>Statistics, classes and confusion matrix</summary>",
        difference_table(comparison),
        class_table(comparison),
        confusion_table(comparison),
        "</details>",
    ]


def _stages_table(
    before: Lock, after: Lock, stale: Staleness, outcomes: Mapping[str, str]
) -> Table:
    rows = []
    for name in stale.stages:
        reasons = stale.reasons.get(name)
        state = f"out of date: {', '.join(reasons)}" if reasons else ""
        outcome = outcomes.get(name, "" if reasons else "up to date")
        now = "; ".join(filter(None, (outcome, state)))
        rows.append([name, now, _outputs(before, after, name)])
    return Table("Stages", ["stage", "now", "recorded outputs, after against before"], rows)


def _outputs(before: Lock, after: Lock, stage: str) -> str:
    if stage not in after or stage not in before:
        return "new" if stage in after else "none"
    old, new = before[stage].outs, after[stage].outs
    paths = old.keys() | new.keys()
    changed = [path for path in paths if old.get(path) != new.get(path)]
    return f"{len(changed)} of {len(paths)} differ" if changed else "the same bytes"


def _metrics_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table | str:
    """Return the metrics that changed."""
    changed = changes(before, after)
    if not changed:
        return "No metric has changed." if after else "There are no metrics."
    rows = [
        [change.key, _number(change.old), _number(change.new), _difference(change)]
        for change in changed
    ]
    return Table("Metrics that changed", ["metric", "before", "after", "change"], rows, [1, 2, 3])


def _number(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _difference(change: Change) -> str:
    if not (_is_number(change.old) and _is_number(change.new)):
        return ""
    return f"{change.new - change.old:+.4g}".replace("-", "−")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
