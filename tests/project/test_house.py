"""The rules of the house that a machine can check."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT


def committed_files() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


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
        "doctor",
        "licences",
        "audit",
    ):
        assert f"make {target} " in output


def test_second_set_up_installs_nothing() -> None:
    if shutil.which("make") is None or not (ROOT / ".venv/.installed").exists():
        pytest.skip("not set up by make; it would have shown that nothing is installed again")
    result = subprocess.run(
        ["make", "--question", ".venv/.installed"], cwd=ROOT, capture_output=True, check=False
    )
    assert result.returncode == 0
