"""YAML as DVC reads it, within bounds.

Its parser, written in C, ends the process where brackets are nested deep enough, and a text of a
kilobyte may stand for gigabytes, since what has a name can be repeated by it. Python cannot show
integers of more than some thousand digits, which hexadecimal ones may well have.
"""

import re
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode

from pipeline.reason import UNREADABLE, reason

LARGEST_TEXT = 1 << 20  # bytes; the studies' lock file has a tenth of it
DEEPEST = 32
MOST_VALUES = 100_000  # names taken for what they stand for
STARTS = (MappingStartEvent, SequenceStartEvent, ScalarEvent)
ENDS = (MappingEndEvent, SequenceEndEvent, ScalarEvent)
LARGEST_INTEGER = 128  # bits, as seeds of NumPy have
LONGEST_INTEGER = 200  # characters, in which 128 bits can be written in any way


class TooDeepError(ValueError):
    """A text is nested so deep that it might end a process that reads it, DVC's as well."""


class Constructor(SafeConstructor):
    """What makes values of a text, integers only of the size that people write."""

    def construct_yaml_int(self, node: ScalarNode) -> int:
        """Return an integer.

        Raises:
            ConstructorError: It is too large.
            ValueError: It is none.
        """
        # First of the text: Python takes minutes for the number that a million digits make.
        if len(node.value) <= LONGEST_INTEGER:
            value: int = super().construct_yaml_int(node)
            if value.bit_length() <= LARGEST_INTEGER:
                return value
        problem = f"expected integers of at most {LARGEST_INTEGER} bits"
        raise ConstructorError(problem=problem, problem_mark=node.start_mark)


Constructor.add_constructor("tag:yaml.org,2002:int", Constructor.construct_yaml_int)


def parse_yaml(content: bytes) -> Any:
    """Return the value of a text, as DVC's own parser finds it; a key given twice is an error.

    Raises:
        TooDeepError: It is nested too deep.
        ValueError: It is not valid, or beyond another bound; the reason is one line.
    """
    if len(content) > LARGEST_TEXT:
        raise ValueError(f"expected at most {LARGEST_TEXT} bytes, found {len(content)}")
    try:
        _check_bounds(YAML(typ="safe").parse(BytesIO(content)))
        yaml = YAML(typ="safe")
        yaml.Constructor = Constructor
        return yaml.load(content)
    except TooDeepError:
        raise
    except (*UNREADABLE, YAMLError) as error:
        # No name of a file: the caller knows it.
        raise ValueError(re.sub(r'in "<[a-z ]+>", ', "in ", reason(error))) from error


def _check_bounds(events: Iterable[Event]) -> None:
    """Follow a text without building anything of it, and refuse what would be too much."""
    opened: list[tuple[str | None, int]] = []  # by which name, and after how many values
    sizes: dict[str, int] = {}  # of what has a name, in values
    values = 0
    for event in events:
        if isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"*{event.anchor} stands for nothing yet")
            values += sizes[event.anchor]
        if isinstance(event, STARTS):
            opened.append((event.anchor, values))
        if isinstance(event, ENDS):
            name, before = opened.pop()
            values += 1
            if name:
                sizes[name] = values - before
        if len(opened) > DEEPEST:
            raise TooDeepError(f"nested deeper than {DEEPEST} levels")
        if values > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} values")
