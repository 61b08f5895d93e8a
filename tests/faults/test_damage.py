"""Outputs, cache objects and the lock file, damaged as disks, editors and accidents damage them."""

import os
import re
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from conftest import NAMES, PATIENCE, ROOT, Project
from contract import House
from scripts import without_privileges
from states import FULL, assert_undisturbed, lock, make_repro, outputs, record

from pipeline.history.lineage import read_lock
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.inputs import check_inputs
from pipeline.runtime.lock import md5
from pipeline.tools.doctor.dvc_files import run_cache


def rewrite(path: Path, content: bytes | bytearray) -> None:
    """Give a file other content and leave its mode, by which DVC goes, as it is."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def truncate(path: Path) -> None:
    rewrite(path, path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    rewrite(path, content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "flipped": flip,
    "emptied": lambda path: rewrite(path, b""),
    "deleted": Path.unlink,
    "unreadable": lambda path: path.chmod(0),
}
FOLDERS = {
    "data/raw": list(NAMES.values()),
    "data/processed": [
        f"{part}_{kind}.npy"
        for part in ("train", "validation", "test")
        for kind in ("images", "labels")
    ],
}
OUTPUTS = [
    path
    for stage in House(ROOT).stages
    if stage.folder == Path()
    for out in stage.paths("outs")
    for path in ([f"{out}/{name}" for name in FOLDERS[out]] if out in FOLDERS else [out])
]
CACHED = [*FOLDERS, *(path for path in OUTPUTS if path.startswith("data/"))]


def repro(project: Project) -> tuple[int, str]:
    """Run ``dvc repro`` as a user without privileges; return exit code and output."""
    process = project.start(*without_privileges(), "dvc", "repro")
    output, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, output


def check_recovery(
    project: Project, reference: Project, named: str, status: int, output: str
) -> str:
    """Expect that a run has made everything anew, or names the file; return which."""
    assert "Traceback" not in output, output
    if status == 0:
        assert_undisturbed(project, reference)
        return "made anew"
    assert named in output or str(Path(named).parent) in output, output
    assert lock(project) == lock(reference)
    return "told"


@pytest.mark.slow
def test_outputs_are_all_that_stages_write(original: tuple[Project, list[str]]) -> None:
    project, _ = original
    assert set(OUTPUTS) == set(outputs(project))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "damage"),
    [*product(OUTPUTS, DAMAGES)]
    if FULL
    else [("reports/figures/errors.png", "truncated"), ("data/model/model.keras", "unreadable")],
)
def test_damaged_output_is_made_anew_or_named(
    original: tuple[Project, list[str]], reproduced: Project, path: str, damage: str
) -> None:
    DAMAGES[damage](reproduced.folder / path)
    found = check_recovery(reproduced, original[0], path, *repro(reproduced))
    record("output", path=path, damage=damage, found=found)


@pytest.mark.slow
def test_outputs_damaged_in_all_ways_at_once_are_made_anew(
    original: tuple[Project, list[str]], reproduced: Project
) -> None:
    damages = {name: damage for name, damage in DAMAGES.items() if name != "unreadable"}
    for number, path in enumerate(OUTPUTS):
        list(damages.values())[number % len(damages)](reproduced.folder / path)
    assert check_recovery(reproduced, original[0], "", *repro(reproduced)) == "made anew"


def cache_object(project: Project, path: str) -> Path:
    """Return the cache's object of a file, or of a folder, which is a listing."""
    outs = {
        out: name
        for stage in read_lock(project.folder).values()
        for out, name in stage.outs.items()
    }
    name = outs[path] if path in outs else md5(project.folder / path)
    return project.folder / ".dvc/cache/files/md5" / name[:2] / name[2:]


def delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES if FULL else ["flipped", "deleted"])
@pytest.mark.parametrize("path", CACHED if FULL else ["data/processed/test_labels.npy"])
def test_damaged_object_of_the_cache_gets_into_no_result(
    original: tuple[Project, list[str]],
    reproduced: Project,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    damage: str,
) -> None:
    damaged, file = cache_object(reproduced, path), reproduced.folder / path
    output_of_stage = next((one for one in FOLDERS if path.startswith(one)), path)
    DAMAGES[damage](damaged)
    delete(file)
    status, output = repro(reproduced)
    assert "Traceback" not in output, output
    monkeypatch.chdir(reproduced.folder)
    if status:
        assert output_of_stage in output or damaged.name in output, output
        found = "told"
    elif outputs(reproduced) == outputs(original[0]):
        found = "made anew"
    else:
        # DVC trusts objects that are write-protected. What it took out of its cache is not what
        # the lock says, and whichever stage is to read it refuses to.
        with pytest.raises(PipelineError, match=re.escape(output_of_stage)):
            check_inputs([Path(output_of_stage)])
        found = "refused by whoever reads it"
    if found != "made anew":
        # What `make doctor` says then.
        damaged.unlink(missing_ok=True)
        delete(file)
        reproduced.run("dvc", "repro")
    assert_undisturbed(reproduced, original[0])
    record("cache object", path=path, damage=damage, found=found)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES if FULL else ["truncated"])
@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize("number", range(2) if FULL else [1])
def test_damaged_memory_of_a_run_does_no_harm_or_is_named_by_the_doctor(
    original: tuple[Project, list[str]], reproduced: Project, number: int, damage: str
) -> None:
    path = sorted((reproduced.folder / ".dvc/cache/runs").glob("*/*/*"))[number]
    DAMAGES[damage](path)
    os.utime(path.parent, (0, 0))
    (reproduced.folder / "dvc.lock").unlink()
    status, output = repro(reproduced)
    assert "Traceback" not in output, output
    if status:
        if path.name not in output:
            found = run_cache(reproduced.folder)
            assert str(path.parent.relative_to(reproduced.folder)) in found.advice
        shutil.rmtree(path.parent)
        reproduced.run("dvc", "repro")
    assert_undisturbed(reproduced, original[0])
    told = "told" if path.name in output else "named by the doctor"
    record("run cache", damage=damage, found=told if status else "made anew")


def check_lock_comes_back(project: Project, reference: Project, refusal: str) -> None:
    """Expect that `make repro` takes the lock file from Git, so that no stage has to run."""
    said, refused = make_repro(project, refusal)
    assert refused == "dvc.lock"
    assert "Running stage" not in said
    assert_undisturbed(project, reference)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"outs:", "'./dvc.lock' validation failed"),
        (b"hash: m", "failed to reproduce 'evaluate': \n"),
    ],
)
def test_lock_file_that_was_cut_off_is_brought_back_by_make(
    original: tuple[Project, list[str]], reproduced: Project, line: bytes, message: str
) -> None:
    content = lock(original[0])
    end = content.index(line, content.index(b"\n  evaluate:")) + len(line)
    (reproduced.folder / "dvc.lock").write_bytes(content[:end])
    status, output = repro(reproduced)
    assert status == 255
    assert message in output
    check_lock_comes_back(reproduced, original[0], output)


@pytest.mark.slow
@pytest.mark.parametrize("share", [step / 40 for step in range(40)] if FULL else [0.6])
def test_lock_file_cut_off_anywhere_is_made_anew_or_brought_back(
    original: tuple[Project, list[str]], reproduced: Project, share: float
) -> None:
    content = lock(original[0])
    (reproduced.folder / "dvc.lock").write_bytes(content[: int(len(content) * share)])
    status, output = repro(reproduced)
    assert "Traceback" not in output
    if status:
        check_lock_comes_back(reproduced, original[0], output)
    assert_undisturbed(reproduced, original[0])
    record("lock file", share=share, found="told" if status else "made anew")
