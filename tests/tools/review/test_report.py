"""Reports on real Git repositories, with logs of the real ``dvc repro``."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, copy_project
from in_process import call
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

DETAILS = "<details><summary>Statistics, classes and confusion matrix</summary>"

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
    outs: [reports/metrics.json: {cache: false}, reports/predictions.csv: {cache: false}]
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
    folder = tmp_path_factory.mktemp("report")
    project = copy_project(folder / "project", folder / "home")
    (project.folder / "room").mkdir()
    for name, content in PARTS.items():
        (project.folder / name).write_text(content)
    assert project.repro() == ["prepare", "notes", "train", "evaluate"]
    project.commit("First")
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
    return project


@pytest.fixture
def project(master: Project, tmp_path: Path) -> Project:
    shutil.copytree(master.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", master.home)


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
    facts: dict[str, Any] = json.loads(call(project, "compare", *arguments, "--format", "json"))
    return str(facts["sentence"])


def commit(project: Project, name: str) -> str:
    return project.run("git", "rev-parse", "--short=7", name).strip()


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()[:8]


def tables(markdown: str) -> dict[str, list[list[str]]]:
    """Return the tables that a reader of the Markdown sees: rows of cells by title."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    for number, token in enumerate(tokens):
        content = tokens[min(number + 1, len(tokens) - 1)].content
        if token.type == "heading_open":
            title = content
        elif token.type == "table_open":
            found[title] = []
        elif token.type == "tr_open":
            found[title].append([])
        elif token.type in {"th_open", "td_open"}:
            found[title][-1].append(content)
    for title, rows in found.items():
        assert {len(row) for row in rows} == {len(rows[0])}, title
    # A broken table would be a paragraph.
    assert not [token for token in tokens if token.type == "inline" and "|:--" in token.content]
    return found


def test_verdict_is_first_and_that_of_compare(project: Project) -> None:
    project.append("params.yaml", '"a|b": "c|d"\n')
    markdown = report(project, "--margin", "7")
    assert markdown.startswith(f"**{sentence(project, 'main~1', '--margin', '7')}**\n\n")
    found = tables(markdown)
    assert list(found) == EVERYTHING
    assert ["margin", "7 points"] in found["Difference"]
    assert ["params.yaml", "a|b", "none", '"c|d"'] in found["What else differs"]
    assert markdown.index("```mermaid") < markdown.index(DETAILS) < markdown.index("</details>")
    assert "\033" not in markdown


def test_base_is_where_the_branch_left_not_where_main_is_now(project: Project) -> None:
    expected = f"Before: {commit(project, 'main~1')}; after: {here(project)}. Up to date"
    pages = {report(project, *base) for base in ((), (commit(project, "main"),))}
    assert len(pages) == 1
    assert expected in pages.pop()


def test_base_in_the_branch_s_own_history_is_called_what_the_user_calls_it(
    project: Project,
) -> None:
    first = commit(project, "main~1")
    project.run("git", "tag", "v1", "main~1")
    assert f"Before: v1 ({first}); after: {here(project)}." in report(project, "v1")
    # What is ahead of here is of no interest yet.
    project.run("git", "checkout", "--quiet", "--detach", "main~1")
    assert f"Before: {first}; after: {here(project)}." in report(project, "branch")


def test_base_on_main_is_the_commit_before(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "main")
    project.run("dvc", "checkout")
    markdown = report(project)
    assert f"Before: HEAD~1 ({commit(project, 'HEAD~1')}); after: {here(project)}." in markdown
    assert markdown.startswith(f"**{sentence(project)}**")


def test_report_is_the_same_in_a_clone_without_data(project: Project, tmp_path: Path) -> None:
    clone = Project(tmp_path / "clone", tmp_path / "another home")
    clone.home.mkdir()
    project.run("git", "clone", "--quiet", ".", str(clone.folder))
    assert not (clone.folder / "model.txt").exists()
    assert report(clone, "origin/main") == report(project, "main")
    assert clone.run("git", "status", "--porcelain") == ""


