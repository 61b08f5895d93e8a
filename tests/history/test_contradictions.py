"""Results that do not hold together, and that no tool judges them; with the real ``dvc``."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, copied
from in_process import call, in_project
from ruamel.yaml import YAML
from scripts import replace, scripts_project

from pipeline.history.contradictions import contradictions, different_params
from pipeline.history.provenance import provenance
from pipeline.history.revisions import resolve, workspace
from pipeline.runtime.lock import LockedStage

STAGES = ("train", "evaluate", "plot")
PARTS = {
    "dvc.yaml": """\
stages:
  train:
    cmd: mkdir -p model reports && cp params.yaml model/m.txt && cp params.yaml reports/curves.csv
    params: [epochs]
    outs: [model, reports/curves.csv: {cache: false}]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model]
    outs:
      - reports/predictions.csv: {cache: false}
      - reports/classes: {cache: false}
    metrics: [reports/metrics.json: {cache: false}]
  plot:
    cmd: cat reports/curves.csv reports/predictions.csv > reports/page.html
    deps: [reports/curves.csv, reports/predictions.csv]
    params: [epochs]
    outs: [reports/page.html: {cache: false}]
""",
    "params.yaml": "epochs: 9\n",
    "evaluate.py": """
from pathlib import Path
epochs = int(Path("model/m.txt").read_text().split()[1])
rows = [f"{n % 10},{(n + (n % epochs == 0)) % 10},0.5" for n in range(1000)]
Path("reports/predictions.csv").write_text("\\n".join(["actual,predicted,confidence", *rows, ""]))
Path("reports/metrics.json").write_text('{"accuracy": 0.9}')
Path("reports/classes").mkdir()
Path("reports/classes/0.txt").write_text(str(epochs))
""",
    ".gitignore": "/model\n__pycache__\n",
}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = scripts_project(tmp_path_factory.mktemp("contradictions"), PARTS)
    project.run("git", "checkout", "--quiet", "-b", "branch")
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "project")


def train_alone(project: Project) -> None:
    replace(project, "params.yaml", "9", "2")
    project.run("dvc", "repro", "train")


def draw_alone(project: Project) -> None:
    replace(project, "params.yaml", "9", "2")
    project.run("dvc", "repro", "--single-item", "plot")


def unlock(*names: str) -> Callable[[Project], None]:
    """Return what takes stages out of the lock file, as if they had never run."""

    def change(project: Project) -> None:
        path = project.folder / "dvc.lock"
        lock = YAML(typ="safe").load(path)
        for name in names:
            del lock["stages"][name]
        YAML().dump(lock, path)

    return change


def lock_of_another_pipeline(project: Project) -> None:
    path = project.folder / "dvc.lock"
    path.write_text(re.sub(r"^  (\w+):$", r"  other_\1:", path.read_text(), flags=re.MULTILINE))


def write(name: str) -> Callable[[Project], None]:
    return lambda project: project.append(name, "x")


def remove(name: str) -> Callable[[Project], None]:
    return lambda project: (project.folder / name).unlink()


def other_output(project: Project) -> None:
    replace(project, "dvc.yaml", "reports/curves.csv: ", "reports/new.csv: ")
    replace(project, "dvc.yaml", "deps: .reports/curves.csv, ", "deps: [")


def other_input(project: Project) -> None:
    new = "deps: [params.yaml, evaluate.py, model]"
    replace(project, "dvc.yaml", r"deps: .evaluate.py, model.", new)


# Name, what somebody does, what of it makes the predictions doubtful, and what else there is.
KINDS: list[tuple[str, Callable[[Project], object], list[str], list[str]]] = [
    (
        "trained alone",
        train_alone,
        ["stage 'evaluate' has read another model than there is"],
        [
            "stage 'plot' has read another reports/curves.csv than there is",
            "stages 'train' and 'plot' have run with different values of epochs",
        ],
    ),
    (
        "drawn alone",
        draw_alone,
        [],
        ["stages 'train' and 'plot' have run with different values of epochs"],
    ),
    (
        "report edited",
        write("reports/predictions.csv"),
        ["reports/predictions.csv is not what its stage wrote"],
        [],
    ),
    (
        "other report edited",
        write("reports/curves.csv"),
        ["reports/curves.csv is not what its stage wrote"],
        [],
    ),
    (
        "metrics edited",
        write("reports/metrics.json"),
        ["reports/metrics.json is not what its stage wrote"],
        [],
    ),
    (
        "file in a folder edited",
        write("reports/classes/0.txt"),
        ["reports/classes is not what its stage wrote"],
        [],
    ),
    (
        "file too many in a folder",
        write("reports/classes/1.txt"),
        ["reports/classes is not what its stage wrote"],
        [],
    ),
    ("report removed", remove("reports/metrics.json"), ["reports/metrics.json is missing"], []),
    (
        "page edited",
        write("reports/page.html"),
        [],
        ["reports/page.html is not what its stage wrote"],
    ),
    ("stage missing", unlock("evaluate"), ["stage 'evaluate' is not in the lock file"], []),
    ("first stage missing", unlock("train"), ["stage 'train' is not in the lock file"], []),
    ("last stage missing", unlock("plot"), [], ["stage 'plot' is not in the lock file"]),
    (
        "no lock file",
        remove("dvc.lock"),
        [f"stage '{name}' is not in the lock file" for name in ("evaluate", "train")],
        ["stage 'plot' is not in the lock file"],
    ),
    (
        "another lock file",
        lock_of_another_pipeline,
        [f"stage '{name}' is not in the lock file" for name in ("evaluate", "train")],
        ["stage 'plot' is not in the lock file"],
    ),
    (
        "another output",
        other_output,
        ["stage 'train' has written other files than dvc.yaml lists"],
        ["stage 'plot' has read other files than dvc.yaml lists"],
    ),
    (
        "another input",
        other_input,
        ["stage 'evaluate' has read other files than dvc.yaml lists"],
        [],
    ),
    (
        "no pipeline",
        remove("dvc.yaml"),
        ["dvc.yaml has no stage that writes reports/predictions.csv"],
        ["dvc.yaml has no stage that writes anything"],
    ),
]


@pytest.mark.parametrize(
    ("change", "of_predictions", "others"),
    [pytest.param(*values, id=name) for name, *values in KINDS],
)
def test_every_kind_is_named_in_the_workspace_and_in_a_commit(
    project: Project,
    change: Callable[[Project], object],
    of_predictions: list[str],
    others: list[str],
) -> None:
    with in_project(project):
        for revision in (workspace(), resolve("HEAD")):
            assert contradictions(provenance(revision)) == []
    change(project)
    project.commit("Changed")
    with in_project(project):
        for revision in (workspace(), resolve("HEAD")):
            found = provenance(revision)
            assert contradictions(found, "reports/predictions.csv") == of_predictions
            everything = contradictions(found)
            assert {*others} <= {*everything}
            if (project.folder / "dvc.yaml").exists():
                assert sorted(everything) == sorted(of_predictions + others)
        assert contradictions(provenance(resolve("main"))) == []


@pytest.mark.parametrize(
    ("one", "other", "differing"),
    [
        ({"a.b": {"c": 1, "d": [2]}}, {"a": {"b": {"c": 1, "d": [2]}, "e": 3}}, []),
        ({"a": {"c": 1, "d": 2}}, {"a.d": 3}, ["a.d"]),
        ({"a": {"b": None}}, {"a": {"b": {"c": 1}}}, ["a.b.c"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": None}}, ["a.b"]),
        ({"a": 1}, {"b": 2}, []),
    ],
)
def test_stages_have_run_with_the_same_parameters_or_are_named(
    one: dict[str, object], other: dict[str, object], differing: list[str]
) -> None:
    lock = {
        name: LockedStage({}, {"params.yaml": values}, {})
        for name, values in (("x", one), ("y", other))
    }
    assert list(different_params(lock)) == [
        f"stages 'x' and 'y' have run with different values of {key}" for key in differing
    ]


def test_a_model_that_is_worse_is_not_called_identical(project: Project) -> None:
    """As it was while only the training of a change had run."""
    train_alone(project)
    project.commit("Epochs")
    expected = (
        "no verdict, since the results do not hold together: stage 'evaluate' has read another "
        "model than there is. `dvc repro` there brings up to date what is not frozen"
    )
    for arguments in (["main", "HEAD"], ["HEAD", "main"], ["main", "branch", "--fail-if-worse"]):
        assert expected in call(project, "compare", *arguments, status=2)
    assert "`dvc repro` here brings" in call(project, "compare", status=2)
    stale = "dvc.lock is stale, it is not of the files committed with it: evaluate (model modified)"
    assert stale in call(project, "verify", status=2)
    page = call(project, "report", "main")
    assert page.startswith("**Not judged yet; to run first: evaluate, plot.**")
    assert json.loads(call(project, "stale", "--format", "json", status=1))
    # What the branch started from may be the one.
    project.repro()
    project.commit("All")
    assert call(project, "compare", "HEAD").startswith("Identical")
    page = call(project, "report", "HEAD~1")
    assert page.startswith("**Not judged: results do not hold together.**")
    assert "stage 'evaluate' has read another model than there is." in page
    assert "Worse: " in call(project, "compare", "main")


def test_contradictions_of_a_malformed_pipeline_are_an_error(project: Project) -> None:
    for content in ("stages: {train: 3}\n", "stages: [", "- train\n"):
        (project.folder / "dvc.yaml").write_text(content)
        assert "dvc.yaml: " in call(project, "compare", "HEAD", status=2)
