"""Surroundings that few have: ``dvc repro`` gives the same lock in all of them."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Project, finish
from scripts import without_privileges
from states import FULL, assert_undisturbed, record

pytestmark = pytest.mark.slow
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
# A shell command that runs `dvc repro`, with what is set for it; HOME= is none at all.
SURROUNDINGS: dict[str, tuple[str, dict[str, str]]] = {
    "no HOME": ("unset HOME XDG_CACHE_HOME XDG_CONFIG_HOME; exec dvc repro", {}),
    "umask 077": ("umask 077; exec dvc repro", {}),
    "locale C": ("exec dvc repro", {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"}),
    "time zone +14": ("exec dvc repro", {"TZ": "Pacific/Kiritimati"}),
    "clock at 1970": ("exec dvc repro", {"FAKETIME": "@1970-01-02 00:00:00"}),
    "clock at 2040": ("exec dvc repro", {"FAKETIME": "@2040-02-01 00:00:00"}),
}
PLACES: dict[str, Callable[[Path], tuple[Path, Path]]] = {
    # Where the project lies, and the name by which it is entered.
    "spaces and letters": lambda folder: (folder / "Ziffern & 数字 d'été",) * 2,
    "symbolic link": lambda folder: (folder / "real", folder / "link"),
}


def without_results(source: Project, folder: Path) -> Project:
    """Return a copy of a project in which everything has to run again."""
    shutil.copytree(source.folder, folder, symlinks=True)
    for name in ("data", ".dvc/cache", ".dvc/tmp", "reports"):
        shutil.rmtree(folder / name)
    (folder / "dvc.lock").unlink()
    return Project(folder, source.home)


@pytest.mark.skipif(not FULL, reason="see the other, and test_settings_of_the_user_change_no_bit")
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_surroundings_change_no_bit(
    original: tuple[Project, list[str]], tmp_path: Path, data_set: Path, name: str
) -> None:
    command, environment = SURROUNDINGS[name]
    if "FAKETIME" in environment:
        if FAKETIME is None:
            pytest.skip("needs libfaketime (Debian: faketime); would have shown other clocks")
        # The clock that waiting is measured by goes on as ever.
        environment |= {"LD_PRELOAD": str(FAKETIME), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    project = without_results(original[0], tmp_path / "project")
    process = project.start("sh", "-c", command, MNIST_MIRROR=str(data_set), **environment)
    output = finish(process, 0)
    assert output.count("Running stage") == 6
    assert_undisturbed(project, original[0])
    record("surroundings", name=name)


@pytest.mark.parametrize("name", PLACES if FULL else ["spaces and letters"])
def test_place_changes_no_bit(
    original: tuple[Project, list[str]], tmp_path: Path, data_set: Path, name: str
) -> None:
    real, entered = PLACES[name](tmp_path)
    project = without_results(original[0], real)
    if entered != real:
        entered.symlink_to(real, target_is_directory=True)
    # The mirror's name is not an easy one either, and it cannot be written to.
    mirror = tmp_path / "mirror of é"
    shutil.copytree(data_set, mirror)
    for path in (*mirror.iterdir(), mirror):
        path.chmod(path.stat().st_mode & ~0o222)
    command = [*without_privileges(), "dvc", "repro"]
    # A shell tells programs by which name it entered the folder.
    output = Project(entered, project.home).run(
        *command, PWD=str(entered), MNIST_MIRROR=str(mirror), LC_ALL="C"
    )
    assert output.count("Running stage") == 6
    assert_undisturbed(project, original[0])
    record("surroundings", name=name)


def test_read_only_data_are_enough_where_nothing_writes_them(
    original: tuple[Project, list[str]], reproduced: Project
) -> None:
    for path in [*(reproduced.folder / "data").rglob("*"), reproduced.folder / "data"]:
        path.chmod(path.stat().st_mode & ~0o222)
    command = [*without_privileges(), "dvc", "repro"]
    try:
        assert "Running stage" not in reproduced.run(*command)
        assert_undisturbed(reproduced, original[0])
        # What has to write there says that it cannot.
        reproduced.edit_params(lambda params: params["evaluate"].update(certainty=0.8))
        output = reproduced.run(*command, status=255)
        assert "Permission denied" in output
        assert "data/model" in output
        assert "Traceback" not in output
    finally:
        subprocess.run(["chmod", "-R", "u+w", reproduced.folder / "data"], check=True)
    record("surroundings", name="read-only data")
