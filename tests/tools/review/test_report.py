"""Reports on real Git repositories, with logs of the real ``dvc repro``."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from conftest import Project, copied
from in_process import call
from ruamel.yaml import YAML
from scripts import replace, scripts_project, tables

# Learning curves, metrics and predictions without anything being learned.
PARTS = {
    "dvc.yaml": """\
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py]
    params: [length]
    outs: [data]
  notes:
    cmd: python notes.py
    deps: [notes.py]
    outs: [reports/notes.txt: {cache: false}]
  train:
    cmd: python train.py
    deps: [train.py, data, room]
    params: [epochs]
    outs:
      - model.txt
      - reports/environment.json: {cache: false}
      - reports/learning_curves.csv: {cache: false}
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model.txt]
    params: [wrong]
    metrics: [reports/metrics.json: {cache: false}, reports/shifted.json: {cache: false}]
    outs: [reports/predictions.csv: {cache: false}]
""",
    "params.yaml": "length: 3\nepochs: 12\nwrong: 30\nimages: 1000\n",
    "parts.py": """
from pathlib import Path
reports = Path("reports")
reports.mkdir(exist_ok=True)
params = dict(line.split(": ") for line in Path("params.yaml").read_text().splitlines())
""",
    "prepare.py": """
from parts import Path, params
Path("data").mkdir()
Path("data/x.txt").write_text("digit " * int(params["length"]))
""",
    "notes.py": """
from parts import reports
(reports / "notes.txt").write_text("a note")
""",
    "train.py": """
from parts import Path, params, reports
epochs = range(1, int(params["epochs"]) + 1)
data = Path("data/x.txt").read_text()
rows = [f"{n},{1 / n},{1 - 1 / n},{2 / n},{1 - 2 / (n + 2 + len(data))}" for n in epochs]
header = "epoch,loss,accuracy,val_loss,val_accuracy"
(reports / "learning_curves.csv").write_text("\\n".join([header, *rows, ""]))
(reports / "environment.json").write_text('{"python": "3.13"}')
Path("model.txt").write_text(data + params["epochs"])
""",
    "evaluate.py": """
import json
from parts import params, reports
wrong, images = int(params["wrong"]), int(params["images"])
rows = [f"{n % 10},{(n + (n < wrong)) % 10},0.5" for n in range(images)]
(reports / "predictions.csv").write_text("\\n".join(["actual,predicted,confidence", *rows, ""]))
metrics = {"accuracy": 1 - wrong / images, "errors": wrong, "by_class": {"0": {"f1": wrong}}}
(reports / "metrics.json").write_text(json.dumps(metrics))
(reports / "shifted.json").write_text(json.dumps({"1": wrong / 100}))
""",
    "room/lessons.py": "one = 1\n",
    "room/others.py": "two = 2\n",
    ".gitignore": "/*.txt\n/data\n__pycache__\n",
}
EVERYTHING = [
    "Stages",
    "Metrics that changed",
    "What else differs",
    "Learning curves, on the validation set",
    "Difference",
    "By class",
    "Change of the confusion matrix (rows: actual, columns: predicted)",
]


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with results on main, and others on a branch that left main before its tip."""
    project = scripts_project(tmp_path_factory.mktemp("report"), PARTS)
    project.run("git", "checkout", "--quiet", "-b", "branch")
    edit(project, length=4, epochs=15, wrong=60)
    project.append("room/lessons.py", "three = 3\n")
    assert project.repro() == ["prepare", "train", "evaluate"]
    project.commit("Branch")
    project.run("git", "checkout", "--quiet", "main")
    edit(project, wrong=5)
    project.repro()
    project.commit("Main goes on")
    project.run("git", "checkout", "--quiet", "branch")
    project.run("dvc", "checkout")
    project.run("git", "repack", "-adq")
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "project")


def edit(project: Project, **values: object) -> None:
    """Change parameters, a line each."""
    path = project.folder / "params.yaml"
    params = YAML(typ="safe").load(path) | values
    path.write_text("".join(f"{name}: {value}\n" for name, value in params.items()))


def report(project: Project, *arguments: str) -> str:
    return call(project, "report", *arguments)


def here(project: Project) -> str:
    return f"workspace on {commit(project, 'HEAD')}"


def error(project: Project, *arguments: str) -> str:
    output = call(project, "report", *arguments, status=2)
    assert re.fullmatch(r"report: .+\n", output), output
    return output.rstrip("\n")


def sentence(project: Project, *arguments: str) -> str:
    """Return the verdict of the tool that compares."""
    facts = json.loads(call(project, "compare", *arguments, "--format", "json"))
    return str(facts["sentence"])


def commit(project: Project, name: str) -> str:
    return project.run("git", "rev-parse", "--short=7", name).strip()


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()[:8]


