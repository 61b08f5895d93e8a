import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from scripts import tables

from pipeline.history.changes import Change
from pipeline.history.revisions import Revision, workspace
from pipeline.history.staleness import Staleness
from pipeline.report.curves import COLUMNS
from pipeline.runtime.lock import Lock, LockedStage
from pipeline.tools.page import as_markdown
from pipeline.tools.review.page import Results, report_page

FRESH = Staleness([], {}, [])


def curves(*accuracies: float) -> pd.DataFrame:
    """Return learning curves of so many epochs."""
    epochs = np.arange(1.0, len(accuracies) + 1)
    columns = [epochs, 1 / epochs, accuracies, 2 / epochs, accuracies]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def locked(**outs: str) -> LockedStage:
    return LockedStage(deps={}, params={}, outs=outs)


def page(
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    *,
    comparison: str = "no reason",
    differing: Mapping[str, list[Change]] | None = None,
    stale: Staleness = FRESH,
    outcomes: Mapping[str, str] | None = None,
) -> str:
    """Return a report in Markdown; what is not given of the results is empty."""
    nothing: dict[str, Any] = {"lock": {}, "metrics": {}, "curves": None}
    nothing |= {"outdated": [], "contradictions": []}
    return as_markdown(
        report_page(
            Results(Revision("main", "ab" * 20), **(nothing | dict(before or {}))),
            Results(workspace(), **(nothing | dict(after or {}))),
            comparison,
            differing or {"params.yaml": []},
            stale=stale,
            outcomes=outcomes or {},
        )
    )


def chart(markdown: str) -> tuple[int, int, float, float, list[list[float]]]:
    """Return of the Mermaid block the ends of both axes, and the lines."""
    (block,) = re.findall(r"^```mermaid\n(.*?)^```$", markdown, re.MULTILINE | re.DOTALL)
    x = re.search(r'^  x-axis "epoch" (\d+) --> (\d+)$', block, re.MULTILINE)
    y = re.search(r"^  y-axis (-?[\d.]+) --> (-?[\d.]+)$", block, re.MULTILINE)
    assert x
    assert y
    lines = re.findall(r"^  line \[(.*)\]$", block, re.MULTILINE)
    values = [[float(value) for value in line.split(", ")] for line in lines]
    return int(x[1]), int(x[2]), float(y[1]), float(y[2]), values


def test_reason_why_nothing_is_compared_is_the_headline() -> None:
    markdown = page(comparison="main has no reports/predictions.csv")
    assert markdown.startswith("**Not compared: main has no reports/predictions.csv.**\n\n")
    assert "<details>" not in markdown
    assert "There are no metrics." in markdown
    assert "mermaid" not in markdown
    told = "The results before were out of date themselves."
    assert told in page({"outdated": ["params.yaml"]})
    assert told not in page(after={"outdated": ["params.yaml"]})


def test_stage_says_what_became_of_it_and_of_its_outputs() -> None:
    before: Lock = {
        "same": locked(a="1", b="2"),
        "half": locked(a="1", b="2"),
        "fewer": locked(a="1", b="2"),
        "gone": locked(a="1"),
    }
    after: Lock = {
        "same": locked(a="1", b="2"),
        "half": locked(a="1", b="3"),
        "fewer": locked(a="1"),
        "new": locked(a="1"),
    }
    stale = Staleness(
        ["same", "half", "fewer", "new", "unlocked"],
        {"half": ["x|y.py modified", "changed command"], "unlocked": ["not in"]},
        [],
    )
    # What ran and is out of date all the same has failed, or was edited afterwards.
    outcomes = {"same": "ran", "half": "ran"}
    markdown = page({"lock": before}, {"lock": after}, stale=stale, outcomes=outcomes)
    assert tables(markdown)["Stages"][1:] == [
        ["same", "ran", "the same bytes"],
        ["half", "ran; out of date: x|y.py modified, changed command", "1 of 2 differ"],
        ["fewer", "up to date", "1 of 2 differ"],
        ["new", "up to date", "new"],
        ["unlocked", "out of date: not in", "none"],
    ]