def test_numbers_are_those_of_both_revisions(project: Project) -> None:
    found = tables(report(project))
    assert found["Stages"][1:] == [
        ["prepare", "up to date", "1 of 1 differ"],
        ["notes", "up to date", "the same bytes"],
        ["train", "up to date", "2 of 3 differ"],
        ["evaluate", "up to date", "2 of 2 differ"],
    ]
    assert found["Metrics that changed"][1:] == [
        ["accuracy", "0.97", "0.94", "−0.03"],
        ["errors", "30", "60", "+30"],
        ["by_class.0.f1", "30", "60", "+30"],
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


def test_log_of_dvc_says_which_stages_ran(project: Project) -> None:
    log = project.folder.parent / "repro.log"
    edit(project, length=3, wrong=61)
    project.run("sh", "-c", f"dvc repro | tee '{log}'")
    found = tables(report(project, "--log", str(log)))
    assert found["Stages"][1:] == [
        ["prepare", "from the run cache", "the same bytes"],
        ["notes", "unchanged", "the same bytes"],
        ["train", "ran", "2 of 3 differ"],
        ["evaluate", "ran", "2 of 2 differ"],
    ]


def test_stages_that_are_out_of_date_are_told(project: Project) -> None:
    edit(project, epochs=16)
    (project.folder / "reports/notes.txt").unlink()
    markdown = report(project)
    assert markdown.startswith("**Not judged yet; to run first: notes, train.**")
    assert (
        f"after: {here(project)}. Out of date. To run: notes, train; "
        "after that, if it changes what they read: evaluate." in markdown
    )
    assert [row[1] for row in tables(markdown)["Stages"][1:]] == [
        "up to date",
        "out of date: reports/notes.txt deleted",
        "out of date: params.yaml: epochs modified",
        "up to date",
    ]


def test_stage_that_is_no_more_has_no_row(project: Project) -> None:
    """DVC leaves its entry in the lock file."""
    path = project.folder / "dvc.yaml"
    path.write_text(re.sub(r"  notes:\n(    .*\n)+", "", path.read_text()))
    assert project.repro() == []
    assert [row[0] for row in tables(report(project))["Stages"][1:]] == [
        "prepare",
        "train",
        "evaluate",
    ]


def test_results_before_that_were_out_of_date_are_told(project: Project) -> None:
    told = "The results before were out of date themselves."
    edit(project, wrong=7)
    project.commit("Not run")
    project.run("git", "checkout", "--quiet", "-b", "next")
    project.repro()
    assert told in report(project, "branch")


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
    assert found["Metrics that changed"][1] == ["accuracy", "none", "0.94", ""]
    # The curves are those after, for lack of any before.
    assert found["Learning curves, on the validation set"][1][1::2] == ["", ""]
    assert "mermaid" not in markdown
    assert DETAILS not in markdown


def test_branch_without_results_is_reported_all_the_same(project: Project) -> None:
    project.run("git", "rm", "-rq", "reports", "dvc.lock")
    markdown = report(project)
    assert markdown.startswith("**Not judged yet; to run first: prepare, notes, train, evaluate.**")
    assert "has no reports/predictions.csv that can be read." in markdown
    found = tables(markdown)
    assert [row[1:] for row in found["Stages"][1:]] == [
        ["out of date: not in dvc.lock", "none"]
    ] * 4
    assert found["Metrics that changed"][1] == ["accuracy", "0.97", "none", ""]


def test_other_test_set_is_not_compared(project: Project) -> None:
    edit(project, images=900)
    project.append("evaluate.py", "# Has read another parameter.\n")
    assert project.repro() == ["evaluate"]
    markdown = report(project)
    assert markdown.startswith(
        "**Not compared: not the same test set: 1,000 images there, 900 here.**"
    )
    assert list(tables(markdown)) == EVERYTHING[:4]


def test_nothing_changed_is_said_in_sentences(project: Project) -> None:
    markdown = report(project, "branch")
    assert markdown.startswith("**Identical: ")
    assert "No metric has changed." in markdown
    assert "Nothing differs in params.yaml, reports/environment.json, dvc.lock" in markdown
    assert "The learning curves have not changed." in markdown
    assert "The confusion matrix has not changed." in markdown
    assert list(tables(markdown)) == ["Stages", "Difference", "By class"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reports/metrics.json", "{"),
        ("reports/predictions.csv", "actual,predicted,confidence\n3,3,1\n3,3,1,4\n"),
        ("reports/learning_curves.csv", "epoch\n"),
    ],
)
@pytest.mark.parametrize("side", ["before", "after"])
def test_damaged_report_is_named_and_the_rest_is_shown(
    project: Project, side: str, name: str, content: str
) -> None:
    """A branch may change what a report looks like, and cannot mend those before."""
    (project.folder / name).write_text(content)
    base = "main"
    if side == "before":
        project.commit("Damaged")
        project.run("git", "checkout", "--quiet", "main~0", "--", name)
        base = "HEAD"
    markdown = report(project, base)
    where = base if side == "before" else "workspace"
    assert re.search(rf"^Not shown: {where}.*: {name}: .+$", markdown, re.MULTILINE)
    assert "Stages" in tables(markdown)


def test_damaged_lock_is_named_in_one_line(project: Project) -> None:
    (project.folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    assert re.fullmatch(r"report: workspace on \w+: dvc.lock: .+", error(project))


def test_damaged_pipeline_is_an_error_of_one_line(project: Project) -> None:
    project.append("dvc.yaml", "]")
    assert error(project).startswith("report: dvc: unable to read: 'dvc.yaml'")


def test_log_that_is_not_there_is_an_error(project: Project) -> None:
    assert "No such file or directory: 'repro.log'" in error(project, "--log", "repro.log")


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


def test_branches_without_common_history_are_an_error(project: Project) -> None:
    project.run("git", "checkout", "--quiet", "--orphan", "other")
    project.commit("Other")
    main = commit(project, "main")
    assert error(project) == f"report: main ({main}): no history in common with HEAD"


def test_no_framework_is_imported(project: Project) -> None:
    script = (
        "import atexit, runpy, sys\n"
        "heavy = {'tensorflow', 'keras', 'jax', 'matplotlib', 'sklearn'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules))))\n"
        "sys.argv = ['pipeline', 'report']\n"
        "runpy.run_module('pipeline', run_name='__main__')"
    )
    output = project.run("python", "-c", script)
    assert output == f"{report(project)}[]\n"