def test_verdict_is_first_and_that_of_compare_and_details_are_folded_last(project: Project) -> None:
    project.append("params.yaml", '"a|b": "c|d"\n')
    markdown = report(project, "--margin", "7")
    assert markdown.startswith(f"**{sentence(project, 'main~1', '--margin', '7')}**\n\n")
    found = tables(markdown)
    assert list(found) == EVERYTHING
    assert ["margin", "7 points"] in found["Difference"]
    assert ["params.yaml", "a|b", "none", '"c|d"'] in found["What else differs"]
    details = "<details><summary>Statistics, classes and confusion matrix</summary>"
    assert markdown.index("```mermaid") < markdown.index(details) < markdown.index("#### Diff")
    assert markdown.endswith("</details>\n")
    assert "\033" not in markdown


def test_numbers_are_those_of_both_revisions_and_the_same_in_a_clone_without_data(
    project: Project, tmp_path: Path
) -> None:
    markdown = report(project)
    # The base is where the branch left main, not where main is now.
    expected = f"Before: {commit(project, 'main~1')}; after: {here(project)}. Up to date"
    assert expected in markdown
    found = tables(markdown)
    assert found["Stages"][1:] == [
        ["prepare", "up to date", "1 of 1 differ"],
        ["notes", "up to date", "the same bytes"],
        ["train", "up to date", "2 of 3 differ"],
        ["evaluate", "up to date", "3 of 3 differ"],
    ]
    assert found["Metrics that changed"][1:] == [
        ["metrics.accuracy", "0.97", "0.94", "−0.03"],
        ["metrics.errors", "30", "60", "+30"],
        ["metrics.by_class.0.f1", "30", "60", "+30"],
        ["shifted.1", "0.3", "0.6", "+0.3"],
    ]
    assert found["What else differs"][1:] == [
        ["params.yaml", "length", "3", "4"],
        ["params.yaml", "epochs", "12", "15"],
        ["params.yaml", "wrong", "30", "60"],
        ["dvc.lock", "room/lessons.py", md5("one = 1\n"), md5("one = 1\nthree = 3\n")],
    ]
    curves = found["Learning curves, on the validation set"]
    assert [row[0] for row in curves[1:]] == ["1", "2", "5", "10", "12", "15"]
    assert curves[-2][1:3] == ["93.75%", "94.74%"]
    assert curves[-1][1:] == ["", "95.12%", "", "0.1333"]

    clone = Project(tmp_path / "clone", tmp_path / "another home")
    clone.home.mkdir()
    project.run("git", "clone", "--quiet", ".", str(clone.folder))
    assert not (clone.folder / "model.txt").exists()
    assert report(clone, "origin/main") == markdown
    assert clone.run("git", "status", "--porcelain") == ""


def test_base_in_the_own_history_is_called_what_the_user_calls_it(project: Project) -> None:
    first = commit(project, "main~1")
    project.run("git", "tag", "v1", "main~1")
    assert f"Before: v1 ({first}); after: {here(project)}." in report(project, "v1")
    # What is ahead of here is of no interest yet.
    project.run("git", "checkout", "--quiet", "--detach", "main~1")
    assert f"Before: {first}; after: {here(project)}." in report(project, "branch")
    project.run("git", "checkout", "--quiet", "main")
    markdown = report(project)
    assert f"Before: HEAD~1 ({first}); after: {here(project)}." in markdown
    assert sentence(project) in markdown


def test_log_of_dvc_says_which_stages_ran(project: Project) -> None:
    log = project.folder.parent / "repro.log"
    edit(project, length=3, wrong=61)
    project.run("sh", "-c", f"dvc repro | tee '{log}'")
    found = tables(report(project, "--log", str(log)))
    assert found["Stages"][1:] == [
        ["prepare", "from the run cache", "the same bytes"],
        ["notes", "unchanged", "the same bytes"],
        ["train", "ran", "2 of 3 differ"],
        ["evaluate", "ran", "3 of 3 differ"],
    ]


def test_stages_and_results_before_that_are_out_of_date_are_told(project: Project) -> None:
    edit(project, length=5)
    project.commit("Not run")
    (project.folder / "reports/notes.txt").unlink()
    markdown = report(project, "HEAD")
    assert markdown.startswith("**Not judged yet; to run first: prepare, notes.**")
    assert (
        f"after: {here(project)}. Out of date. To run: prepare, notes; "
        "after that, if it changes what they read: train, evaluate." in markdown
    )
    assert [row[1] for row in tables(markdown)["Stages"][1:]] == [
        "out of date: params.yaml: length modified",
        "out of date: reports/notes.txt deleted",
        "up to date",
        "up to date",
    ]
    assert "The results before were out of date themselves." in markdown


