"""What differs between two trees of settings, such as the parameters of two revisions."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Change(NamedTuple):
    """An entry that is not the same in both.

    Attributes:
        key: Where it stands, as in ``train.epochs``.
        old: Its value in the first, as JSON types; None where there is no such entry.
        new: Its value in the second, likewise.
    """

    key: str
    old: Any
    new: Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return the entries that differ, in the order of the first tree, then of the second."""
    before, after = dict(_entries(old)), dict(_entries(new))
    return [
        Change(key, before.get(key), after.get(key))
        for key in before | after
        if key not in before or key not in after or before[key] != after[key]
    ]


def _entries(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _entries(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _plain(value)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it; YAML's dates and infinities become text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
