import json
import math
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.history.changes import Change, changes

trees = st.recursive(
    st.sampled_from([0, 1, True, None, "null", "1"]) | st.lists(st.integers(0, 2), max_size=2),
    lambda values: st.dictionaries(st.sampled_from(["a", "b", "a.b"]), values, max_size=3),
    max_leaves=6,
).filter(lambda tree: isinstance(tree, dict))


def test_changes_name_the_way_to_an_entry() -> None:
    old = {"train": {"epochs": 3, "units": [1, 2]}, "plot": {"dpi": 60}, "same": 1}
    new = {"train": {"epochs": 4, "units": [1, 3]}, "same": 1, "extra": {}}
    assert changes(old, new) == [
        Change("train.epochs", 3, 4),
        Change("train.units", [1, 2], [1, 3]),
        Change("plot.dpi", 60, None),
        Change("extra", None, {}),
    ]


@settings(deadline=None)
@given(trees, trees)
def test_there_are_changes_where_trees_differ_and_only_there(
    old: dict[str, object], new: dict[str, object]
) -> None:
    # As text, for 1 == True.
    same = json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)
    assert bool(changes(old, new)) != same


@settings(deadline=None)
@given(trees, trees)
def test_changes_back_are_the_same_mirrored(old: dict[str, object], new: dict[str, object]) -> None:
    mirrored = [Change(key, after, before) for key, before, after in changes(old, new)]
    assert sorted(changes(new, old), key=str) == sorted(mirrored, key=str)


def test_null_is_a_value() -> None:
    assert changes({"a": None}, {}) == [Change("a", "null", None)]
    assert changes({"a": None}, {"a": None}) == []


def test_what_json_has_no_words_for_is_text() -> None:
    values: dict[Any, Any] = {
        "day": date(2026, 11, 24),
        "most": math.inf,
        "none": math.nan,
        5: [math.nan],
    }
    assert changes({}, values) == [
        Change("day", None, "2026-11-24"),
        Change("most", None, "inf"),
        Change("none", None, "nan"),
        Change("5", None, "[nan]"),
    ]
    assert changes(values, values) == []
