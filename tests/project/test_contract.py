"""``dvc.yaml`` against the code: what a stage imports, reads and writes is what it declares."""

import ast
import importlib
import inspect
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from pipeline.training.recipe import Recipe
from pipeline.stages.plot import shown_parameters

DVC = YAML(typ="safe").load(ROOT / "dvc.yaml")
STUDIES = YAML(typ="safe").load(ROOT / "studies/dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
STAGES = ["download", "preprocess", "train", "evaluate", "plot"]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "pipeline").rglob("*.py"))
HEAVY = {"keras", "tensorflow", "jax"}


def source(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def imported_names(path: Path) -> set[str]:
    """Return every module that a file imports, anywhere in it, by its full name."""
    names = set()
    for node in ast.walk(source(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def project_imports(path: Path) -> set[Path]:
    files = {Path(*name.split(".")).with_suffix(".py") for name in imported_names(path)}
    return {file for file in files if (ROOT / file).is_file()}


def closure(path: Path) -> set[Path]:
    """Return a file and all project files that it imports, directly or not."""
    found, waiting = set(), {path}
    while waiting:
        found |= waiting
        waiting = {file for one in waiting for file in project_imports(one)} - found
    return found


def declared(stage: str, kind: str) -> list[str]:
    """Return the entries of a stage's deps or outs, without their settings."""
    entries = DVC["stages"][stage][kind]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def stage_function(stage: str) -> Any:
    return getattr(importlib.import_module(f"pipeline.stages.{stage}"), stage)


def default_paths(stage: str) -> list[str]:
    parameters = inspect.signature(stage_function(stage)).parameters.values()
    return [p.default.as_posix() for p in parameters if isinstance(p.default, Path)]


def test_stages_are_the_modules_in_flow_order() -> None:
    assert list(DVC["stages"]) == STAGES
    modules = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")}
    assert modules == {"__init__", *STAGES}


@pytest.mark.parametrize("stage", STAGES)
def test_command_runs_the_module_of_its_name(stage: str) -> None:
    assert DVC["stages"][stage]["cmd"] == f"python -m pipeline.stages.{stage}"
    assert DVC["stages"][stage]["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_modules_that_a_stage_imports_are_its_python_deps(stage: str) -> None:
    python_deps = {Path(dep) for dep in declared(stage, "deps") if dep.endswith(".py")}
    assert python_deps == closure(Path(f"pipeline/stages/{stage}.py"))


@pytest.mark.parametrize("stage", STAGES)
def test_default_paths_of_a_stage_are_its_other_deps_and_its_outs(stage: str) -> None:
    deps = [dep for dep in declared(stage, "deps") if not dep.endswith(".py")]
    # Of the parameters DVC watches those that the stage reads, not the file.
    paths = [path for path in default_paths(stage) if path != "params.yaml"]
    assert sorted(paths) == sorted(deps + declared(stage, "outs"))
    assert set(paths[: len(deps)]) == set(deps), "inputs come before outputs"


@pytest.mark.parametrize("stage", STAGES)
def test_parameters_that_a_stage_reads_are_its_params(stage: str) -> None:
    # A stage reads the section that run_stage hands it, and there is no other way to read one.
    calls = [
        ast.unparse(node)
        for node in ast.walk(source(Path(f"pipeline/stages/{stage}.py")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run_stage"
    ]
    assert calls == [f"run_stage({stage}, {stage.capitalize()}Params)"]
    section = next(iter(inspect.signature(stage_function(stage)).parameters.values())).annotation
    assert set(section.model_fields) == set(PARAMS[stage])
    recipe = ["recipes.${train.recipe}"]
    if stage == "plot":  # it shows the others' parameters
        others = [name for name in STAGES[1:] if name != "plot"]
        assert list(shown_parameters(ROOT / "params.yaml")) == [*others, "recipe"]
        expected = [name for other in others for name in (other, *(recipe * (other == "train")))]
    else:
        expected = []
    own = [stage, *(recipe if "recipe" in section.model_fields else [])]
    assert DVC["stages"][stage]["params"] == [*expected, *own]


def test_parameters_are_read_nowhere_else() -> None:
    words = ("load_section", "read_section", "read_params", "params.yaml")
    readers = {
        path.relative_to("pipeline").as_posix()
        for path in MODULES
        if any(word in ast.unparse(without_docs(path)) for word in words)
    }
    stages = {"stage.py", "command.py", "stages/plot.py"}
    studies = {f"studies/{name}.py" for name in ("repeat", "illustrate", "doubt", "search")}
    # The doctor's check of the mirrors runs nothing, it only asks for the files' addresses.
    assert readers == stages | studies | {"tools/demo.py", "reachability.py"}


def without_docs(path: Path) -> ast.Module:
    """Return a file's syntax tree without its docstrings."""
    tree = source(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def test_every_section_of_the_parameters_belongs_to_a_stage() -> None:
    after_train = STAGES.index("train") + 1
    assert list(PARAMS) == [*STAGES[:after_train], "recipes", *STAGES[after_train:]]
    assert all(set(recipe) == set(Recipe.model_fields) for recipe in PARAMS["recipes"].values())


def test_no_parameter_has_a_name_that_the_run_cache_of_dvc_leaves_out() -> None:
    # DVC 3.67 drops these keys anywhere, sizes of files being meant: with another value of such
    # a parameter, `dvc repro` would take an old result for the new one.
    def keys(tree: Any) -> set[str]:
        below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
        return set().union(tree if isinstance(tree, dict) else (), *map(keys, below))

    assert not {"size", "nfiles"} & keys(PARAMS)


def test_sections_have_no_defaults_of_their_own() -> None:
    for stage in STAGES:
        section = next(
            iter(inspect.signature(stage_function(stage)).parameters.values())
        ).annotation
        assert all(field.is_required() for field in section.model_fields.values())


def test_package_files_hold_nothing_but_a_docstring() -> None:
    # That is why they need not be anybody's dep.
    for path in MODULES:
        if path.name == "__init__.py":
            body = source(path).body
            assert len(body) == 1, path
            assert ast.get_docstring(source(path)), path


def test_imports_go_down_only() -> None:
    for path in MODULES:
        for other in project_imports(path):
            assert other.parent == Path("pipeline"), f"{path} imports the verb {other}"


def test_imports_of_nouns_have_no_circle() -> None:
    for path in MODULES:
        assert path not in {file for one in project_imports(path) for file in closure(one)}, path


def test_keras_and_its_backends_are_imported_only_where_they_compute() -> None:
    importers = {
        path.stem
        for path in MODULES
        if HEAVY & {name.split(".")[0] for name in imported_names(path)}
    }
    assert importers == {"backend", "tensorflow_epoch", "jax_epoch"}
    # Through these, Keras reaches what must compute, and nobody else.
    users = {path.stem for path in MODULES if Path("pipeline/backend.py") in closure(path)}
    nouns = {
        "batches",
        "checkpoint",
        "distortion",
        "epoch_trainer",
        "network",
        "model_file",
        "recipe",
        "training",
    }
    studies = {"repeat", "illustrate", "doubt", "search"}
    assert users == importers | nouns | {"train", "evaluate"} | studies


@pytest.mark.parametrize("tool", ["stale", "report", "comment"])
def test_tools_of_ci_get_along_with_the_packages_of_their_lock(tool: str) -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    # The comment is made with Python alone.
    packages = groups["tools"] if tool != "comment" else []
    modules = {Requirement(package).name.split(".")[0] for package in packages}
    files = closure(Path(f"pipeline/tools/{tool}.py"))
    tops = {name.split(".")[0] for file in files for name in imported_names(file)}
    assert tops - sys.stdlib_module_names - {"pipeline"} <= modules


def test_top_level_names_what_stages_write() -> None:
    outs = {out for stage in STAGES for out in declared(stage, "outs")}
    plots: set[str] = set()
    for plot in DVC["plots"]:
        plots |= {plot} if isinstance(plot, str) else set(next(iter(plot.values()))["y"])
    assert {*DVC["metrics"], *plots} <= outs
    assert DVC["artifacts"]["digits"]["path"] in {Path(out).parent.as_posix() for out in outs}


def test_reports_are_in_git_and_data_are_not() -> None:
    for stage in STAGES:
        for out in DVC["stages"][stage]["outs"]:
            name = out if isinstance(out, str) else next(iter(out))
            in_git = not isinstance(out, str) and out[name] == {"cache": False}
            assert in_git == name.startswith("reports/"), name


def test_stages_of_the_studies_are_the_modules_but_for_the_search() -> None:
    modules = {path.stem for path in (ROOT / "pipeline/studies").glob("*.py")}
    assert modules == {"__init__", "search", *STUDIES}
    for name, stage in STUDIES.items():
        assert stage["cmd"].split()[:3] == ["python", "-m", f"pipeline.studies.{name}"]
        assert stage["wdir"] == ".."
        assert stage["desc"]


@pytest.mark.parametrize("name", STUDIES)
def test_modules_that_a_study_imports_are_its_python_deps(name: str) -> None:
    deps = STUDIES[name]["deps"]
    python_deps = {Path(dep) for dep in deps if dep.endswith(".py")}
    assert python_deps == closure(Path(f"pipeline/studies/{name}.py"))


@pytest.mark.parametrize("name", STUDIES)
def test_default_paths_of_a_study_are_its_other_deps_and_its_outs(name: str) -> None:
    function = getattr(importlib.import_module(f"pipeline.studies.{name}"), name)
    parameters = inspect.signature(function).parameters.values()
    paths = {p.default.as_posix() for p in parameters if isinstance(p.default, Path)}
    outs = {next(iter(out)) for out in STUDIES[name]["outs"]}
    # A run is named after its recipe and its seed.
    outs = {"studies/runs" if "${item" in out else out for out in outs}
    assert paths == {dep for dep in STUDIES[name]["deps"] if not dep.endswith(".py")} | outs


def test_results_of_studies_are_in_git() -> None:
    for stage in STUDIES.values():
        assert all(list(out.values()) == [{"cache": False}] for out in stage["outs"])
