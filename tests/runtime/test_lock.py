from pathlib import Path

import pytest

from pipeline.history.lineage import entries, sources
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import (
    LockedStage,
    disagreements,
    hash_of_folder,
    md5,
    md5_of,
    parse_lock,
    upstream,
    writers,
)

LOCK = b"""\
schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps: [{path: prepare.py, hash: md5, md5: aa, size: 1}]
    outs: [{path: data.npy, hash: md5, md5: bb, size: 1}]
  train:
    cmd: python train.py
    deps:
    - {path: data.npy, hash: md5, md5: bb, size: 1}
    - {path: train.py, hash: md5, md5: cc, size: 1}
    params: {params.yaml: {train: {epochs: 3}}}
    outs: [{path: model, hash: md5, md5: dd, size: 1}]
  plot:
    cmd: python plot.py
    deps:
    - {path: model, hash: md5, md5: dd, size: 1}
    - {path: prepare.py, hash: md5, md5: aa, size: 1}
"""


def test_stages_are_read_with_what_went_in_and_came_out() -> None:
    lock = parse_lock(LOCK, "dvc.lock")
    assert list(lock) == ["prepare", "train", "plot"]
    assert lock["train"] == LockedStage(
        deps={"data.npy": "bb", "train.py": "cc"},
        params={"params.yaml": {"train": {"epochs": 3}}},
        outs={"model": "dd"},
    )
    assert lock["plot"].outs == {}


def test_dependency_without_md5_is_left_out() -> None:
    lock = parse_lock(b"stages: {a: {deps: [{path: 'https://example.invalid/x', etag: e}]}}", "x")
    assert lock["a"].deps == {}


def test_folder_is_written_by_who_writes_into_it_and_its_files_by_who_writes_it() -> None:
    lock = {
        "prepare": LockedStage({"code.py": "a"}, {}, {"data": "b.dir"}),
        "train": LockedStage({"data/images.npy": "c"}, {}, {"models/one": "d"}),
        "plot": LockedStage({"models": "e.dir", "datafile": "f"}, {}, {}),
    }
    assert writers(lock, "data/images.npy") == {"prepare"}
    assert writers(lock, "models") == {"train"}
    assert sources(lock) == {"code.py": "a", "datafile": "f"}
    assert upstream(lock, ["train"]) == {"prepare"}


def test_folder_that_stages_fill_together_has_a_hash_unless_there_is_more_in_it() -> None:
    outs = {"data/a/x.txt": md5_of(b"x"), "data/y.txt": md5_of(b"y")}
    right = hash_of_folder({"a/x.txt": md5_of(b"x"), "y.txt": md5_of(b"y")})

    def found(read: str, files: int, **others: str) -> dict[str, list[str]]:
        stages = {out: LockedStage({}, {}, {out: md5}) for out, md5 in (outs | others).items()}
        plot = LockedStage({"data": read}, {}, {}, {"data": files})
        return disagreements(stages | {"plot": plot})

    assert found(right, 2) == {}
    assert found("another.dir", 2) == {"plot": ["data"]}
    assert found("another.dir", 3) == {}
    assert found("another.dir", 3, **{"data/b": "folder.dir"}) == {}


def test_entries_are_files_and_parameters() -> None:
    assert entries({"a": LockedStage({"x": "1"}, {"p": {"k": 1}}, {"y": "2"})}) == {
        *[("a", "x"), ("a", "p: k"), ("a", "y")]
    }


def test_sources_are_what_no_stage_writes_and_upstream_what_runs_before() -> None:
    lock = parse_lock(LOCK, "dvc.lock")
    assert sources(lock) == {"prepare.py": "aa", "train.py": "cc"}
    for output, stages in (("data.npy", set()), ("model", {"prepare"}), ("elsewhere", set())):
        assert upstream(lock, writers(lock, output)) == stages


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"stages: [", b"schema: '2.0'", b"\xff", b"stages: {a: 1}", b"a: 1\na: 2"),
        *(b"stages: {a: {outs: [{md5: a}]}}", b"stages: {a: {params: {p: [x]}}}"),
    ],
)
def test_what_is_no_lock_is_refused(content: bytes) -> None:
    with pytest.raises(PipelineError, match=r"main: dvc\.lock: not a lock file of DVC") as caught:
        parse_lock(content, "main: dvc.lock")
    assert "\n" not in str(caught.value)


def test_md5_is_that_of_rfc_1321(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"message digest")
    assert md5(tmp_path / "file") == "f96b697d7cb7938d525a2f31aaf161d0"
