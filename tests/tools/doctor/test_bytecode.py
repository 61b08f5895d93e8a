import marshal
import py_compile
from importlib.util import MAGIC_NUMBER
from pathlib import Path

import pytest

from pipeline.tools.doctor.bytecode import broken_bytecode, bytecode


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    """A project's only module, as bytecode."""
    source = tmp_path / "pipeline/room/module.py"
    source.parent.mkdir(parents=True)
    source.write_text("def function():\n    return 'text', 1.5, (1, 2)\n")
    return Path(str(py_compile.compile(str(source))))


def test_every_cut_that_python_would_end_of_is_found(tmp_path: Path, compiled: Path) -> None:
    whole = compiled.read_bytes()
    assert bytecode(tmp_path).verdict == "good"
    for length in range(len(whole)):
        compiled.write_bytes(whole[:length])
        # Of less than a header Python takes nothing.
        assert broken_bytecode(tmp_path) == ([compiled] if length >= 16 else [])
    found = bytecode(tmp_path)
    assert found.verdict == "problem"
    assert found.found.endswith(f": {compiled.relative_to(tmp_path).as_posix()}")


def test_bytecode_of_another_python_is_left_alone(tmp_path: Path, compiled: Path) -> None:
    assert not MAGIC_NUMBER.startswith(b"\0\0")
    compiled.write_bytes(b"\0\0\r\n" + bytes(12) + marshal.dumps(1)[:1])
    assert broken_bytecode(tmp_path) == []


def test_project_without_bytecode_is_good(tmp_path: Path) -> None:
    assert bytecode(tmp_path) == ("good", "whole, or none", "")
