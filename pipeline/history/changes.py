"""The entries that differ between two nested dictionaries, such as two revisions' parameters."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class Change(NamedTuple):
    """An entry that differs.

    Attributes:
        key: Its path, such as ``train.seed``.
        old: Its value in the first tree, as JSON types; None where there is no such entry.
        new: Its value in the second, likewise.
    """

    key: str
    old: Any
    new: Any


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return the entries that differ, in the order of the first tree, then of the second."""
    before, after = dict(_entries(old)), dict(_entries(new))
    return [
        Change(
            ".".join(way),
            _plain(before[way]) if way in before else None,
            _plain(after[way]) if way in after else None,
        )
        for way in before | after
        # Compared as text: to Python 1 and True are equal, and nan differs from itself.
        if way not in before or way not in after or repr(before[way]) != repr(after[way])
    ]


def _entries(tree: Mapping[str, Any], way: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _entries(value, (*way, str(name)))
        else:
            yield (*way, str(name)), value


def _plain(value: Any) -> Any:
    """Return a value as JSON types; dates, infinities and null of YAML become text."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return "null" if value is None else value