def test_base_without_results_is_reported_all_the_same(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "--orphan", "fresh")
    project.run("git", "rm", "-rq", "--cached", "reports", "dvc.lock", "params.yaml")
    project.run("git", "commit", "--quiet", "--message", "Code alone")
    base = commit(project, "HEAD")
    markdown = report(project, "HEAD")
    assert markdown.startswith(
        f"**Not compared: HEAD ({base}) has no reports/predictions.csv that can be read.**"
    )
    found = tables(markdown)
    assert list(found) == EVERYTHING[:4]
    assert [row[2] for row in found["Stages"][1:]] == ["new"] * 4
    assert found["Metrics that changed"][1] == ["metrics.accuracy", "none", "0.94", ""]
    # The curves are those after, for lack of any before.
    assert found["Learning curves, on the validation set"][1][1::2] == ["", ""]
    assert "mermaid" not in markdown
    assert "<details>" not in markdown


def test_branch_without_results_is_reported_all_the_same(project: Project) -> None:
    project.run("git", "rm", "-rq", "reports", "dvc.lock")
    markdown = report(project)
    assert markdown.startswith("**Not judged yet; to run first: prepare, notes, train, evaluate.**")
    assert "has no reports/predictions.csv that can be read." in markdown
    found = tables(markdown)
    assert [row[1:] for row in found["Stages"][1:]] == [
        ["out of date: not in dvc.lock", "none"]
    ] * 4
    assert found["Metrics that changed"][1] == ["metrics.accuracy", "0.97", "none", ""]


def test_nothing_changed_is_said_in_sentences(project: Project) -> None:
    # A stage that is no more has no row, though its entry stays in the lock file.
    replace(project, "dvc.yaml", r"  notes:\n(    .*\n)+", "")
    markdown = report(project, "branch")
    assert markdown.startswith("**Identical: ")
    assert "No metric has changed." in markdown
    assert "Nothing differs in params.yaml, reports/environment.json, dvc.lock" in markdown
    assert "The learning curves have not changed." in markdown
    assert "The confusion matrix has not changed." in markdown
    found = tables(markdown)
    assert list(found) == ["Stages", "Difference", "By class"]
    assert [row[0] for row in found["Stages"][1:]] == ["prepare", "train", "evaluate"]


@pytest.mark.parametrize("side", ["before", "after"])
def test_damaged_reports_are_named_and_the_rest_is_shown(project: Project, side: str) -> None:
    """A branch may change what a report looks like, and cannot mend those before."""
    damages = {
        "reports/metrics.json": "{",
        "reports/predictions.csv": "actual,predicted,confidence\n3,3,1\n3,3,1,4\n",
        "reports/learning_curves.csv": "epoch\n",
    }
    for name, content in damages.items():
        (project.folder / name).write_text(content)
    base = "main"
    if side == "before":
        project.commit("Damaged")
        project.run("git", "checkout", "--quiet", "main", "--", *damages)
        base = "HEAD"
    markdown = report(project, base)
    where = base if side == "before" else "workspace"
    for name in damages:
        assert re.search(rf"^Not shown: {where}.*: {name}: .+$", markdown, re.MULTILINE)
    assert "Stages" in tables(markdown)


def test_what_cannot_be_read_is_an_error_of_one_line(project: Project) -> None:
    assert "No such file or directory: 'repro.log'" in error(project, "--log", "repro.log")
    for name, content, message in (
        ("dvc.lock", "<<<<<<< HEAD\n", r"report: workspace on \w+: dvc.lock: "),
        ("dvc.yaml", "]", r"report: workspace on \w+: dvc.yaml: "),
    ):
        kept = (project.folder / name).read_text()
        (project.folder / name).write_text(content)
        assert re.match(message, error(project))
        (project.folder / name).write_text(kept)
    project.run("git", "checkout", "--quiet", "--orphan", "other")
    project.commit("Other")
    main = commit(project, "main")
    assert error(project) == f"report: main ({main}): no history in common with HEAD"


def test_shallow_clone_is_told_what_it_lacks(project: Project, tmp_path: Path) -> None:
    address = f"file://{project.folder}"
    project.run("git", "clone", "-q", "--depth=1", "-b", "branch", address, str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", project.home)
    clone.run("git", "fetch", "--quiet", "--depth=1", "origin", "main:main")
    main = commit(clone, "main")
    for base, start in (
        ("main", f"report: main ({main}): no history in common with HEAD; this clone is shallow: "),
        ("main~1", "report: 'main~1': no such revision or experiment; this clone is shallow: "),
    ):
        message = error(clone, base)
        assert message.startswith(start)
        assert "`fetch-depth: 0`" in message


def test_no_framework_is_imported(project: Project) -> None:
    """Nor by the comparison."""
    script = (
        "import runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'matplotlib', 'sklearn'}\n"
        "for tool, avoided in (('compare', {*heavy, 'dvc'}), ('report', heavy)):\n"
        "    sys.argv = ['pipeline', tool, 'main~1']\n"
        "    try:\n"
        "        runpy.run_module('pipeline', run_name='__main__')\n"
        "    except SystemExit:\n"
        "        print(sorted(avoided & set(sys.modules)))"
    )
    output = project.run("python", "-c", script)
    assert output == f"{call(project, 'compare', 'main~1')}[]\n{report(project, 'main~1')}[]\n"
