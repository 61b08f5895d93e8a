"""The parameters of a stage: a section of ``params.yaml``, typed, closed and range-checked."""

import reprlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.yaml import parse_yaml

PARAMS_FILE = Path("params.yaml")
PIPELINE_PARAMS = Path("..", PARAMS_FILE)  # in studies/, where params.yaml is the study's own
DVC_FILE = Path("dvc.yaml")
MOST_PROBLEMS = 20  # in one message, which is read by people


class Section(BaseModel):
    """A section of ``params.yaml``, or part of one: closed, typed, without defaults of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def unique(values: list[Any]) -> list[Any]:
    """Return a list of parameters, of which none is written as another one is.

    Raises:
        ValueError: One is; pydantic makes a message of it.
    """
    if len({f"{one:g}" if isinstance(one, float) else one for one in values}) < len(values):
        raise ValueError("a value is listed twice")
    return values


S = TypeVar("S", bound=Section)


def load_section(name: str, section: type[S], path: Path = PARAMS_FILE, **changes: Any) -> S:
    """Return the section ``name`` of a parameter file, checked, with the recipe that it names.

    The file is read with DVC's own parser, so that both see the same values (other parsers
    take ``1e-3`` for a string) and a key given twice is an error.

    Args:
        name: Of the section.
        section: What it is checked by.
        path: The parameter file.
        changes: Values that take the place of those in the file.

    Raises:
        PipelineError: The file is no YAML mapping, or the section or a key in it is
            missing, unknown, of the wrong type or out of range.
    """
    values = read_params(name, path, **changes)
    try:
        return section.model_validate(values)
    except ValidationError as error:
        recipe = (read_section(name, path) | changes).get("recipe")
        problems = []
        for problem in error.errors()[:MOST_PROBLEMS]:
            place: tuple[Any, ...] = (name, *problem["loc"])
            if place[1:2] == ("recipe",) and isinstance(recipe, str):
                place = ("recipes", recipe, *place[2:])
            found = "" if problem["type"] == "missing" else f", found {_shown(problem['input'])}"
            problems.append(f"{path}: {'.'.join(map(_key, place))}: {problem['msg']}{found}")
        raise PipelineError("\n".join(problems)) from error


def read_params(name: str, path: Path = PARAMS_FILE, **changes: Any) -> dict[str, Any]:
    """Return the section ``name`` of a parameter file, unchecked, with the recipe that it names.

    Where its key ``recipe`` holds a name, the recipe itself stands there in what is returned: the
    section of that name below ``recipes``.

    Args:
        name: Of the section.
        path: The parameter file.
        changes: Values that take the place of those in the file.

    Raises:
        PipelineError: The file is no YAML mapping, or has no such section or recipe.
    """
    params = read_section(name, path) | changes
    if "recipe" not in params or isinstance(params["recipe"], dict):
        return params
    recipe, recipes = params["recipe"], read_section("recipes", path)
    if not isinstance(recipe, str) or recipe not in recipes:
        raise PipelineError(
            f"{path}: {name}.recipe: expected the name of a recipe "
            f"({', '.join(map(_key, list(recipes)[:MOST_PROBLEMS]))}), "
            f"found {_shown(recipe)}"
        )
    return params | {"recipe": recipes[recipe]}


def read_section(name: str, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Return the keys and values of a section of a YAML file, unchecked.

    Raises:
        PipelineError: The file is no YAML mapping, or has no such section.
    """
    content = path.read_bytes()
    try:
        sections = parse_yaml(content)
    except ValueError as error:
        raise PipelineError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(sections, dict) or not isinstance(sections.get(name), dict):
        raise PipelineError(f"{path}: expected a section {name!r} with keys and values, found none")
    found: dict[str, Any] = sections[name]
    return found


def _key(name: Any) -> str:
    """Return a key for a message."""
    return _shown(name).strip("'\"")


def _shown(value: Any) -> str:
    """Return a value for a message, shortened where it is long or deep."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother = 3, 100, 100
    return short.repr(value)
