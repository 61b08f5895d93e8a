"""Opening the page to draw on, with the champion inside or a network of one's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, ROOT

from pipeline.reading.reader import CHAMPION


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Return a browser that notes what it is given, in the file ``opened`` beside it."""
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path / "opened"}\n')
    program.chmod(0o755)
    return program


def draw(browser: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "draw", *words],
        cwd=ROOT,
        env=os.environ | {"BROWSER": str(browser)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_page_of_the_champion_is_opened(browser: Path) -> None:
    done = draw(browser)
    page = CHAMPION / "draw.html"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{page}\n", "")
    assert (browser.parent / "opened").read_text() == f"{page.as_uri()}\n"


def test_page_of_another_network_is_written_beside_it(browser: Path, tmp_path: Path) -> None:
    model = tmp_path / "my model"
    model.mkdir()
    shutil.copy(CHAMPION / "model.onnx", model)
    done = draw(browser, "--model", str(model), "--no-open")
    page = model / "draw.html"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{page}\n", "")
    assert page.read_bytes() == (CHAMPION / "draw.html").read_bytes()
    assert not (browser.parent / "opened").exists()


def test_folder_without_a_network_is_a_message(browser: Path, tmp_path: Path) -> None:
    done = draw(browser, "--model", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"draw: no network in {tmp_path}")
    assert not (tmp_path / "draw.html").exists()
