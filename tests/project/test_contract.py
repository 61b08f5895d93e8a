"""``dvc.yaml`` against the code: what a stage imports, reads and writes is what it declares."""

import re
import shutil
import sys
import tomllib
from dataclasses import replace
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project, copy_project
from contract import (
    PROJECTS,
    House,
    Stage,
    data_file_problems,
    problems_of_house,
    problems_of_stage,
    sections_read,
)
from dvc.utils.hydra import apply_overrides
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from pipeline.__main__ import tools
from pipeline.runtime.lock import LOCK_FILE, disagreements, overlap, parse_lock
from pipeline.runtime.params import load_section
from pipeline.stages.plot import shown_parameters
from pipeline.training.loop import TrainParams
from pipeline.training.recipe import Recipe

HOUSE = House(ROOT)
STAGES = [stage for stage in HOUSE.stages if stage.folder == Path()]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BROUGHT_BY = packages_distributions()  # distributions, by the packages that they bring
HEAVY = {"keras", "tensorflow", "jax"}
KERAS_ROOMS = {"model", "training"}  # that alone may import these


def name_of(stage: Stage) -> str:
    return f"{stage.folder}/{stage.name}"


def test_rooms_imports_and_dependencies_are_in_order() -> None:
    assert problems_of_house(HOUSE) == []


@pytest.mark.parametrize("stage", HOUSE.stages, ids=name_of)
def test_function_of_a_stage_takes_what_the_stage_declares(stage: Stage) -> None:
    assert problems_of_stage(HOUSE, stage) == []


@pytest.mark.parametrize("name", ["train", "cross_validate"])
def test_trainings_of_the_study_depend_on_all_that_decides_a_training(name: str) -> None:
    (stage,) = (one for one in HOUSE.stages if one.folder != Path() and one.name == name)
    # Recipe and seed are the study's own; how often a checkpoint is written decides no result.
    fields = TrainParams.model_fields.keys() - {"recipe", "seed", "checkpoint_every"}
    assert {f"train.{field}" for field in fields} <= set(stage.parameters()[Path("params.yaml")])


def test_whatever_is_in_a_room_is_read_by_a_stage() -> None:
    assert list(data_file_problems(HOUSE)) == []


def test_sections_of_the_parameters_have_the_order_of_the_stages() -> None:
    assert [section for section in HOUSE.params() if section != "recipes"] == [
        stage.name for stage in STAGES
    ]
    for stage in STAGES:
        kinds = {section.__name__: section for section in stage.sections().values()}
        for (file, name), kind in sections_read(HOUSE, stage).items():
            load_section(name, kinds[kind], ROOT / file)
    for recipe in HOUSE.params()["recipes"].values():
        assert set(recipe) == set(Recipe.model_fields)


def test_page_shows_the_parameters_that_its_stage_declares() -> None:
    (plot,) = (stage for stage in STAGES if stage.name == "plot")
    shown = shown_parameters(ROOT / "params.yaml")
    declared = {entry.split(".")[0] for entry in plot.parameters()[Path("params.yaml")]}
    assert {"recipes" if name == "recipe" else name for name in shown} | {"plot"} == declared


def test_no_parameter_has_a_name_that_the_run_cache_of_dvc_leaves_out() -> None:
    # DVC 3.67 drops these keys anywhere, sizes of files being meant: with another value of such
    # a parameter, `dvc repro` would take an old result for the new one.
    def keys(tree: Any) -> set[str]:
        below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else []
        return set().union(tree if isinstance(tree, dict) else (), *map(keys, below))

    for project in PROJECTS:
        assert not {"size", "nfiles"} & keys(HOUSE.params(project))


def test_keras_and_its_backends_are_imported_only_where_they_compute() -> None:
    importers = {
        module
        for module in HOUSE.modules
        if HEAVY & {name.split(".")[0] for name in HOUSE.imported_names(module)}
    }
    assert {HOUSE.room(module) for module in importers} == KERAS_ROOMS
    # What else reaches them is a command. Tools of CI, figures and pages do without.
    users = {module for module in HOUSE.modules if HOUSE.closure(module) & importers}
    others = {module for module in users if HOUSE.room(module) not in KERAS_ROOMS}
    assert [module for module in others if not HOUSE.is_command(module)] == []


def undeclared(module: Path, requirements: list[str]) -> list[str]:
    """Return the packages that a module and its imports need, and that no requirement brings."""
    declared = {canonicalize_name(Requirement(requirement).name) for requirement in requirements}
    return [
        f"{module}: {package}"
        for package in sorted(HOUSE.packages(module) - sys.stdlib_module_names)
        if not declared & {canonicalize_name(name) for name in BROUGHT_BY.get(package, [])}
    ]


