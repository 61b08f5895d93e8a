"""What Git has of files and folders, with a repository and lock files that DVC itself has made."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from dvc.repo import Repo

from pipeline.history import revisions
from pipeline.history.changes import Change
from pipeline.history.lineage import read_lock
from pipeline.history.provenance import differences, outdated, provenance
from pipeline.history.revisions import Revision, resolve, workspace
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import md5_of

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of DVC itself

FILES = {
    ".gitignore": "/data\ntmp\ncache\n__pycache__\n",
    "params.yaml": "evaluate: {certainty: 0.9}\nplot: {dpi: 60}\n",
    "pipeline/one.py": "a\n",
    "pipeline/room/a.py": "b\n",
    "pipeline/room/inner/ü.html": "c\r\n",
    "pipeline/room/.hidden": "",
    "pipeline/room/a.py.bak": "in Git, but ignored by DVC",
    "pipeline/roommate.py": "no part of the room",
    "dvc.yaml": """
stages:
  prepare:
    cmd: mkdir -p data/processed && cp pipeline/one.py data/processed/a
    deps: [pipeline/one.py]
    outs: [data/processed]
  evaluate:
    cmd: mkdir -p reports && cat data/processed/a > reports/predictions.csv
    deps: [data/processed, pipeline/room]
    params: [evaluate]
    outs: [{reports/predictions.csv: {cache: false}}]
""",
    "studies/params.yaml": "study: {seeds: 3}\n",
    "studies/dvc.yaml": """
stages:
  assess:
    cmd: cat data/processed/a > runs.csv
    deps: [data/processed, pipeline/room]
    params: [study, {../params.yaml: [evaluate]}]
    outs: [{runs.csv: {cache: false}}]
""",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with studies, run by DVC and committed."""
    folder = tmp_path_factory.mktemp("made") / "project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    for name in ("data", "pipeline"):
        (folder / "studies" / name).symlink_to(f"../{name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder.parent / "dvc"))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        for project in (folder, folder / "studies"):
            shutil.copyfile(ROOT / ".dvcignore", project / ".dvcignore")
            Repo.init(str(project), no_scm=True).close()
        for project in (folder, folder / "studies"):
            patch.chdir(project)
            with Repo(str(project)) as repo:
                repo.reproduce()
        commit(folder)
        yield folder


def commit(folder: Path) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    for command in (["init", "-q"], ["add", "--all"], [*identity, "commit", "-qm", "All"]):
        environment = os.environ | {"HOME": str(folder.parent)}
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True)


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in: what the code takes for its project."""
    shutil.copytree(made, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(revisions, "PROJECT", tmp_path / "project")
    return tmp_path / "project"


def test_hashes_of_files_and_folders_are_dvcs_in_a_commit_and_in_the_workspace(
    folder: Path,
) -> None:
    lock = read_lock(folder)
    Path("pipeline/room/__pycache__").mkdir()
    Path("pipeline/room/__pycache__/a.pyc").write_bytes(b"bytecode")
    for revision in (resolve("HEAD"), workspace()):
        found = provenance(revision)
        for stage in ("prepare", "evaluate"):
            for path, recorded in lock[stage].deps.items():
                assert found.hash_of(path) == recorded, path
        assert set(found.code) - {"pipeline/one.py"} == {
            "pipeline/room/a.py",
            "pipeline/room/inner/ü.html",
            "pipeline/room/.hidden",
        }
        assert found.hash_of("nowhere") is None
        assert revision.files(["nowhere", "../outside", "/etc"]) == {}
        one, room = revision.files(["pipeline/one.py"]), revision.files(["pipeline/room/inner"])
        assert one == {"pipeline/one.py": md5_of(b"a\n")}
        assert room == {"pipeline/room/inner/ü.html": md5_of(b"c\r\n")}


def edit(path: str, text: str) -> Callable[[], object]:
    return lambda: Path(path).write_text(text)


# Name, the change, and what is outdated: of the pipeline's results, and of the studies'.
CHANGES: list[tuple[str, Callable[[], object], list[str], list[str]]] = [
    ("nothing", lambda: None, [], []),
    ("file", edit("pipeline/one.py", "x"), ["pipeline/one.py"], []),
    ("file in a folder", edit("pipeline/room/a.py", "x"), ["pipeline/room"], ["pipeline/room"]),
    ("new file", edit("pipeline/room/inner/n", ""), ["pipeline/room"], ["pipeline/room"]),
    ("no file", lambda: Path("pipeline/room/a.py").unlink(), ["pipeline/room"], ["pipeline/room"]),
    ("ignored file", edit("pipeline/room/b.bak", "x"), [], []),
    ("other file", edit("pipeline/roommate.py", "x"), [], []),
    ("parameter", edit("params.yaml", "evaluate: {}"), ["params.yaml"], ["params.yaml"]),
    ("other parameter", edit("params.yaml", "plot: {}\nevaluate: {certainty: 0.90}"), [], []),
    ("own", edit("studies/params.yaml", "study: {seeds: 4}"), [], ["studies/params.yaml"]),
]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("change", "of_pipeline", "of_studies"),
    [pytest.param(*values, id=name) for name, *values in CHANGES],
)
def test_outdated_are_files_and_folders_as_the_lock_lists_them_seen_from_the_root(
    change: Callable[[], object], of_pipeline: list[str], of_studies: list[str]
) -> None:
    def found(revision: Revision) -> tuple[list[str], list[str]]:
        pipeline, studies = (
            provenance(revision, lock_file) for lock_file in ("dvc.lock", "studies/dvc.lock")
        )
        return outdated(pipeline), outdated(studies, "runs.csv")

    change()
    assert found(workspace()) == (of_pipeline, of_studies)
    assert found(resolve("HEAD")) == ([], [])


def test_studies_are_outdated_when_the_pipeline_has_made_other_data(folder: Path) -> None:
    edit("pipeline/one.py", "x")()
    with Repo(str(folder)) as repo:
        repo.reproduce()
    assert outdated(provenance(workspace())) == []
    studies = provenance(workspace(), "studies/dvc.lock")
    assert outdated(studies, "runs.csv") == ["data/processed"]


def test_differences_name_the_files_of_a_folder_that_differ(folder: Path) -> None:
    base = resolve("HEAD")
    edit("pipeline/room/a.py", "x")()
    with Repo(str(folder)) as repo:
        repo.reproduce()
    found = differences(provenance(base), provenance(workspace()))
    old, new = md5_of(b"b\n"), md5_of(b"x")
    assert found["dvc.lock"] == [Change("pipeline/room/a.py", old, new)]
    assert found["params.yaml"] == []


@pytest.mark.usefixtures("folder")
def test_content_that_git_has_lost_is_named() -> None:
    known = subprocess.run(
        ["git", "rev-parse", "HEAD:pipeline/room/a.py"], capture_output=True, text=True, check=True
    ).stdout.strip()
    Path(".git/objects", known[:2], known[2:]).unlink()
    with pytest.raises(PipelineError, match=f"Git has lost object {known}"):
        provenance(resolve("HEAD"))
