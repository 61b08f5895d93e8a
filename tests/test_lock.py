import pytest

from pipeline.lock import LockedStage, parse_lock, sources, upstream
from pipeline.stage import PipelineError

LOCK = b"""\
schema: '2.0'
stages:
  prepare:
    cmd: python prepare.py
    deps:
    - path: prepare.py
      hash: md5
      md5: aa
      size: 1
    outs:
    - path: data.npy
      hash: md5
      md5: bb
      size: 1
  train:
    cmd: python train.py
    deps:
    - path: data.npy
      hash: md5
      md5: bb
      size: 1
    - path: train.py
      hash: md5
      md5: cc
      size: 1
    params:
      params.yaml:
        train:
          epochs: 3
    outs:
    - path: model
      hash: md5
      md5: dd
      size: 1
  plot:
    cmd: python plot.py
    deps:
    - path: model
      hash: md5
      md5: dd
      size: 1
    - path: prepare.py
      hash: md5
      md5: aa
      size: 1
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


def test_sources_are_what_no_stage_writes() -> None:
    assert sources(parse_lock(LOCK, "dvc.lock")) == {"prepare.py": "aa", "train.py": "cc"}


@pytest.mark.parametrize(
    ("output", "stages"),
    [("data.npy", set()), ("model", {"prepare"}), ("elsewhere", set())],
)
def test_upstream_is_what_runs_before(output: str, stages: set[str]) -> None:
    assert upstream(parse_lock(LOCK, "dvc.lock"), output) == stages


@pytest.mark.parametrize(
    "content",
    [b"", b"stages", b"stages: [", b"schema: '2.0'", b"\xff", b"stages: {a: 1}", b"stages: [1]",
     b"stages: {a: {deps: [{path: x}]}}", b"stages: {a: {outs: [x]}}", b"a: 1\na: 2"],
)  # fmt: skip
def test_what_is_no_lock_is_refused(content: bytes) -> None:
    with pytest.raises(PipelineError, match=r"main: dvc\.lock: not a lock file of DVC") as caught:
        parse_lock(content, "main: dvc.lock")
    assert "\n" not in str(caught.value)
