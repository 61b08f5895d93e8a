import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT
from dvc.repo import Repo
from ruamel.yaml import YAML

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import check_inputs, files_of, hash_of

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # of DVC itself


def write(files: dict[str, bytes], root: Path = Path()) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def hash_of_dvc(folder: Path, own_home: Path) -> Callable[[str], str]:
    """Return what DVC itself records of a path when it adds it."""
    assert own_home.exists()

    def recorded(path: str) -> str:
        with Repo(str(folder)) if Path(".dvc").exists() else Repo.init(no_scm=True) as repo:
            repo.add(path)
        return str(YAML(typ="safe").load(Path(f"{path}.dvc"))["outs"][0]["md5"])

    return recorded


KEPT = {
    "room/b.py": b"pass\n",
    "room/a.py": b"",
    "room/a/z.py": b"two\r\nlines\n",
    "room/a-1.npy": b"\0\xff",
    "room/page.html": b"<p>",
    "room/.hidden": b".",
    "room/\u00fc \U0001f600.txt": b"name",
    "room/partial/x": b"p",
}
LEFT_BEHIND = [
    "room/__pycache__/a.cpython-311.pyc",
    "room/a/__pycache__/z.cpython-311.pyc",
    "room/.mypy_cache/3.11/a.json",
    "room/.ipynb_checkpoints/a.ipynb",
    "room/.DS_Store",
    "room/.idea/workspace.xml",
    "room/a.py~",
    "room/.a.py.swp",
    "room/#a.py#",
    "room/.#a.py",
    "room/a.py.orig",
    "room/a/images.partial.npy",
]


def test_files_and_hash_of_a_folder_are_those_that_dvc_finds(
    folder: Path, hash_of_dvc: Callable[[str], str]
) -> None:
    shutil.copyfile(ROOT / ".dvcignore", ".dvcignore")
    write(KEPT | dict.fromkeys(LEFT_BEHIND, b"left behind"))
    expected = hash_of_dvc("room")
    assert expected.endswith(".dir")
    assert {file.as_posix() for file in files_of(Path("room"))} == set(KEPT)
    assert hash_of(Path("room")) == expected
    assert hash_of(folder / "room", folder) == expected
    # Asked for a part of it, the rules are still those of the whole project.
    assert {file.as_posix() for file in files_of(Path("room/a"))} == {"room/a/z.py"}


@pytest.mark.parametrize(
    "rules",
    [
        "",
        "*.txt\n!keep.txt\n",
        "/room/a.txt\n",
        "/a.txt\n",
        "room/b/\n",
        "b/*.txt\n",
        "**/c\n",
        "# a comment\n\n\\#odd\n",
        "room/*\n!room/b\n",
    ],
)
def test_rules_of_dvcignore_mean_the_same_as_to_dvc(
    folder: Path, hash_of_dvc: Callable[[str], str], rules: str
) -> None:
    names = ["a.txt", "keep.txt", "b/a.txt", "b/c", "c/d.txt", "#odd", "a comment", "e"]
    write({f"room/{name}": name.encode() for name in names})
    (folder / ".dvcignore").write_text(rules, encoding="utf-8")
    assert hash_of(Path("room")) == hash_of_dvc("room")


def test_hash_of_a_file_is_dvcs(folder: Path, hash_of_dvc: Callable[[str], str]) -> None:
    write({"a.csv": b"a,b\r\n1,2\r\n"}, folder)
    assert hash_of(Path("a.csv")) == hash_of_dvc("a.csv")
    assert files_of(Path("a.csv")) == [Path("a.csv")]
    assert files_of(Path("missing")) == []


def write_lock(*outs: str, root: Path = Path()) -> None:
    """Write a lock file that says that these are what some stage wrote."""
    lines = [f"    - path: {out}\n      md5: {hash_of(root / out, root)}\n" for out in outs]
    text = f"stages:\n  one:\n    cmd: one\n    outs:\n{''.join(lines)}  two: {{cmd: two}}\n"
    (root / "dvc.lock").write_text(text, encoding="utf-8")


def assert_refused(path: str, *inputs: str) -> None:
    with pytest.raises(PipelineError, match=rf"^{path}: not what its stage wrote \(MD5 "):
        check_inputs(map(Path, inputs))


@pytest.mark.usefixtures("folder")
def test_file_that_its_stage_wrote_passes_and_another_is_named() -> None:
    write({"file.npy": b"content"})
    write_lock("file.npy")
    check_inputs([Path("file.npy")])
    for content in (b"", b"conten", b"contenu", b"content "):
        write({"file.npy": content})
        assert_refused("file.npy", "other.npy", "file.npy")


