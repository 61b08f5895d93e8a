"""What is stale in real clones without data, beside what a real ``dvc repro`` runs with them."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Project, copied
from in_process import call, in_project
from scripts import files_of, replace, scripts_project

from pipeline.history.dvc_command import dvc_environment
from pipeline.history.staleness import staleness
from pipeline.tools.doctor.dvc_project import files

STAGES = ["prepare", "train", "evaluate", "plot", "survey"]
UP_TO_DATE = "Up to date: the pipeline's results are those of its code and its parameters."
LONGER = ("params.yaml", "length: 3", "length: 4")

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


# A file, a pattern in it, and what comes in its place.
Edit = tuple[str, str, str]


class Pair(NamedTuple):
    """A reproduced project, and a clone of it that has no data, no cache and no remote."""

    original: Project
    clone: Project

    def share(self) -> None:
        """Bring what the original's last commit is to the clone, which has no data after it."""
        self.original.commit("Edit")
        self.clone.run("git", "pull", "--quiet", str(self.original.folder), "main")


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("stale")
    original = scripts_project(folder, PARTS)
    clone = Project(folder / "clone", folder / "another home")
    clone.home.mkdir()
    original.run("git", "clone", "--quiet", ".", str(clone.folder))
    clone.run("git", "remote", "remove", "origin")
    return Pair(original, clone)


@pytest.fixture
def pair(masters: Pair, tmp_path: Path) -> Pair:
    names = ("original", "clone")
    return Pair(*(copied(one, tmp_path / name) for one, name in zip(masters, names, strict=True)))


@pytest.fixture
def clone(masters: Pair, tmp_path: Path) -> Project:
    return copied(masters.clone, tmp_path / "clone")


def stale(project: Project, **environment: str) -> tuple[dict[str, list[str]], list[str]]:
    """Return the stages that have to run, with reasons, and those that may follow."""
    with in_project(project, **environment):
        found = staleness(project.folder, dvc_environment())
    assert found.sentence.startswith("Out of date" if found else "Up to date")
    reasons = {stage: list(why) for stage, why in found.reasons.items()}
    return reasons, list(found.following)


def edit(project: Project, edits: Sequence[Edit]) -> None:
    for one in edits:
        replace(project, *one)


def really_run(project: Project) -> list[str]:
    """Return the stages whose results ``dvc repro`` makes anew, or takes from its run cache."""
    output = project.run("dvc", "repro")
    anew = re.compile(r"^(?:Running stage|Stage) '(.+)'(?::$| is cached)", re.MULTILINE)
    return [found[1] for found in anew.finditer(output)]