def test_packages_that_the_code_imports_are_declared() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["cluster"], *extras["jax"]]
    commands = [module for module in HOUSE.modules if HOUSE.is_command(module)]
    assert [found for module in commands for found in undeclared(module, requirements)] == []


def test_tools_that_ci_runs_get_along_with_the_packages_that_it_installs() -> None:
    groups = PYPROJECT["dependency-groups"]
    found = set()
    for path in (ROOT / ".github/workflows").iterdir():
        for job in YAML(typ="safe").load(path)["jobs"].values():
            script = "\n".join(step.get("run", "") for step in job["steps"])
            if "lock=" in script:  # all packages of the project
                continue
            groups_of_job = re.findall(r"-r requirements-(\w+)\.lock", script)
            requirements = [name for group in groups_of_job for name in groups[group]]
            for tool in re.findall(r"-m pipeline (\w+)", script):
                module = tools()[tool].relative_to(ROOT)
                assert undeclared(module, requirements) == []
                found.add((tool, *groups_of_job))
    # A comment is written with Python alone.
    assert found == {("stale", "tools"), ("report", "tools"), ("comment",)}


def test_top_level_names_what_stages_write() -> None:
    for project in PROJECTS:
        pipeline = HOUSE.dvc(project)
        outs = {
            out for stage in HOUSE.stages if stage.folder == project for out in stage.paths("outs")
        }
        plots: set[str] = set()
        for plot in pipeline.get("plots", []):
            plots |= {plot} if isinstance(plot, str) else set(next(iter(plot.values()))["y"])
        assert {*pipeline.get("metrics", []), *plots} <= outs
        for artifact in pipeline.get("artifacts", {}).values():
            assert artifact["path"] in {Path(out).parent.as_posix() for out in outs}


def test_parameters_have_the_form_in_which_dvc_writes_them(tmp_path: Path) -> None:
    """Else ``dvc exp run -S`` would rewrite lines that it does not change."""
    copy = Path(shutil.copy(ROOT / "params.yaml", tmp_path))
    apply_overrides(copy, ["train.seed=7"])  # as that command does
    before, after = ((ROOT / "params.yaml").read_text().splitlines(), copy.read_text().splitlines())
    assert len(before) == len(after)
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert [new.split()[:2] for _, new in changed] == [["seed:", "7"]]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "studies"])
def test_no_output_can_change_without_the_stages_that_read_it(folder: Path) -> None:
    """As after ``dvc repro train``: whatever judges results sees it in the lock file."""
    lock = parse_lock((folder / LOCK_FILE).read_bytes(), "x")
    assert disagreements(lock) == {}
    for name, stage in lock.items():
        for out in stage.outs:
            readers = {
                reader for reader, other in lock.items() if any(overlap(out, d) for d in other.deps)
            }
            changed = replace(stage, outs=dict(stage.outs) | {out: "another"})
            assert disagreements({**lock, name: changed}).keys() == readers, out


def test_both_projects_ignore_the_same_leftovers() -> None:
    """They hash the same code; a leftover must not make one of them stale."""
    root, studies = (folder / ".dvcignore" for folder in (ROOT, ROOT / "studies"))
    assert studies.read_text() == root.read_text()


def test_results_are_in_git_and_data_are_not() -> None:
    for stage in HOUSE.stages:
        ignored = (ROOT / stage.folder / ".gitignore").read_text().splitlines()
        for kind in ("outs", "metrics", "plots"):
            for out in stage.entry.get(kind, []):
                name = out if isinstance(out, str) else next(iter(out))
                in_git = not isinstance(out, str) and out[name].get("cache") is False
                rules = {f"/{name}", f"/{Path(name).parts[0]}", f"/{Path(name).parts[0]}/"}
                assert in_git == rules.isdisjoint(ignored), name
                # Else DVC would not remember its runs. The study's are quick, or in the cache.
                assert stage.folder != Path() or in_git == (kind != "outs"), name


