"""The rules of the house that a machine can check: pages, links, make, the front door."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from pipeline import __main__ as front_door

# CHANGELOG.md tells of what there was before.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
PAGES += ROOT.glob("benchmarks/*.md")
MAKEFILE = (ROOT / "Makefile").read_text()
STAGES = {name: front_door.stages(folder) for name, folder in front_door.STAGES.items()}
COMMANDS = [
    *([tool] for tool in front_door.tools()),
    *([group, stage] for group, stages in STAGES.items() for stage in stages),
]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_every_page_of_the_docs_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in ROOT.glob("docs/*.md"):
        # The table of licences is generated; what generates it links it.
        assert f"(docs/{page.name})" in readme or page.name == "licences.md", page


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(page: Path) -> list[str]:
    """Return the blocks and pieces of code in a page."""
    text = page.read_text()
    blocks = re.findall(r"^```.*?^```", text, re.DOTALL | re.MULTILINE)
    return [*blocks, *re.findall(r"`([^`\n]+)`", re.sub(r"(?sm)^```.*?^```", "", text))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_names_nothing_that_is_not_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", page.read_text())
    for link in map("".join, links):
        if ":" not in link:
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            assert target.exists(), f"a link to {link}"
            assert not anchor or anchor in anchors(target), f"a link to {link}"
    for piece in code(page):
        for target in re.findall(r"(?:^|\s)make ([a-z][a-z-]*)", piece):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), f"make {target}"
        for name, stage in re.findall(r"-m pipeline ([a-z_]+)(?: ([a-z_]+))?", piece):
            assert [name] in COMMANDS or name in STAGES, f"python -m pipeline {name}"
            assert name not in STAGES or stage in {"", *STAGES[name]}, f"{name} {stage}"
        if re.fullmatch(r"(pipeline|tests|benchmarks|docs|studies|\.github|\.ci)/[\w./-]+", piece):
            assert os.path.lexists(ROOT / piece) or piece.startswith("studies/answers"), piece


def test_make_lists_its_targets() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have listed the targets")
    output = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    listed = [line.split()[1] for line in output.splitlines()]
    assert set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE)) == set(listed)
    phony = re.search(r"^\.PHONY: (.+)", MAKEFILE, re.MULTILINE)
    assert phony
    assert set(phony[1].split()) == set(listed)


def test_second_set_up_installs_nothing() -> None:
    if shutil.which("make") is None or not (ROOT / ".venv/.installed").exists():
        pytest.skip("not set up by make; it would have shown that nothing is installed again")
    result = subprocess.run(
        ["make", "--question", ".venv/.installed"], cwd=ROOT, capture_output=True, check=False
    )
    assert result.returncode == 0


def pipeline(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_front_door_lists_every_tool_with_a_line() -> None:
    listed = pipeline()
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout == pipeline("--help").stdout
    for name in front_door.tools():
        assert re.search(rf"^  {name} +\S.{{10,100}}$", listed.stdout, re.MULTILINE), name
    for group, stages in STAGES.items():
        assert f"  {group} NAME " in listed.stdout
        of_group = pipeline(group).stdout
        for name in stages:
            assert re.search(rf"^  {name} +\S.{{10,100}}$", of_group, re.MULTILINE), name


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["comprae"], "compare"),
        (["stages"], "stage"),
        (["trian"], "stage train"),
        (["serch"], "study search"),
        (["stage", "trian"], "stage train"),
        (["study", "asess"], "study assess"),
    ],
)
def test_mistyped_command_suggests_the_nearest(words: list[str], meant: str) -> None:
    result = pipeline(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert f"no command {words[-1]!r}. Did you mean `{meant}`?" in result.stderr
    assert result.stderr.count("\n") == 1


def test_folder_called_as_a_program_says_how_to_call_it() -> None:
    command = [sys.executable, "pipeline", "stale"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "pipeline: run it in the project's folder, as `python -m pipeline`\n"


@pytest.mark.parametrize("words", [["--help"], ["stage"], ["nothing"]])
def test_front_door_imports_nothing_but_the_standard_library(words: list[str]) -> None:
    def imported(*command: str) -> set[str]:
        result = subprocess.run(
            [sys.executable, "-X", "importtime", *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        names = re.findall(r"^import time:.*\| +(\S+)$", result.stderr, re.MULTILINE)
        return {name.partition(".")[0] for name in names}

    at_start = imported("-c", "")
    assert len(at_start) > 20
    names = imported("-m", "pipeline", *words) - at_start
    assert {name for name in names if name not in sys.stdlib_module_names} <= {
        "package",
        "pipeline",
    }


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("nonsense", 2)])
def test_command_line_of_a_stage_is_read_before_keras_is_imported(
    argument: str, status: int
) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", "stage", "train", argument],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == status
    assert "| pipeline.runtime.command" in result.stderr.replace("|   ", "| ")
    assert "keras" not in result.stderr


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command_is_enough_to_use_it(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process, since a dozen of them would import Keras.
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["pipeline", *command, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("pipeline", run_name="__main__", alter_sys=True)
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert printed.startswith(f"usage: python -m pipeline {' '.join(command)} ")
    assert re.search("exit codes:", printed, re.IGNORECASE)
    if command[0] in STAGES and command != ["study", "search"]:
        assert "reads: " in printed or command[-1] == "download"
        assert "writes: " in printed
