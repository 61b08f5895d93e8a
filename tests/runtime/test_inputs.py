import hashlib
import os
from pathlib import Path

import pytest
from conftest import Project

from pipeline.runtime.inputs import check_inputs
from pipeline.runtime.errors import PipelineError


def write_lock(path: Path, written: dict[Path, bytes]) -> Path:
    rows = "".join(
        f"    - path: {file}\n      md5: {hashlib.md5(content).hexdigest()}\n"
        for file, content in written.items()
    )
    path.write_text(f"stages:\n  one:\n    cmd: one\n    outs:\n{rows}  two: {{cmd: two}}\n")
    return path


def test_file_that_its_stage_wrote_passes_and_another_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file.npy"
    locks = [write_lock(tmp_path / "dvc.lock", {file: b"content"}), tmp_path / "missing.lock"]
    file.write_bytes(b"content")
    check_inputs([file], locks)
    for content in (b"", b"conten", b"contenu", b"content "):
        file.write_bytes(content)
        with pytest.raises(PipelineError, match=r"file\.npy: not the file that its stage wrote"):
            check_inputs([file], locks)


def test_files_that_no_stage_writes_are_not_judged(tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("anything")
    lock = write_lock(tmp_path / "dvc.lock", {tmp_path / "other": b""})
    check_inputs([code, tmp_path / "missing"], [lock])
    check_inputs([code], [])


def test_rotten_input_is_named_where_dvc_takes_it_for_unchanged(reproduced: Project) -> None:
    labels = reproduced.folder / "data/processed/test_labels.npy"
    assert "up to date" in reproduced.run("dvc", "status")  # so that DVC remembers the file
    # As a disk damages it: the size and the time stay.
    before = labels.stat()
    content = bytearray(labels.read_bytes())
    content[-4] ^= 1
    labels.write_bytes(content)
    os.utime(labels, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "up to date" in reproduced.run("dvc", "status")
    reproduced.edit_params(lambda params: params["evaluate"].update(certainty=0.8))
    lock = (reproduced.folder / "dvc.lock").read_bytes()
    output = reproduced.run("dvc", "repro", status=255)
    assert "evaluate: data/processed/test_labels.npy: not the file that its stage wrote" in output
    assert "Traceback" not in output
    assert (reproduced.folder / "dvc.lock").read_bytes() == lock
    # What the message says mends it.
    labels.unlink()
    assert "evaluate" in reproduced.repro()
    content[-4] ^= 1
    assert labels.read_bytes() == content


def test_by_hand_a_stage_takes_what_it_is_given(reproduced: Project) -> None:
    (reproduced.folder / "reports/by_class.csv").write_text(
        "class,precision,recall,f1,support\n0,1,1,1,200\n"
    )
    reproduced.stage("plot")


def test_folder_stands_for_all_that_stages_wrote_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    files = {Path("runs/a"): b"a", Path("runs/b"): b"b", Path("runs.csv"): b"c"}
    lock = write_lock(Path("dvc.lock"), files)
    for path, content in files.items():
        path.write_bytes(content)
    Path("runs/other").write_bytes(b"of no stage")
    Path("runs.csv").write_bytes(b"not in it")
    check_inputs([Path("runs")], [lock])
    Path("runs/b").write_bytes(b"c")
    with pytest.raises(PipelineError, match="runs/b: not the file that its stage wrote"):
        check_inputs([Path("runs")], [lock])


def test_lock_of_a_folder_that_nothing_is_read_from_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("studies").mkdir()
    lock = Path("studies/dvc.lock")
    lock.write_text("<<<<<<< HEAD\n")
    check_inputs([Path("data/model"), Path("studies.py")], [lock])
    for path in ("studies/runs", "studies"):
        with pytest.raises(PipelineError, match=r"studies/dvc\.lock: not a lock file"):
            check_inputs([Path(path)], [lock])