def test_nothing_is_stale_in_a_clone_without_data_cache_and_remote(pair: Pair) -> None:
    """Told by a command that imports neither a framework nor tables."""
    clone = pair.clone
    assert not (clone.folder / "data").exists()
    assert not (clone.folder / ".dvc/cache").exists()
    before = files_of(clone)
    script = (
        "import atexit, runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'matplotlib', 'scipy', 'pandas'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['pipeline', 'stale']\n"
        "runpy.run_module('pipeline', run_name='__main__')"
    )
    assert clone.run("python", "-c", script).splitlines() == [UP_TO_DATE, "[]"]
    assert files_of(clone) == before
    assert clone.run("git", "status", "--porcelain") == ""
    # Where several clones share a cache, what is not here counts as locked all the same.
    cache = pair.original.folder / ".dvc/cache"
    (clone.folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {cache}\n")
    assert stale(clone) == ({}, [])


def test_every_reason_has_a_row_and_looking_changes_nothing(clone: Project, tmp_path: Path) -> None:
    edit(clone, [("params.yaml", "rate: 1", "rate: 2"), ("train.sh", r"\Z", "# A comment.\n")])
    (clone.folder / "plot.sh").unlink()
    before = files_of(clone)
    clone.run("git", "init", "--quiet", str(tmp_path / "other"))
    # As in a hook of another repository.
    hook = str(tmp_path / "other/.git")
    facts = json.loads(call(clone, "stale", "--format", "json", status=1, GIT_DIR=hook))
    assert list(facts) == ["sentence", "stale", "following"]
    assert facts["following"] == ["evaluate"]
    assert call(clone, "stale", status=1) == (
        "Out of date. To run: train, plot; after that, if it changes what they read: evaluate.\n"
        "\n"
        "Why\n"
        "stage    reason\n"
        "-------  --------------------------\n"
        "train    train.sh modified\n"
        "train    params.yaml: rate modified\n"
        "plot     plot.sh deleted\n"
    )
    assert files_of(clone) == before


@pytest.mark.parametrize(
    ("edits", "reasons", "following"),
    [
        ([LONGER], {"prepare": ["params.yaml: length modified"]}, STAGES[1:]),
        (
            [("shared/start.sh", r"\Z", "# A comment.\n")],
            {"evaluate": ["shared modified"], "survey": ["shared modified"]},
            ["plot"],
        ),
        # A stage under another name, and those behind it.
        (
            [("dvc.yaml", "  train:", "  fit:"), ("train.sh", r"\Z", "echo more >> model.txt\n")],
            {"fit": ["not in dvc.lock"]},
            ["evaluate", "plot"],
        ),
        (
            [("dvc.yaml", "sh plot.sh", "sh -e plot.sh"), ("reports/figure.txt", r"\Z", "!")],
            {"plot": ["changed command", "reports/figure.txt modified"]},
            [],
        ),
        (
            [("reports/metrics.json", r"\Z", " ")],
            {
                "evaluate": ["reports/metrics.json modified"],
                "plot": ["reports/metrics.json modified"],
            },
            [],
        ),
        # A stage that is no more does not follow.
        (
            [
                ("dvc.yaml", r"\[rate\]", "[rate, length]"),
                ("dvc.yaml", r"  plot:\n(    .*\n)+", ""),
            ],
            {"train": ["params.yaml: length new"]},
            ["evaluate"],
        ),
    ],
)
def test_edits_make_stale_what_dvc_really_runs_and_no_more(
    pair: Pair, edits: Sequence[Edit], reasons: dict[str, list[str]], following: list[str]
) -> None:
    for project in pair:
        edit(project, edits)
        assert stale(project) == (reasons, following)
    ran = really_run(pair.original)
    # A stage that is stale only for what another stale one writes may be spared after all.
    spared = {"plot"} if "evaluate" in reasons else set()
    assert set(reasons) - spared <= set(ran)
    assert set(ran) <= {*reasons, *following}


def test_dependency_on_data_that_the_last_run_did_not_read_is_stale(pair: Pair) -> None:
    for project in pair:
        edit(project, [("dvc.yaml", r"\[plot.sh, ", "[plot.sh, data, ")])
        assert list(stale(project)[0]) == ["plot"]


def test_half_of_the_pipeline_run_leaves_the_rest_stale_until_all_is_committed(pair: Pair) -> None:
    edit(pair.original, [LONGER, ("plot.sh", r"\Z", "# A comment.\n")])
    assert pair.original.repro("train") == ["prepare", "train"]
    pair.share()
    expected = {
        "evaluate": ["model.txt modified"],
        "plot": ["plot.sh modified"],
        "survey": ["data modified"],
    }
    assert stale(pair.clone) == stale(pair.original) == (expected, [])
    assert {"evaluate", "survey", "plot"} == set(really_run(pair.original))
    pair.share()
    assert stale(pair.clone) == stale(pair.original) == ({}, [])


def test_data_that_are_there_are_looked_at_with_and_without_a_cache(pair: Pair) -> None:
    original, cache = pair.original, pair.original.folder / ".dvc/cache"
    cache.rename(cache.with_name("elsewhere"))
    assert stale(original) == ({}, [])
    (original.folder / "model.txt").unlink()
    (original.folder / "model.txt").write_text("painted by hand\n")
    expected = {"train": ["model.txt modified"], "evaluate": ["model.txt modified"]}
    assert stale(original) == (expected, ["plot"])
    shutil.rmtree(cache, ignore_errors=True)
    cache.with_name("elsewhere").rename(cache)
    assert stale(original) == (expected, ["plot"])
    (original.folder / "data/new.txt").write_text("one more\n")
    assert stale(original)[0] == {
        "prepare": ["data modified"],
        "train": ["data modified", "model.txt modified"],
        "evaluate": ["model.txt modified"],
        "survey": ["data modified"],
    }


def test_links_into_a_cache_that_is_gone_count_as_absent(pair: Pair) -> None:
    """Which makes ``dvc status`` fail."""
    original, cache = pair.original, pair.original.folder / ".dvc/cache"
    original.run("dvc", "config", "--local", "cache.type", "symlink")
    original.run("dvc", "checkout", "--relink")
    assert next((original.folder / "data").iterdir()).is_symlink()
    cache.rename(cache.with_name("elsewhere"))
    original.run("dvc", "status", status=255)
    assert stale(original) == ({}, [])
    with in_project(original):
        finding = files(original.folder)
    assert finding.found.startswith("links into a cache that is gone: ")
    assert set(original.repro()) == {"prepare", "train"}
    with in_project(original):
        assert files(original.folder).verdict == "good"


def test_frozen_stages_are_named_and_nothing_is_called_up_to_date(pair: Pair) -> None:
    original = pair.original
    replace(original, "dvc.yaml", "^  plot:$", "  plot:\n    frozen: true")
    original.append("plot.sh", "# changed\n")
    assert original.repro() == []
    found = call(original, "stale")
    assert found == "Nothing has to run. Not looked at, since frozen: plot.\n"
    assert "Up to date" not in call(original, "report", "HEAD")


LOOP = """\
  count:
    foreach: [a, b]
    do:
      cmd: cp data/x.txt reports/${item}.txt
      deps: [data]
      outs: ["reports/${item}.txt": {cache: false}]
"""
ASIDE = """\
  aside:
    cmd: cp ../data/x.txt copy.txt
    wdir: aside
    deps: [../data]
    outs: [copy.txt]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "rounds",
    [
        # A dependency that is read no more stays in the lock file until another reason to run.
        [[LONGER, ("dvc.yaml", r"survey.sh, data\]", "survey.sh]")]],
        # A stage renamed and renamed back leaves an entry behind its own.
        [
            [("dvc.yaml", "  train:", "  fit:")],
            [("dvc.yaml", "  fit:", "  train:"), ("params.yaml", "rate: 1", "rate: 2")],
        ],
        # An item of a loop that is no more.
        [[("dvc.yaml", r"\Z", LOOP)], [("dvc.yaml", r"\[a, b\]", "[a]"), LONGER]],
        [[("dvc.yaml", r"\Z", ASIDE)]],
    ],
)
def test_what_dvc_calls_up_to_date_is_not_stale_in_a_clone_without_data(
    pair: Pair, rounds: Sequence[Sequence[Edit]]
) -> None:
    (pair.original.folder / "aside").mkdir()
    for edits in rounds:
        edit(pair.original, edits)
        pair.original.repro()
    assert "up to date" in pair.original.run("dvc", "status")
    pair.share()
    assert stale(pair.original) == stale(pair.clone) == ({}, [])


def test_pipeline_that_cannot_be_read_is_an_error_of_one_line(clone: Project) -> None:
    for name, content, fact in (
        ("dvc.yaml", "<<<<<<< HEAD\n", "stale: dvc: './dvc.yaml' validation failed"),
        ("dvc.yaml", None, "dvc.yaml: expected a pipeline there, found no stage"),
        ("dvc.lock", "stages: [", "dvc: unable to read: 'dvc.lock'"),
    ):
        path = clone.folder / name
        kept = path.read_text()
        path.unlink() if content is None else path.write_text(content)
        output = call(clone, "stale", status=2)
        assert fact in output
        assert re.fullmatch(r"stale: .+\n", output), output
        path.write_text(kept)
