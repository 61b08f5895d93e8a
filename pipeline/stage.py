"""What turns a function into a stage: typed parameters, a command line and clear errors."""

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

PARAMS_FILE = Path("params.yaml")
DVC_FILE = Path("dvc.yaml")


class PipelineError(Exception):
    """A failure that the user can mend: it is shown as a message, never as a traceback."""


class Section(BaseModel):
    """A section of ``params.yaml``, or part of one: closed, typed, without defaults of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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
        for problem in error.errors():
            place: tuple[Any, ...] = (name, *problem["loc"])
            if place[1:2] == ("recipe",) and isinstance(recipe, str):
                place = ("recipes", recipe, *place[2:])
            found = "" if problem["type"] == "missing" else f", found {problem['input']!r}"
            problems.append(f"{path}: {'.'.join(map(str, place))}: {problem['msg']}{found}")
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
    recipe = params.get("recipe")
    if not isinstance(recipe, str):
        return params
    recipes = read_section("recipes", path)
    if recipe not in recipes:
        raise PipelineError(
            f"{path}: {name}.recipe: expected one of {', '.join(recipes)}, found {recipe!r}"
        )
    return params | {"recipe": recipes[recipe]}


def read_section(name: str, path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Return the keys and values of a section of a YAML file, unchecked.

    Raises:
        PipelineError: The file is no YAML mapping, or has no such section.
    """
    try:
        sections = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(sections, dict) or not isinstance(sections.get(name), dict):
        raise PipelineError(f"{path}: expected a section {name!r} with keys and values, found none")
    found: dict[str, Any] = sections[name]
    return found


@contextmanager
def dependencies_unchanged(
    stage: str,
    load: Callable[[], Any],
    dvc_file: Path = DVC_FILE,
    params_file: Path = PARAMS_FILE,
) -> Iterator[None]:
    """Make sure that what a stage depends on does not change in the course of it.

    DVC hashes it when the stage has ended. A file edited before that would go into ``dvc.lock``
    with results that another version of it has made (treeverse/dvc#11058). Not seen are a change
    before this begins, while modules are imported, one inside a folder, and one that is undone.

    Args:
        stage: Its name.
        load: Returns the stage's parameters as they stand in their file.
        dvc_file: The pipeline that lists what the stage depends on.
        params_file: The file of the parameters.

    Raises:
        PipelineError: A file that the pipeline lists, or a parameter, changed.
    """
    stages = read_section("stages", dvc_file) if dvc_file.exists() else {}
    paths = [Path(dependency) for dependency in stages.get(stage, {}).get("deps") or []]

    def fingerprints() -> dict[Path, Any]:
        return {params_file: load()} | {path: _fingerprint(path) for path in paths}

    before = fingerprints()
    yield
    after = fingerprints()
    changed = [str(path) for path in before if before[path] != after[path]]
    if changed:
        target = stage if dvc_file == DVC_FILE else f"{dvc_file}:{stage}"
        raise PipelineError(
            f"{', '.join(changed)} changed while the stage ran, so nobody knows what made its "
            "results. Run `dvc repro` again; or if the change does not matter, "
            f"`dvc commit {target}` takes the results as they are."
        )


def _fingerprint(path: Path) -> Any:
    """Return what tells of a change: of code its bytes, of data, which are large, their time."""
    if not path.exists():
        return None
    return path.read_bytes() if path.suffix == ".py" else path.stat().st_mtime_ns


def run_stage(stage: Callable[[S], None], section: type[S], folder: Path = Path()) -> None:
    """Run a stage as a command, with the parameters of the section that bears its name.

    Whatever the user can mend ends the process with a message and exit status 1; an
    interruption ends it with the shell's usual 128 + signal, after the clean-up of what
    was open.

    Args:
        stage: The function.
        section: What its section is checked by.
        folder: Where the ``params.yaml`` and the ``dvc.yaml`` are that know it.
    """
    name = stage.__name__
    params_file, dvc_file = folder / PARAMS_FILE, folder / DVC_FILE
    main = sys.modules["__main__"]
    target = name if dvc_file == DVC_FILE else f"{dvc_file}:{name}"
    argparse.ArgumentParser(
        prog=f"python -m {main.__spec__.name if main.__spec__ else name}",
        description=main.__doc__,
        epilog=f"Parameters: section {name!r} of {params_file}. Run it in the project's "
        f"root folder, or let `dvc repro {target}` decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    load = partial(load_section, name, section, params_file)
    with clear_ending(name), dependencies_unchanged(name, load, dvc_file, params_file):
        stage(load())


@contextmanager
def clear_ending(name: str) -> Iterator[None]:
    """End the process of a stage of that name as ``run_stage`` says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except (PipelineError, OSError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
