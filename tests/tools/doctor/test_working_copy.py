from pathlib import Path

import pytest
from conftest import LOCK, Project

from pipeline.tools.doctor.working_copy import changes, history, line_endings, lock_file, repository

pytestmark = pytest.mark.usefixtures("own_home")


@pytest.fixture
def committed(project: Project) -> Project:
    """The project with a lock, all committed."""
    (project.folder / "dvc.lock").write_text(LOCK)
    project.commit("First")
    return project


def shell(project: Project, advice: str) -> None:
    """Do as an advice says, up to the next comma."""
    project.run("sh", "-c", advice.partition("`")[2].partition("`")[0])


def test_clean_repository_is_good_in_every_way(committed: Project) -> None:
    folder = committed.folder
    for check in (repository, history, line_endings, changes, lock_file):
        found = check(folder)
        assert found is not None
        assert found.verdict == "good", found
    assert repository(folder).found.endswith(str(folder))
    assert lock_file(folder).found == "1 stage recorded"


def test_folder_outside_of_git_is_a_problem_and_the_rest_does_not_apply(tmp_path: Path) -> None:
    found = repository(tmp_path)
    assert found.verdict == "problem"
    assert "not a git repository" in found.found
    assert "git init" in found.advice
    assert [check(tmp_path) for check in (history, line_endings, changes)] == [None] * 3
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert lock_file(tmp_path).verdict == "good"


def test_repository_of_another_owner_asks_for_trust(
    committed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    found = repository(committed.folder)
    assert found.verdict == "problem"
    assert "safe.directory" in found.advice
    shell(committed, found.advice)


def test_machine_without_git_is_a_problem(
    committed: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(committed.home))
    assert repository(committed.folder).verdict == "problem"
    assert history(committed.folder) is None
    assert lock_file(committed.folder).verdict == "good"


def test_shallow_clone_is_a_note_and_its_advice_makes_it_whole(committed: Project) -> None:
    committed.append("params.yaml", "\n")
    committed.commit("Second")
    clone = Project(committed.folder.parent / "clone", committed.home)
    committed.run(
        "git", "clone", "-q", "--depth=1", f"file://{committed.folder}", clone.folder.name
    )
    (committed.folder / "clone").rename(clone.folder)
    found = history(clone.folder)
    assert found is not None
    assert found.verdict == "note"
    assert "shallow, with 1 commit:" in found.found
    shell(clone, found.advice)
    assert history(clone.folder) == ("good", "2 commits", "")


def test_carriage_returns_are_a_problem_and_the_advice_keeps_edits(committed: Project) -> None:
    for name in ("params.yaml", "pipeline/network.py"):
        path = committed.folder / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"# edited\r\n")
    found = line_endings(committed.folder)
    assert found is not None
    assert found.verdict == "problem"
    assert "params.yaml and 1 more" in found.found
    shell(committed, found.advice)
    assert line_endings(committed.folder) == ("good", "as on Unix", "")
    assert path.read_bytes().endswith(b"\n# edited\n")
    assert b"\r" not in path.read_bytes()


def test_conversion_at_checkout_is_harmless_only_where_the_project_overrules_it(
    committed: Project,
) -> None:
    committed.run("git", "config", "core.autocrlf", "true")
    found = line_endings(committed.folder)
    assert found is not None
    assert found.verdict == "good"
    assert "which .gitattributes overrules" in found.found
    committed.run("git", "rm", "--quiet", ".gitattributes")
    found = line_endings(committed.folder)
    assert found is not None
    assert found.verdict == "note"
    shell(committed, found.advice)
    assert line_endings(committed.folder) == ("good", "as on Unix", "")


def test_changes_that_are_not_committed_are_a_note(committed: Project) -> None:
    committed.append("params.yaml", "\n")
    found = changes(committed.folder)
    assert found is not None
    assert found.verdict == "note"
    assert found.found == "1 file not as in the last commit"


@pytest.mark.parametrize("content", ["", "stages: [", LOCK[:-14], LOCK[:-9], LOCK[:-1]])
def test_damaged_lock_is_a_problem_and_git_brings_it_back(committed: Project, content: str) -> None:
    (committed.folder / "dvc.lock").write_text(content)
    found = lock_file(committed.folder)
    assert found.verdict == "problem"
    assert found.advice.startswith("`git checkout dvc.lock`, then `dvc repro`")
    shell(committed, found.advice)
    assert lock_file(committed.folder).verdict == "good"


def test_damaged_lock_that_was_never_committed_has_to_go(project: Project) -> None:
    (project.folder / "dvc.lock").write_text("stages: [")
    found = lock_file(project.folder)
    assert found.verdict == "problem"
    shell(project, found.advice)
    assert lock_file(project.folder) == (
        *("note", "there is none, so everything has to run", "`dvc repro`"),
    )


def test_lock_that_is_gone_is_a_note_and_git_brings_it_back(committed: Project) -> None:
    (committed.folder / "dvc.lock").unlink()
    found = lock_file(committed.folder)
    assert found.verdict == "note"
    shell(committed, found.advice)
    assert (committed.folder / "dvc.lock").read_text() == LOCK


def test_lock_of_the_studies_is_looked_at_in_the_same_way(committed: Project) -> None:
    path = committed.folder / "studies/dvc.lock"
    assert lock_file(committed.folder, "studies/dvc.lock") == (
        *("note", "there is none, so everything has to run", "`dvc repro studies/dvc.yaml`"),
    )
    path.parent.mkdir()
    path.write_text(LOCK)
    committed.commit("Study")
    assert lock_file(committed.folder, "studies/dvc.lock").verdict == "good"
    path.write_text(LOCK[:-1])
    found = lock_file(committed.folder, "studies/dvc.lock")
    assert found.verdict == "problem"
    assert found.found.startswith("studies/dvc.lock is cut off")
    assert found.advice.startswith(
        "`git checkout studies/dvc.lock`, then `dvc repro studies/dvc.yaml`"
    )
    shell(committed, found.advice)
    assert path.read_text() == LOCK


@pytest.mark.parametrize("rest", ["", "  b:\n    cmd: sh b.sh\n"])
def test_stages_that_only_the_last_commit_has_outputs_of_are_a_note(
    committed: Project, rest: str
) -> None:
    path = committed.folder / "dvc.lock"
    path.write_text(
        f"{LOCK}  b:\n    cmd: sh b.sh\n    outs:\n    - path: y\n      md5: bb\n      size: 1\n"
    )
    committed.commit("Second")
    assert lock_file(committed.folder) == ("good", "2 stages recorded", "")
    path.write_text(LOCK + rest)
    found = lock_file(committed.folder)
    assert found.verdict == "note"
    assert found.found == "it lacks outputs that are in the last commit's, of b"
    shell(committed, found.advice)
    assert lock_file(committed.folder).verdict == "good"