# Text that is added to a file, and which problem it makes.
ADDED = [
    ("data/idx.py", "import pipeline.report.run", "idx.py imports .* upwards"),
    ("report/run.py", "import pipeline.stages.plot", "imports the command"),
    ("runtime/errors.py", "import pipeline.runtime.lock", "import each other"),
    ("data/split.py", "from .idx import a", "split.py: relative import idx"),
    ("data/attic.py", "", "data/attic.py .* none of them imports it"),
    ("attic.py", "", "pipeline/attic.py is in no room"),
    ("attic/a.py", "", "the map does not name the room attic"),
    ("tools/attic/a.py", "", "pipeline/tools/attic has no __init__.py"),
    ("data/__init__.py", "A = 1", "data/__init__.py is more .* a docstring"),
    ("data/mirrors.py", "from pipeline.runtime.params import load_section", "mirrors.py reads par"),
    *((f"data/more_{number}.py", "", "data has 1. modules, more than 10") for number in range(11)),
]
# Text that is replaced in a file, and which problem that makes.
REPLACED = [
    ("pipeline/__init__.py", "``data``", "``date``", "the map names date"),
    ("dvc.yaml", "      - pipeline/runtime\n", "", "needs pipeline/runtime, which is none"),
    ("dvc.yaml", "- pipeline/data\n", "- pipeline/history\n", "does not need pipeline/history"),
    ("dvc.yaml", "stages.evaluate", "stages.plot", "evaluate: its command is none that runs"),
    ("dvc.yaml", "  download:\n", "  fetch:\n", "fetch: its command is none"),
    (
        "studies/dvc.yaml",
        "      - pipeline/studies/results\n",
        "",
        "needs pipeline/studies/results",
    ),
]


def assert_named(folder: Path, problems: list[str]) -> None:
    found = problems_of_house(House(folder))
    for problem in problems:
        assert any(re.search(problem, line) for line in found), (problem, found)


def test_broken_rules_are_named(tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "project", tmp_path / "home")
    for name, old, new, _ in REPLACED:
        text = (copy.folder / name).read_text()
        assert old in text
        (copy.folder / name).write_text(text.replace(old, new, 1))
    assert_named(copy.folder, [problem for *_, problem in REPLACED])


def test_broken_rules_of_modules_are_named(tmp_path: Path) -> None:
    copy = copy_project(tmp_path / "project", tmp_path / "home")
    for name, text, _ in ADDED:
        (copy.folder / "pipeline" / name).parent.mkdir(exist_ok=True)
        copy.append(f"pipeline/{name}", text)
    assert_named(copy.folder, [problem for *_, problem in ADDED])


STAGE = '''"""Count the test images of every class."""

import json
from pathlib import Path

import numpy as np
from pydantic import Field

from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_stage
from pipeline.runtime.examples import load_array
from pipeline.runtime.params import Section


class CountParams(Section):
    """Section ``count`` of ``params.yaml``."""

    classes: int = Field(ge=1)


def count(
    params: CountParams,
    *,
    test_labels: Path = Path("data/processed/test_labels.npy"),
    counts: Path = Path("reports/counts.json"),
) -> None:
    """Write how many test images each class has."""
    labels = load_array(test_labels, np.int32)
    write_text(counts, json.dumps(np.bincount(labels, minlength=params.classes).tolist()))


if __name__ == "__main__":
    run_stage(count, CountParams)
'''
ENTRY: dict[str, Any] = {
    "desc": "Count the test images of every class",
    "cmd": "python -m pipeline.stages.count",
    "deps": ["data/processed", "pipeline/stages/count.py", "pipeline/runtime"],
    "params": ["count"],
    "plots": [{"reports/counts.json": {"cache": False}}],
}


def set_deps(deps: list[str], dvc: Any) -> None:
    dvc["stages"]["count"]["deps"] = deps


def test_stage_made_by_the_recipe_of_contributing_keeps_the_rules(reproduced: Project) -> None:
    """Its module, its section of the parameters, its entry: nothing else has to be touched."""
    (reproduced.folder / "pipeline/stages/count.py").write_text(STAGE)
    reproduced.edit_params(lambda params: params.update(count={"classes": 12}))
    reproduced.edit_params(lambda dvc: dvc["stages"].update(count=ENTRY), "dvc.yaml")
    check = ("python", str(ROOT / "tests/contract.py"), "count")
    assert reproduced.run(*check, PYTHONPATH=str(reproduced.folder)) == "\n"
    assert reproduced.repro() == ["count"]
    assert (reproduced.folder / "reports/counts.json").read_text() == f"{[20] * 10 + [0] * 2}"
    assert "Count the test images" in reproduced.run("python", "-m", "pipeline", "stage")
    for forgotten, problem in (
        (
            "data/processed",
            "count: data/processed/test_labels.npy has to be either a dep or an out",
        ),
        ("pipeline/runtime", "count.py needs pipeline/runtime, which is none of its deps"),
        ("pipeline/stages/count.py", "count.py needs pipeline/stages/count.py, which is none"),
    ):
        deps = [dep for dep in ENTRY["deps"] if dep != forgotten]
        reproduced.edit_params(partial(set_deps, deps), "dvc.yaml")
        assert problem in reproduced.run(*check, PYTHONPATH=str(reproduced.folder))
