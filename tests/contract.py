"""The rules of rooms, stages and parameters, for any copy of the project.

Each check returns what breaks its rule, a line each. What the checks know of modules, rooms and
stages they have from the syntax trees, from the map in ``pipeline/__init__.py`` and from the two
``dvc.yaml``.
"""

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.runtime.inputs import files_of
from pipeline.runtime.params import Section

CODE = Path("pipeline")
PROJECTS = (Path(), Path("studies"))  # with a dvc.yaml and a params.yaml each
MOST_MODULES = 10  # in one folder
LIBRARY = "reading"  # the room that other programs import
READERS = {"load_section", "read_section", "read_params"}


def call_name(call: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return ast.unparse(call.func).rpartition(".")[2]


def resolved(path: Path) -> Path:
    """Return a path without the "..", whatever links there are."""
    return Path(os.path.normpath(path))


@dataclass(frozen=True)
class Stage:
    """A stage of one of the projects: its name, that project's folder, and its entry there."""

    name: str
    folder: Path
    entry: dict[str, Any]

    @property
    def module(self) -> Path:
        """The module that its command runs."""
        name = self.entry["cmd"].split()[2]
        return Path(*name.split(".")).with_suffix(".py")

    def paths(self, kind: str) -> list[str]:
        """Return its deps or outs; of a matrix' the folder that they have in common."""
        kinds = ("outs", "metrics", "plots") if kind == "outs" else (kind,)
        entries = [entry for one in kinds for entry in self.entry.get(one, [])]
        names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
        return [name.partition("${")[0].rstrip("/") for name in names]

    @property
    def code(self) -> set[str]:
        return {path for path in self.paths("deps") if Path(path).is_relative_to(CODE)}

    def parameters(self) -> dict[Path, list[str]]:
        """Return the parameters that it declares, by the file that they stand in."""
        found: dict[Path, list[str]] = {}
        for entry in self.entry.get("params", []):
            entries = {"params.yaml": [entry]} if isinstance(entry, str) else entry
            for file, names in entries.items():
                found.setdefault(resolved(self.folder / file), []).extend(names)
        return found

    def imported(self) -> Any:
        return importlib.import_module(".".join(self.module.with_suffix("").parts))

    def function(self) -> Any:
        return getattr(self.imported(), self.name)

    def sections(self) -> dict[str, type[Section]]:
        """Return the arguments of its function that are parameters, with their classes."""
        arguments = inspect.signature(self.function()).parameters.values()
        return {
            argument.name: argument.annotation
            for argument in arguments
            if inspect.isclass(argument.annotation) and issubclass(argument.annotation, Section)
        }


class House:
    """The code and the stages of a project in a folder, where each module is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = cache(self._tree)
        self.imported_names = cache(self._imported_names)
        self.imports = cache(self._imports)
        self.closure = cache(self._closure)
        self.is_command = cache(self._is_command)

    @cached_property
    def rooms(self) -> list[str]:
        """The rooms that the map names, from the top down."""
        text = ast.get_docstring(self.tree(CODE / "__init__.py")) or ""
        return re.findall(r"^- ``([\w/]+)``:", text, re.MULTILINE)

    @cached_property
    def files(self) -> list[Path]:
        """Every file of the code."""
        return files_of(self.folder / CODE, self.folder)

    @cached_property
    def modules(self) -> list[Path]:
        """Every module, packages included."""
        return [file.relative_to(self.folder) for file in self.files if file.suffix == ".py"]

    @cached_property
    def stages(self) -> list[Stage]:
        """Every stage of both projects."""
        return [
            Stage(name, project, entry)
            for project in PROJECTS
            for name, entry in self.dvc(project)["stages"].items()
        ]

    def dvc(self, project: Path = Path()) -> Any:
        return YAML(typ="safe").load(self.folder / project / "dvc.yaml")

    def params(self, project: Path = Path()) -> Any:
        return YAML(typ="safe").load(self.folder / project / "params.yaml")

    def _tree(self, module: Path) -> ast.Module:
        return ast.parse((self.folder / module).read_text(encoding="utf-8"))

    def calls(self, module: Path) -> list[ast.Call]:
        return [node for node in ast.walk(self.tree(module)) if isinstance(node, ast.Call)]

    def room(self, module: Path) -> str | None:
        """Return the room of a module: a folder in no room's place belongs to the one around it."""
        above = (folder.relative_to(CODE).as_posix() for folder in module.parents[:-2])
        return next((room for room in above if room in self.rooms), None)

    def _is_command(self, module: Path) -> bool:
        return any(
            isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
            for node in self.tree(module).body
        )

    def _imported_names(self, module: Path) -> set[str]:
        """Return everything that a module imports, anywhere in it, by its full name."""
        names: set[str] = set()
        for node in ast.walk(self.tree(module)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package = node.module if node.level == 0 else f"relative import {node.module}"
                names |= {str(package), *(f"{package}.{alias.name}" for alias in node.names)}
        return names

    def _imports(self, module: Path) -> set[Path]:
        """Return the modules of the project that a module imports."""
        names = self.imported_names(module)
        files = {Path(*name.split(".")).with_suffix(".py") for name in names}
        return {file for file in files if (self.folder / file).is_file()}

    def _closure(self, module: Path) -> set[Path]:
        """Return a module and all those of the project that it imports, directly or not."""
        found: set[Path] = set()
        waiting = {module}
        while waiting:
            found |= waiting
            waiting = {file for one in waiting for file in self.imports(one)} - found
        return found

    def packages(self, module: Path) -> set[str]:
        """Return the packages, the standard library's too, that a module and its imports need."""
        names = {name for file in self.closure(module) for name in self.imported_names(file)}
        return {name.split(".")[0] for name in names} - {CODE.name}


def map_problems(house: House) -> Iterator[str]:
    """The map names the rooms that there are, which are small, and whose packages are empty."""
    folders = {module.parent for module in house.modules} - {CODE}
    direct = {folder.name for folder in folders if folder.parent == CODE}
    there = {folder.relative_to(CODE).as_posix() for folder in folders}
    yield from (f"the map does not name the room {room}" for room in direct - set(house.rooms))
    yield from (f"the map names {room}, which is no folder" for room in set(house.rooms) - there)
    for folder in [CODE, *folders]:
        inside = [module for module in house.modules if module.parent == folder]
        if folder / "__init__.py" not in inside:
            yield f"{folder} has no __init__.py"
        if len(inside) - 1 > MOST_MODULES:
            yield f"{folder} has {len(inside) - 1} modules, more than {MOST_MODULES}"
    for module in house.modules:
        if module.parent == CODE and module.stem not in {"__init__", "__main__"}:
            yield f"{module} is in no room"
        # That is why no stage needs them as a dep. One room is a library, and no stage needs it.
        if module.stem == "__init__":
            body = house.tree(module).body
            is_library = module == CODE / LIBRARY / "__init__.py"
            if (len(body) != 1 and not is_library) or not ast.get_docstring(house.tree(module)):
                yield f"{module} is more or less than a docstring"


def import_problems(house: House) -> Iterator[str]:
    """Imports go down the map, never to a command, and in no circle."""
    for module in house.modules:
        for name in house.imported_names(module):
            if name.startswith("relative"):
                yield f"{module}: {name}"
        for other in house.imports(module):
            if house.is_command(other):
                yield f"{module} imports the command {other}"
            if module in house.closure(other):
                yield f"{module} and {other} import each other"
            here, there = house.room(module), house.room(other)
            if here and there and house.rooms.index(there) < house.rooms.index(here):
                yield f"{module} imports {other}, upwards"


def stage_problems(house: House) -> Iterator[str]:
    """The stages are the modules that can be run as one, and depend on the code that they reach."""
    runnable = {
        module
        for module in house.modules
        if house.is_command(module)
        and {call_name(call) for call in house.calls(module)}
        & {"run_stage", "run_checked", "run_study"}
    }
    yield from (
        f"{module} is no stage of a dvc.yaml"
        for module in runnable - {stage.module for stage in house.stages}
    )
    reached: dict[str, set[Path]] = {}
    for stage in house.stages:
        if stage.module not in runnable or stage.module.stem != stage.name:
            yield f"{stage.name}: its command is none that runs the stage of its name"
            continue
        if not stage.entry.get("desc"):
            yield f"{stage.name} has no desc"
        closure = house.closure(stage.module)
        rooms = {house.room(module) for module in closure - {stage.module}}
        wanted = {stage.module.as_posix(), *(f"{CODE}/{room}" for room in rooms)}
        for path in wanted - stage.code:
            yield f"{stage.module} needs {path}, which is none of its deps"
        for path in stage.code - wanted:
            yield f"{stage.module} does not need {path}, one of its deps"
        for path in stage.code:
            reached.setdefault(path, set()).update(closure)
    for path, modules in reached.items():
        for file in files_of(house.folder / path, house.folder):
            module = file.relative_to(house.folder)
            if module.suffix == ".py" and module.stem != "__init__" and module not in modules:
                yield f"{module} is in a room that stages depend on, and none of them imports it"


def covers(entries: list[str], path: Path) -> bool:
    return any(path.is_relative_to(entry) for entry in entries)


def path_problems(stage: Stage) -> Iterator[str]:
    """The default paths of a stage's function are its deps, then its outs."""
    parameters = inspect.signature(stage.function()).parameters.values()
    defaults = [p.default for p in parameters if isinstance(p.default, Path)]
    # Of the parameters DVC watches those that the stage reads, not the file.
    paths = [path for path in defaults if path.name != "params.yaml"]
    deps, outs = stage.paths("deps"), stage.paths("outs")
    for path in paths:
        if covers(deps, path) == covers(outs, path):
            yield f"{stage.name}: {path} has to be either a dep or an out"
    if sorted(paths, key=lambda path: covers(outs, path)) != paths:
        yield f"{stage.name}: an output comes before an input"
    for entry in [*sorted(set(deps) - stage.code), *outs]:
        if not any(path.is_relative_to(entry) for path in paths):
            yield f"{stage.name}: {entry} is the default of none of its arguments"


def data_file_problems(house: House) -> Iterator[str]:
    """What is no module, but in a room that stages depend on, is read by one of them."""
    read: dict[str, set[Path]] = {}
    for stage in house.stages:
        parameters = inspect.signature(stage.function()).parameters.values()
        for path in stage.code:
            read.setdefault(path, set()).update(
                p.default for p in parameters if isinstance(p.default, Path)
            )
    for path, files in read.items():
        for file in files_of(house.folder / path, house.folder):
            name = file.relative_to(house.folder)
            if name.suffix != ".py" and name not in files:
                yield f"{name} is in a room that stages depend on, and none of them reads it"


def sections_read(house: House, stage: Stage) -> dict[tuple[Path, str], str]:
    """Return the sections that a stage loads: file and name, and the class that checks them."""
    found: dict[tuple[Path, str], str] = {}
    for call in house.calls(stage.module):
        arguments = [ast.unparse(argument) for argument in call.args]
        if call_name(call) == "run_stage":
            found[stage.folder / "params.yaml", arguments[0]] = arguments[1]
        elif call_name(call) == "load_section":
            # A study names the file where it is the pipeline's.
            other = getattr(stage.imported(), arguments[2]) if arguments[2:] else "params.yaml"
            found[resolved(stage.folder / other), ast.literal_eval(arguments[0])] = arguments[1]
    return found


def parameter_problems(house: House, stage: Stage) -> Iterator[str]:
    """A stage declares of each section that it loads what its function asks for, and no other."""
    read, declared, sections = sections_read(house, stage), stage.parameters(), stage.sections()
    nodes = list(ast.walk(house.tree(stage.module)))
    words = {node.value for node in nodes if isinstance(node, ast.Constant)}
    asked = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}
    calls = [call for call in house.calls(stage.module) if call_name(call) == "add_argument"]
    given = {ast.literal_eval(call.args[0]) for call in calls}  # by the command line
    for (file, name), kind in read.items():
        (argument, section) = next(
            (one, other) for one, other in sections.items() if other.__name__ == kind
        )
        entries = declared.get(file, [])
        used = {field for field in section.model_fields if f"{argument}.{field}" in asked}
        for field in used - (given - {"recipe"}):
            key = "recipes" if field == "recipe" else f"{name}.{field}"
            if not any(
                f"{key}.".startswith(f"{entry}.") or entry.startswith(f"{key}.")
                for entry in entries
            ):
                yield f"{stage.name} reads {key} of {file} and does not declare it"
    has_recipe = any("recipe" in section.model_fields for section in sections.values())
    for file, entries in declared.items():
        for name in {entry.split(".")[0] for entry in entries}:
            is_shown = name in words or (name == "recipes" and "recipe" in words)
            if (file, name) not in read and not is_shown and not (name == "recipes" and has_recipe):
                yield f"{stage.name} declares {name} of {file} and does not read it"
    for name, section in sections.items():
        yield from (
            f"{stage.name}: {name}.{key} has a default outside of the parameter file"
            for key, field in section.model_fields.items()
            if not field.is_required()
        )


def reader_problems(house: House) -> Iterator[str]:
    """Of the modules that a stage reaches, it alone reads parameters, with the last room's help."""
    for stage in house.stages:
        for module in house.closure(stage.module) - {stage.module}:
            if house.room(module) != house.rooms[-1] and READERS & {
                name.rpartition(".")[2] for name in house.imported_names(module)
            }:
                yield f"{module} reads parameters, for {stage.module}"


def problems_of_stage(house: House, stage: Stage) -> list[str]:
    """Return what is wrong with the function of a stage, which is imported."""
    return [*path_problems(stage), *parameter_problems(house, stage)]


def problems_of_house(house: House) -> list[str]:
    """Return what is wrong with rooms, imports and dependencies, from the syntax trees alone."""
    checks = (map_problems, import_problems, stage_problems, reader_problems)
    return sorted({problem for check in checks for problem in check(house)})


if (
    __name__ == "__main__"
):  # of the project in the current folder, with the functions of some stages
    here = House(Path())
    found = problems_of_house(here)
    for some in here.stages:
        if some.name in sys.argv[1:]:
            found += problems_of_stage(here, some)
    print(*found, sep="\n")
