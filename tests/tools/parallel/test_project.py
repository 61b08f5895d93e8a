"""`parallel` on this very project: its stages, its study and its search, on small data."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, copied, copy_project, finish
from dask_cluster import DaskCluster
from made_up_pipelines import contents


def test_stages_of_the_pipeline_leave_what_dvc_repro_leaves(
    original: tuple[Project, list[str]], tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project", tmp_path / "home")
    shutil.copyfile(original[0].folder / "params.yaml", project.folder / "params.yaml")
    output = project.run("python", "-m", "pipeline", "parallel", "--jobs", "3")
    assert "train: done in " in output
    tracked = ("dvc.lock", "reports/", "data/", ".gitignore")
    expected, found = (
        {name: one for name, one in contents(each).items() if name.startswith(tracked)}
        for each in (original[0], project)
    )
    assert found == expected
    assert "up to date" in project.run("dvc", "status")
    output = project.run("python", "-m", "pipeline", "parallel")
    assert output == "Every stage is up to date.\n"


def make_study(original: Project, folder: Path) -> Project:
    """Return a project with a study of two recipes and four seeds, that has not run."""
    project = copied(original, folder / "project")
    project.edit_params(
        lambda params: [params[name].update(threads=1) for name in ("train", "evaluate")]
    )
    project.edit_params(
        lambda params: params["study"].update(seeds=[0, 1, 2, 3]), "studies/params.yaml"
    )
    project.edit_params(
        lambda params: params["cross_validate"].update(folds=2), "studies/params.yaml"
    )
    project.repro()
    return project


@pytest.mark.slow
def test_study_leaves_what_dvc_repro_leaves(
    original: tuple[Project, list[str]], tmp_path: Path
) -> None:
    serial, parallel = (make_study(original[0], tmp_path / name) for name in ("one", "other"))
    assert len([stage for stage in serial.studies.repro() if stage.startswith("train@")]) == 8
    parallel.studies.run("python", "-m", "pipeline", "parallel", "--jobs", "2")
    assert contents(parallel) == contents(serial)


def search(project: Project, *options: str, status: int = 0) -> str:
    return project.run("python", "-m", "pipeline", "study", "search", *options, status=status)


@pytest.fixture
def searching(original: tuple[Project, list[str]], tmp_path: Path) -> tuple[Project, str]:
    """A project whose search has ended, and its table; nothing else is in the folder of both."""

    def settings(params: Any) -> None:
        found = [{"epochs": 1}, {"epochs": 1, "activation": "silu"}]
        params["search"].update(base="original", seeds=[0], settings=found)

    (tmp_path / "here").mkdir()
    project = copied(original[0], tmp_path / "here/project")
    project.edit_params(lambda params: params["train"].update(threads=1))
    project.edit_params(settings, "studies/params.yaml")
    (project.folder / TABLE).unlink(missing_ok=True)
    search(project)
    return project, (project.folder / TABLE).read_text()


TABLE = "studies/search.csv"


def test_search_at_once_finds_the_rows_of_one_after_the_other(
    searching: tuple[Project, str],
) -> None:
    project, expected = searching
    (project.folder / TABLE).unlink()
    assert "2 of 2: " in search(project, "--jobs", "2")
    assert (project.folder / TABLE).read_text() == expected
    project.edit_params(
        lambda params: params["search"]["settings"].append({"batch_size": 10**6}),
        "studies/params.yaml",
    )
    output = search(project, "--jobs", "1", status=1)
    assert "3 of 3: `python -m pipeline study search --row 2` ended with exit code 1" in output
    assert "the recipe's batch_size: 1000000 is larger than" in output
    assert (project.folder / TABLE).read_text() == expected


@pytest.mark.slow  # the same on a cluster
def test_search_on_a_cluster_trains_only_what_is_missing(
    searching: tuple[Project, str], tmp_path: Path
) -> None:
    project, expected = searching
    (project.folder / TABLE).write_text("".join(expected.splitlines(keepends=True)[:2]))
    cluster = DaskCluster(tmp_path / "cluster", hidden=(tmp_path / "here",))
    cluster.start_worker()
    command = ("python", "-m", "pipeline", "study", "search", "--scheduler", cluster.address)
    output = finish(project.start(*command, **cluster.variables), 0)
    assert "2 of 2: " in output
    assert "1 of 2: " not in output
    assert (project.folder / TABLE).read_text() == expected
