"""The rules of the house that a machine can check."""

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement

LOCKS = sorted(ROOT.glob("requirements*.lock"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]


def committed_files() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


def locked(path: Path) -> dict[str, str]:
    pins = re.findall(r"^([a-z0-9-]+)==(\S+)", path.read_text(), re.MULTILINE)
    assert pins
    return dict(pins)


def test_every_locked_package_has_hashes_and_no_address() -> None:
    assert {path.name for path in LOCKS} == {
        "requirements.lock",
        "requirements-gpu.lock",
        "requirements-tools.lock",
    }
    for path in LOCKS:
        text = path.read_text()
        assert "://" not in text
        entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
        assert len(entries) == len(locked(path))
        assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (
            "requirements.lock",
            [*PROJECT["dependencies"], *EXTRAS["jax"], *EXTRAS["s3"], *GROUPS["dev"]],
        ),
        ("requirements-gpu.lock", [*PROJECT["dependencies"], *EXTRAS["gpu"], *EXTRAS["s3"]]),
        ("requirements-tools.lock", GROUPS["tools"]),
    ],
)
def test_lock_holds_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pins = locked(ROOT / lock)
    for requirement in map(Requirement, wanted):
        name = requirement.name.replace(".", "-")
        assert requirement.specifier.contains(pins[name]), requirement


def test_tools_need_no_other_packages_than_the_project_and_none_to_train() -> None:
    assert set(GROUPS["tools"]) <= set(PROJECT["dependencies"])
    assert not {"tensorflow", "keras", "jax"} & locked(ROOT / "requirements-tools.lock").keys()


def test_locks_agree_on_common_packages() -> None:
    whole = locked(ROOT / "requirements.lock")
    for lock in ("requirements-gpu.lock", "requirements-tools.lock"):
        pins = locked(ROOT / lock)
        assert {name: pins[name] for name in pins.keys() & whole} == {
            name: whole[name] for name in pins.keys() & whole
        }


def test_what_is_installed_is_what_is_locked() -> None:
    pins = locked(ROOT / "requirements.lock")
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert version(requirement.name) == pins[requirement.name.replace(".", "-")]


def test_text_files_have_lines_of_unix() -> None:
    for path in committed_files():
        if path.suffix != ".png":
            assert b"\r" not in path.read_bytes(), path


def test_readme_names_nothing_that_is_not_there() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text()
        for target in re.findall(r"\]\(([^)#:]+)\)|src=\"([^\"]+)\"", text):
            assert (ROOT / "".join(target)).exists(), f"{name} links to {target}"
        commands = re.findall(r"^make (\w+)|`make (\w+)`", text, re.MULTILINE)
        assert commands
        for target in map("".join, commands):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_make_lists_its_targets() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have listed the targets")
    output = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in (
        "repro",
        "demo",
        "study",
        "compare",
        "verify",
        "test",
        "check",
        "bench",
        "plots",
        "lock",
    ):
        assert f"make {target} " in output


def test_second_set_up_installs_nothing() -> None:
    if shutil.which("make") is None or not (ROOT / ".venv/.installed").exists():
        pytest.skip("not set up by make; it would have shown that nothing is installed again")
    result = subprocess.run(
        ["make", "--question", ".venv/.installed"], cwd=ROOT, capture_output=True, check=False
    )
    assert result.returncode == 0
