"""YAML as DVC reads it: version 1.2, in which ``1e-3`` is a number and no key is given twice."""

import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.runtime.errors import UNREADABLE, reason


def parse_yaml(content: bytes) -> Any:
    """Return the value of a text, as DVC's own parser finds it.

    Raises:
        ValueError: It is not valid; the reason is one line.
    """
    try:
        return YAML(typ="safe").load(content)
    except (*UNREADABLE, YAMLError) as error:
        # No name of a file: the caller knows it.
        raise ValueError(re.sub(r'in "<[a-z ]+>", ', "in ", reason(error))) from error