def test_metrics_are_shown_with_their_differences() -> None:
    before = {"accuracy": 0.97, "errors": 300, "old": 5, "same": 1, "kind": "a", "is_good": True}
    after = {"accuracy": 0.96, "errors": 400, "a|b": 7, "same": 1, "kind": "b", "is_good": False}
    one, other = ({"rejection": {"0.001": {"coverage": share}}} for share in (0.5, 0.6))
    markdown = page({"metrics": before | one}, {"metrics": after | other})
    assert tables(markdown)["Metrics that changed"] == [
        ["metric", "before", "after", "change"],
        ["accuracy", "0.97", "0.96", "−0.01"],
        ["errors", "300", "400", "+100"],
        ["old", "5", "none", ""],
        ["kind", "a", "b", ""],
        ["is_good", "True", "False", ""],
        ["rejection.0.001.coverage", "0.5", "0.6", "+0.1"],
        ["a|b", "none", "7", ""],
    ]
    assert "No metric has changed." in page({"metrics": before}, {"metrics": before})


@given(
    st.dictionaries(st.sampled_from("abcd"), st.text("ab|\\`\n*_<", max_size=6)),
    st.dictionaries(st.sampled_from("abcd"), st.text("ab|\\`\n*_<", max_size=6)),
)
def test_tables_hold_whatever_parameters_are_called(
    old: dict[str, str], new: dict[str, str]
) -> None:
    found = [Change(key, old.get(key), new.get(key)) for key in {**old, **new}]
    markdown = page(differing={"params.yaml": found})
    if found:
        rows = tables(markdown)["What else differs"]
        assert [len(row) for row in rows] == [4] * (len(found) + 1)


def test_curves_without_any_before_are_those_after() -> None:
    rows = tables(page(after={"curves": curves(0.5, 0.6)}))[
        "Learning curves, on the validation set"
    ]
    assert rows == [
        ["epoch", "accuracy before", "accuracy after", "loss before", "loss after"],
        ["1", "", "50.00%", "", "2.0000"],
        ["2", "", "60.00%", "", "1.0000"],
    ]
    assert "Learning curves" not in page({"curves": curves(0.5)})


def test_curves_of_different_lengths_end_where_they_end() -> None:
    markdown = page({"curves": curves(0.5, 0.6)}, {"curves": curves(0.5, 0.7, 0.8)})
    rows = tables(markdown)["Learning curves, on the validation set"]
    assert rows[1:] == [
        ["1", "50.00%", "50.00%", "2.0000", "2.0000"],
        ["2", "60.00%", "70.00%", "1.0000", "1.0000"],
        ["3", "", "80.00%", "", "0.6667"],
    ]
    first, last, _, _, lines = chart(markdown)
    assert (first, last, lines) == (1, 2, [[50, 60], [50, 70]])
    assert "in orange; of the first 2 epochs" in markdown


accuracies = st.lists(st.floats(0, 1), min_size=1, max_size=430).map(tuple)


@given(accuracies, accuracies)
def test_chart_has_a_point_an_epoch_within_its_axes(
    before: tuple[float, ...], after: tuple[float, ...]
) -> None:
    markdown = page({"curves": curves(*before)}, {"curves": curves(*after)})
    shortest = min(len(before), len(after))
    if before == after or shortest == 1:
        assert "mermaid" not in markdown
        return
    first, last, low, high, lines = chart(markdown)
    assert 1 <= first <= 1 + shortest / 10
    # So many that it stays readable, at equal distances.
    assert len(lines[0]) == len(lines[1]) <= 100
    step, rest = divmod(last - first, len(lines[0]) - 1)
    assert rest == 0
    assert shortest - step < last <= shortest
    assert low < high
    for line, whole in zip(lines, (before, after), strict=True):
        assert line == [float(f"{100 * value:.2f}") for value in whole[first - 1 : last : step]]
        assert all(low <= value <= high for value in line)
    rows = tables(markdown)["Learning curves, on the validation set"][1:]
    epochs = [int(row[0]) for row in rows]
    assert epochs == sorted(set(epochs))
    assert epochs[0] == 1
    assert {len(before), len(after)} <= set(epochs)
    assert epochs[-1] == max(len(before), len(after))
    for epoch, *cells in rows:
        shown = [bool(cell) for cell in cells]
        assert shown == [int(epoch) <= len(whole) for whole in (before, after)] * 2