@pytest.mark.usefixtures("folder")
def test_folder_is_what_its_stage_wrote_with_every_file_in_it() -> None:
    write({"data/raw/a": b"a", "data/raw/b": b"b"})
    write_lock("data/raw")
    for change in ({"data/raw/b": b"c"}, {"data/raw/new": b""}):
        check_inputs([Path("data/raw")])
        write(change)
        assert_refused("data/raw", "data/raw")
        write({"data/raw/b": b"b"})
        Path("data/raw/new").unlink(missing_ok=True)
    Path("data/raw/a").unlink()
    assert_refused("data/raw", "data/raw")


@pytest.mark.usefixtures("folder")
def test_folder_stands_for_all_that_stages_wrote_in_it() -> None:
    write({"runs/a": b"a", "runs/b": b"b", "runs.csv": b"c"})
    write_lock("runs/a", "runs/b", "runs.csv")
    write({"runs/other": b"of no stage", "runs.csv": b"not in it"})
    check_inputs([Path("runs")])
    write({"runs/b": b"c"})
    assert_refused("runs/b", "runs")


@pytest.mark.usefixtures("folder")
def test_files_that_no_stage_writes_are_not_judged() -> None:
    write({"code.py": b"anything", "other": b""})
    check_inputs([Path("code.py")])  # nor is there a lock file
    write_lock("other")
    check_inputs([Path("code.py"), Path("missing")])


def test_studies_ask_the_lock_of_the_project_whose_data_they_link_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write({"data/processed/a": b"a", "reports/b": b"b", "studies/runs/c": b"c"})
    write_lock("data/processed", "reports/b", root=folder)
    write_lock("runs", root=folder / "studies")
    (folder / "studies/data").symlink_to("../data")
    monkeypatch.chdir(folder / "studies")
    inputs = ["data/processed", "runs"]
    check_inputs(map(Path, inputs))
    write({"../data/processed/a": b"b"})
    assert_refused("data/processed", *inputs)
    write({"../data/processed/a": b"a", "runs/c": b"d"})
    assert_refused("runs", *inputs)
    write({"runs/c": b"c"})
    (folder / "dvc.lock").write_text("<<<<<<< HEAD\n")
    with pytest.raises(PipelineError, match=r"dvc\.lock: not a lock file"):
        check_inputs(map(Path, inputs))


def test_stages_before_must_have_run_with_the_parameters_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the page would name parameters that its results were not made with."""
    monkeypatch.chdir(tmp_path)
    Path("model").write_text("content")
    Path("dvc.lock").write_text(
        "stages: {data: {outs: [{path: x, md5: aa}], params: {params.yaml: {data: {seed: 3}}}},"
        "train: {deps: [{path: x, md5: aa}], outs: [{path: model, md5: "
        f"{hash_of(Path('model'))}}}], params: {{params.yaml: {{a.b: {{c: 1}}, d: [1]}}}}}},"
        "other: {params: {params.yaml: {e: 1}}}}"
    )
    right = "{a: {b: {c: 1}}, d: [1], data: {seed: 3}, e: 2}"
    for params, stale in (
        (right, None),
        (right.replace("c: 1", "c: 1.0"), None),  # to DVC the same
        (right.replace("c: 1", "c: 1.5"), ("train", "a.b.c")),
        (right.replace("[1]", "[1, 2]"), ("train", "d")),
        (right.replace("{c: 1}", "null"), ("train", "a.b.c")),
        (right.replace("seed: 3", "seed: 4"), ("data", "data.seed")),
    ):
        Path("params.yaml").write_text(params)
        if stale:
            with pytest.raises(PipelineError, match="'{}' .* used another {} than".format(*stale)):
                check_inputs([Path("model")])
        else:
            check_inputs([Path("model")])


def test_stages_that_the_pipeline_has_no_more_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC leaves their entries in the lock file when somebody renames or removes a stage."""
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text("new")
    Path("dvc.lock").write_text(
        "stages: {old: {outs: [{path: x.txt, md5: other}]}, "
        "later: {deps: [{path: x.txt, md5: older}], outs: [{path: y.txt, md5: aa}]}}"
    )
    Path("dvc.yaml").write_text("stages: {old: {cmd: x}, later: {cmd: x}}")
    with pytest.raises(PipelineError, match=r"x\.txt: not what its stage wrote"):
        check_inputs([Path("x.txt")])
    with pytest.raises(PipelineError, match=r"stage 'later' is out of date.*frozen"):
        check_inputs([Path("y.txt")])
    Path("dvc.yaml").write_text("stages: {new: {cmd: x}, later: {cmd: x}}")
    check_inputs([Path("x.txt"), Path("y.txt")])
