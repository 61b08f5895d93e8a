"""What is stale in real clones without data, beside what a real ``dvc repro`` runs with them."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Project, copy_project
from in_process import call, in_project

from pipeline.tools.review import stale as tool

COMMAND = ("python", "-m", "pipeline", "stale")
STAGES = ["prepare", "train", "evaluate", "plot", "survey"]
UP_TO_DATE = "Up to date: the results are those of the code and the parameters here."

# prepare → train → evaluate → plot, and survey beside them, which reads what prepare writes. Code
# and data are in folders too.
PARTS = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: sh prepare.sh
    deps: [prepare.sh]
    params: [length]
    outs: [data]
  train:
    cmd: sh train.sh
    deps: [train.sh, data]
    params: [rate]
    outs: [model.txt]
  evaluate:
    cmd: sh evaluate.sh
    deps: [evaluate.sh, shared, model.txt]
    outs: [reports/metrics.json: {cache: false}]
  plot:
    cmd: sh plot.sh
    deps: [plot.sh, reports/metrics.json]
    outs: [reports/figure.txt: {cache: false}]
  survey:
    cmd: sh survey.sh
    deps: [shared, survey.sh, data]
    outs: [reports/survey.txt: {cache: false}]
""",
    "params.yaml": "length: 3\nrate: 1\n",
    "prepare.sh": "mkdir -p data\ngrep length params.yaml > data/x.txt\n",
    "train.sh": "cat data/x.txt > model.txt\ngrep rate params.yaml >> model.txt\n",
    "shared/start.sh": "mkdir -p reports\n",
    "evaluate.sh": ". shared/start.sh\ntail -n 1 model.txt > reports/metrics.json\n",
    "plot.sh": "tr a-z A-Z < reports/metrics.json > reports/figure.txt\n",
    "survey.sh": ". shared/start.sh\nwc -c < data/x.txt > reports/survey.txt\n",
    ".gitignore": "/*.txt\n/data\n__pycache__\n",
}


@dataclass
class Pair:
    """A reproduced project, and a clone of it that has no data, no cache and no remote."""

    original: Project
    clone: Project

    def edit(self, edit: Callable[[Project], object]) -> None:
        """Change both in the same way."""
        edit(self.original)
        edit(self.clone)

    def share(self) -> None:
        """Bring what the original's last commit is to the clone, which has no data after it."""
        self.original.commit("Edit")
        self.clone.run("git", "pull", "--quiet", str(self.original.folder), "main")


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("stale")
    original = copy_project(folder / "original", folder / "home")
    (original.folder / "shared").mkdir()
    for name, content in PARTS.items():
        (original.folder / name).write_text(content)
    assert original.repro() == STAGES
    original.commit("Results")
    clone = Project(folder / "clone", folder / "another home")
    clone.home.mkdir()
    original.run("git", "clone", "--quiet", ".", str(clone.folder))
    clone.run("git", "remote", "remove", "origin")
    return Pair(original, clone)


@pytest.fixture
def pair(masters: Pair, tmp_path: Path) -> Pair:
    """Copies to do as one likes with."""
    for name, project in (("original", masters.original), ("clone", masters.clone)):
        shutil.copytree(project.folder, tmp_path / name, symlinks=True)
    return Pair(
        Project(tmp_path / "original", masters.original.home),
        Project(tmp_path / "clone", masters.clone.home),
    )


@pytest.fixture
def original(pair: Pair) -> Project:
    return pair.original


@pytest.fixture
def clone(pair: Pair) -> Project:
    return pair.clone


