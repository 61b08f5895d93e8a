import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import LOCK, ROOT, Project

from pipeline.tools.doctor.dvc_files import lock_damage, lock_file, run_cache, rwlock
from pipeline.tools.doctor.dvc_project import opened

pytestmark = pytest.mark.usefixtures("own_home")
FOLDER = """\
  b:
    cmd: sh b.sh
    outs:
    - path: y
      hash: md5
      md5: 0cc175b9c0f1b6a831c399e269772661.dir
      size: 1
      nfiles: 1
"""


@pytest.fixture
def committed(project: Project) -> Project:
    """The project with a lock file in each of its parts, all committed."""
    for part in (project, project.studies):
        (part.folder / "dvc.lock").write_text(LOCK + FOLDER)
    project.commit("First")
    return project


def test_lock_file_is_good_and_one_that_is_missing_a_note(committed: Project) -> None:
    for folder in (committed.folder, committed.studies.folder):
        assert lock_file(folder) == ("good", "2 stages recorded", "")
    (committed.folder / "dvc.lock").unlink()
    assert lock_file(committed.folder).verdict == "note"


def test_every_cut_that_dvc_refuses_is_found() -> None:
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.serialize import YAMLFileCorruptedError, parse_yaml
    from voluptuous import Invalid

    # A stage with files, a folder and parameters.
    text = (ROOT / "dvc.lock").read_bytes()
    ends = [found.start() + 1 for found in re.finditer(rb"\n  \w+:\n", text)]
    content = text[: ends[1]]
    assert lock_damage(text) is lock_damage(content) is None
    refused = 0
    for end in range(len(content)):
        try:
            COMPILED_LOCKFILE_SCHEMA(parse_yaml(content[:end].decode(), "dvc.lock"))
        except (YAMLFileCorruptedError, Invalid):
            refused += 1
            assert lock_damage(content[:end]), content[:end]
    assert refused > 100


def test_damaged_lock_file_is_a_problem(committed: Project) -> None:
    for content in ("", "stages: [", LOCK[:-9], (LOCK + FOLDER).removesuffix("      nfiles: 1\n")):
        (committed.studies.folder / "dvc.lock").write_text(content)
        found = lock_file(committed.studies.folder)
        assert found.verdict == "problem"
        assert found.advice.startswith("`python -m pipeline doctor --fix`")


@pytest.mark.parametrize(
    "content", [LOCK, f"{LOCK}  b:\n    cmd: sh b.sh\n", "schema: '2.0'\nstages: {}\n"]
)
def test_outputs_that_only_the_last_commit_has_are_a_note(committed: Project, content: str) -> None:
    (committed.folder / "dvc.lock").write_text(content)
    found = lock_file(committed.folder)
    assert found.verdict == "note"
    lost = "b" if "  a:" in content else "a, b"
    assert found.found == f"it lacks outputs that are in the last commit's, of {lost}"
    committed.run(*found.advice.split("`")[1].split())
    assert lock_file(committed.folder).verdict == "good"


def test_list_of_processes_that_dvc_cannot_read_is_a_problem(project: Project) -> None:
    folder = project.studies.folder
    path = folder / ".dvc/tmp/rwlock"
    with opened(folder) as repo:
        assert repo.tmp_dir == str(path.parent)
    assert rwlock(folder).verdict == "good"
    for content, reason in (
        (b"", "Expecting value"),
        (b"\xff", "'utf-8'"),
        (b"[]", "expected a dictionary"),
        (b'{"write": {"/a": {"qid": 1, "cmd": "x"}}}', "extra keys not allowed"),
    ):
        path.write_bytes(content)
        found = rwlock(folder)
        assert found.verdict == "problem"
        assert f"at work: {reason}" in found.found


# Of the last two, DVC stops and names nothing.
DAMAGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda path: path.write_bytes(b""),
    "changed": lambda path: path.write_bytes(path.read_bytes().replace(b"path: ", b"path: x", 1)),
    "half written": lambda path: path.rename(path.with_name(".abc.tmp")),
    "'outs'": lambda path: path.write_bytes(path.read_bytes().partition(b"outs:")[0]),
    "not 'NoneType'": Path.unlink,
}


def test_damaged_memory_of_a_run_is_named(reproduced: Project) -> None:
    runs = reproduced.folder / ".dvc/cache/runs"
    shutil.copytree(runs, runs.with_name("whole"))
    for damage, do in DAMAGES.items():
        assert run_cache(reproduced.folder) == ("good", "6 runs", "")
        entries = sorted(runs.glob("*/*/*"))
        for path in entries:
            do(path)
            os.utime(path.parent, (0, 0))
        found = run_cache(reproduced.folder)
        assert found.verdict == "problem"
        command = found.advice.split("`")[1].split()
        assert command[2:] == [str(path.parent.relative_to(reproduced.folder)) for path in entries]
        if damage.endswith("'"):
            (reproduced.folder / "dvc.lock").unlink(missing_ok=True)
            assert damage in reproduced.run("dvc", "repro", "download", status=255)
        reproduced.run(*command)
        assert run_cache(reproduced.folder).verdict == "good"
        shutil.rmtree(runs)
        shutil.copytree(runs.with_name("whole"), runs)