def stale(project: Project, **environment: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return the stages that have to run, with reasons, and those that may follow."""
    with in_project(project, **environment):
        found = tool.stale()
    assert found.sentence.startswith("Out of date" if found else "Up to date")
    reasons = {stage: list(why) for stage, why in found.reasons.items()}
    return reasons, list(found.following)


def error(project: Project) -> str:
    output = call(project, "stale", status=2)
    assert re.fullmatch(r"stale: .+\n", output), output
    return output


def replace(project: Project, name: str, old: str, new: str) -> None:
    path = project.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def remove_stage(project: Project, name: str) -> None:
    path = project.folder / "dvc.yaml"
    found = re.sub(rf"^  {name}:\n(?:    .*\n)+", "", path.read_text(), flags=re.MULTILINE)
    assert found != path.read_text()
    path.write_text(found)


def really_run(project: Project) -> list[str]:
    """Return the stages whose results ``dvc repro`` makes anew, or takes from its run cache."""
    output = project.run("dvc", "repro")
    anew = re.compile(r"^(?:Running stage|Stage) '(.+)'(?::$| is cached)", re.MULTILINE)
    return [found[1] for found in anew.finditer(output)]


def traces(project: Project) -> set[tuple[str, bytes]]:
    """Return every file of the project and its repository but for what DVC and Python may write."""
    return {
        (str(path), path.read_bytes())
        for path in project.folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.is_relative_to(project.folder / ".dvc/tmp")
    }


def test_nothing_is_stale_in_a_clone_without_data_cache_and_remote(clone: Project) -> None:
    assert not (clone.folder / "data").exists()
    assert not (clone.folder / ".dvc/cache").exists()
    before = traces(clone)
    assert clone.run(*COMMAND) == f"{UP_TO_DATE}\n"
    assert stale(clone) == ({}, [])
    assert traces(clone) == before
    assert clone.run("git", "status", "--porcelain") == ""


def test_looking_changes_nothing_where_something_is_stale(clone: Project) -> None:
    replace(clone, "params.yaml", "length: 3", "length: 4")
    clone.append("plot.sh", "# A comment.\n")
    (clone.folder / "reports/survey.txt").unlink()
    before = traces(clone)
    assert set(stale(clone)[0]) == {"prepare", "plot", "survey"}
    assert traces(clone) == before
    # The three edits.
    assert len(clone.run("git", "status", "--porcelain").splitlines()) == 3


def change_a_parameter(project: Project) -> None:
    replace(project, "params.yaml", "length: 3", "length: 4")


def comment_in_code(project: Project) -> None:
    project.append("train.sh", "# A comment.\n")


def change_shared_code(project: Project) -> None:
    project.append("shared/start.sh", "# A comment.\n")


def change_two_places(project: Project) -> None:
    replace(project, "params.yaml", "rate: 1", "rate: 2")
    project.append("train.sh", "# A comment.\n")
    project.append("plot.sh", "echo more >> reports/figure.txt\n")


def edit_a_report(project: Project) -> None:
    project.append("reports/figure.txt", "!")


def edit_a_report_that_is_read(project: Project) -> None:
    project.append("reports/metrics.json", " ")


def delete_a_report(project: Project) -> None:
    (project.folder / "reports/survey.txt").unlink()


def lose_the_lock(project: Project) -> None:
    (project.folder / "dvc.lock").unlink()


def change_a_command(project: Project) -> None:
    replace(project, "dvc.yaml", "sh plot.sh", "sh -e plot.sh")


def read_one_more_parameter(project: Project) -> None:
    replace(project, "dvc.yaml", "[rate]", "[rate, length]")


def add_a_stage(project: Project) -> None:
    project.append(
        "dvc.yaml",
        "  extra:\n    cmd: cp plot.sh reports/extra.txt\n    deps: [plot.sh]\n"
        "    outs: [reports/extra.txt: {cache: false}]\n",
    )


def drop_a_stage(project: Project) -> None:
    remove_stage(project, "survey")


@pytest.mark.parametrize(
    ("edits", "reasons", "following"),
    [
        (
            [change_a_parameter],
            {"prepare": ["params.yaml: length modified"]},
            ["train", "evaluate", "plot", "survey"],
        ),
        (
            [comment_in_code, delete_a_report],
            {"train": ["train.sh modified"], "survey": ["reports/survey.txt deleted"]},
            ["evaluate", "plot"],
        ),
        (
            [change_shared_code, add_a_stage],
            {
                "evaluate": ["shared modified"],
                "survey": ["shared modified"],
                "extra": ["not in dvc.lock"],
            },
            ["plot"],
        ),
        (
            [change_two_places],
            {
                "train": ["train.sh modified", "params.yaml: rate modified"],
                "plot": ["plot.sh modified"],
            },
            ["evaluate"],
        ),
        (
            [edit_a_report, change_a_command],
            {"plot": ["changed command", "reports/figure.txt modified"]},
            [],
        ),
        (
            [edit_a_report_that_is_read],
            {
                "evaluate": ["reports/metrics.json modified"],
                "plot": ["reports/metrics.json modified"],
            },
            [],
        ),
        ([lose_the_lock], {stage: ["not in dvc.lock"] for stage in STAGES}, []),
        (
            [read_one_more_parameter, drop_a_stage],
            {"train": ["params.yaml: length new"]},
            ["evaluate", "plot"],
        ),
        ([drop_a_stage], {}, []),
    ],
)
def test_edits_make_stale_what_dvc_really_runs_and_no_more(
    pair: Pair,
    edits: list[Callable[[Project], object]],
    reasons: dict[str, list[str]],
    following: list[str],
) -> None:
    for edit in edits:
        pair.edit(edit)
    assert stale(pair.clone) == (reasons, following)
    assert stale(pair.original) == (reasons, following)
    ran = really_run(pair.original)
    # A stage that is stale only for what another stale one writes may be spared after all.
    spared = {"plot"} if edit_a_report_that_is_read in edits else set()
    assert set(reasons) - spared <= set(ran)
    assert set(ran) <= {*reasons, *following}


def test_what_editors_and_python_leave_in_folders_of_code_makes_nothing_stale(pair: Pair) -> None:
    for name in ("__pycache__/start.pyc", ".start.sh.swp", "start.sh~", "start.sh.orig"):
        for project in (pair.original, pair.clone):
            (project.folder / "shared/__pycache__").mkdir(exist_ok=True)
            (project.folder / "shared" / name).write_text("left behind")
    assert stale(pair.original) == stale(pair.clone) == ({}, [])


def test_code_that_is_gone_is_stale(pair: Pair) -> None:
    pair.edit(lambda project: (project.folder / "survey.sh").unlink())
    for project in (pair.clone, pair.original):
        assert stale(project) == ({"survey": ["survey.sh deleted"]}, [])
    assert "survey.sh" in pair.original.run("dvc", "repro", status=255)


def test_half_of_the_pipeline_run_leaves_the_rest_stale(pair: Pair) -> None:
    replace(pair.original, "params.yaml", "length: 3", "length: 4")
    assert pair.original.repro("train") == ["prepare", "train"]
    pair.share()
    expected = (
        {"evaluate": ["model.txt modified"], "survey": ["data modified"]},
        ["plot"],
    )
    assert stale(pair.clone) == stale(pair.original) == expected
    ran = really_run(pair.original)
    assert {"evaluate", "survey"} <= set(ran) <= {"evaluate", "survey", "plot"}
    assert stale(pair.original) == ({}, [])


def test_results_that_are_committed_are_up_to_date_elsewhere(pair: Pair) -> None:
    replace(pair.original, "params.yaml", "length: 3", "length: 4")
    pair.original.append("plot.sh", "# A comment.\n")
    pair.original.repro()
    pair.share()
    assert stale(pair.clone) == ({}, [])


def test_data_that_are_there_are_looked_at(original: Project) -> None:
    (original.folder / "model.txt").write_text("painted by hand\n")
    reasons, following = stale(original)
    assert reasons == {"train": ["model.txt modified"], "evaluate": ["model.txt modified"]}
    assert following == ["plot"]
    (original.folder / "data/new.txt").write_text("one more\n")
    assert stale(original)[0] == {
        "prepare": ["data modified"],
        "train": ["data modified", "model.txt modified"],
        "evaluate": ["model.txt modified"],
        "survey": ["data modified"],
    }


def test_data_that_are_there_are_looked_at_without_a_cache_too(original: Project) -> None:
    shutil.rmtree(original.folder / ".dvc/cache")
    assert stale(original) == ({}, [])
    (original.folder / "model.txt").unlink()
    (original.folder / "model.txt").write_text("painted by hand\n")
    reasons, _ = stale(original)
    assert reasons == {"train": ["model.txt modified"], "evaluate": ["model.txt modified"]}


def test_data_that_are_not_there_count_as_locked_though_the_cache_has_them(pair: Pair) -> None:
    """As where several clones share a cache."""
    cache = str(pair.original.folder / ".dvc/cache")
    pair.clone.run("dvc", "cache", "dir", "--local", cache)
    assert stale(pair.clone) == ({}, [])


def test_dependency_on_data_that_the_last_run_did_not_read_is_stale(pair: Pair) -> None:
    pair.edit(lambda project: replace(project, "dvc.yaml", "[plot.sh, ", "[plot.sh, data, "))
    assert set(stale(pair.original)[0]) == {"plot"}
    assert set(stale(pair.clone)[0]) == {"plot"}
    assert really_run(pair.original) == ["plot"]


@pytest.mark.slow
def test_dependency_that_is_read_no_more_makes_nothing_stale(pair: Pair) -> None:
    """DVC leaves it in the lock file as it was until the stage runs for another reason."""
    replace(pair.original, "params.yaml", "length: 3", "length: 4")
    replace(pair.original, "dvc.yaml", "survey.sh, data]", "survey.sh]")
    assert pair.original.repro() == ["prepare", "train", "evaluate"]
    assert "up to date" in pair.original.run("dvc", "status")
    pair.share()
    assert stale(pair.original) == ({}, [])
    assert stale(pair.clone) == ({}, [])


def test_stage_that_is_no_more_does_not_follow(clone: Project) -> None:
    remove_stage(clone, "plot")
    comment_in_code(clone)
    assert stale(clone) == ({"train": ["train.sh modified"]}, ["evaluate"])


@pytest.mark.slow
def test_what_a_stage_that_is_no_more_wrote_does_not_count(pair: Pair) -> None:
    """A stage renamed and renamed back leaves an entry behind its own in the lock file."""
    replace(pair.original, "dvc.yaml", "  train:", "  fit:")
    pair.original.repro()
    replace(pair.original, "dvc.yaml", "  fit:", "  train:")
    replace(pair.original, "params.yaml", "rate: 1", "rate: 2")
    assert pair.original.repro() == ["train", "evaluate", "plot"]
    assert "up to date" in pair.original.run("dvc", "status")
    pair.share()
    assert stale(pair.original) == ({}, [])
    assert stale(pair.clone) == ({}, [])


def test_stages_behind_a_new_one_follow_it(pair: Pair) -> None:
    pair.edit(lambda project: replace(project, "dvc.yaml", "  train:", "  fit:"))
    pair.edit(lambda project: project.append("train.sh", "echo 'rate: 7' >> model.txt\n"))
    found = [stale(project) for project in (pair.clone, pair.original)]
    assert really_run(pair.original) == ["fit", "evaluate", "plot"]
    assert found == [({"fit": ["not in dvc.lock"]}, ["evaluate", "plot"])] * 2


@pytest.mark.slow
def test_item_of_a_loop_that_is_no_more_is_not_stale(pair: Pair) -> None:
    pair.original.append(
        "dvc.yaml",
        "  count:\n    foreach: [a, b]\n    do:\n      cmd: cp data/x.txt reports/${item}.txt\n"
        '      deps: [data]\n      outs: ["reports/${item}.txt": {cache: false}]\n',
    )
    assert pair.original.repro() == ["count@a", "count@b"]
    pair.original.commit("Loop")
    replace(pair.original, "dvc.yaml", "[a, b]", "[a]")
    replace(pair.original, "params.yaml", "length: 3", "length: 4")
    assert "count@a" in pair.original.repro()
    assert "up to date" in pair.original.run("dvc", "status")
    pair.share()
    assert stale(pair.clone) == ({}, [])


@pytest.mark.slow
def test_stage_with_a_working_directory_is_no_staler_without_data(pair: Pair) -> None:
    pair.original.append(
        "dvc.yaml",
        "  aside:\n    cmd: cp ../data/x.txt copy.txt\n    wdir: aside\n"
        "    deps: [../data]\n    outs: [copy.txt]\n",
    )
    (pair.original.folder / "aside").mkdir()
    (pair.original.folder / "aside/.gitkeep").touch()
    assert pair.original.repro() == ["aside"]
    pair.share()
    assert stale(pair.original) == ({}, [])
    assert stale(pair.clone) == ({}, [])


def test_every_reason_has_a_row(clone: Project) -> None:
    change_two_places(clone)
    facts = json.loads(clone.run(*COMMAND, "--format", "json", status=1))
    assert list(facts) == ["sentence", "stale", "following"]
    assert (facts["stale"], facts["following"]) == stale(clone)
    assert call(clone, "stale", status=1) == (
        "Out of date. To run: train, plot; after that, if it changes what they read: evaluate.\n"
        "\n"
        "Why\n"
        "stage    reason\n"
        "-------  --------------------------\n"
        "train    train.sh modified\n"
        "train    params.yaml: rate modified\n"
        "plot     plot.sh modified\n"
    )


def test_pipeline_that_cannot_be_read_is_an_error_of_one_line(clone: Project) -> None:
    for name, content, fact in (
        ("dvc.yaml", "<<<<<<< HEAD\n", "stale: dvc: './dvc.yaml' validation failed"),
        ("dvc.yaml", None, "dvc.yaml: expected a pipeline there, found no stage"),
        ("dvc.lock", "stages: [", "dvc: unable to read: 'dvc.lock'"),
    ):
        path = clone.folder / name
        kept = path.read_text()
        path.unlink() if content is None else path.write_text(content)
        assert fact in error(clone)
        path.write_text(kept)


def test_repository_that_a_hook_is_about_leads_nowhere_else(clone: Project, tmp_path: Path) -> None:
    clone.run("git", "init", "--quiet", str(tmp_path / "other"))
    comment_in_code(clone)
    expected = ({"train": ["train.sh modified"]}, ["evaluate", "plot"])
    assert stale(clone, GIT_DIR=str(tmp_path / "other/.git")) == expected


def test_neither_framework_nor_tables_are_imported(clone: Project) -> None:
    script = (
        "import atexit, runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'matplotlib', 'scipy', 'pandas'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['pipeline', 'stale']\n"
        "runpy.run_module('pipeline', run_name='__main__')"
    )
    assert clone.run("python", "-c", script).splitlines() == [UP_TO_DATE, "[]"]
