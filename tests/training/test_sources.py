import ast
import hashlib

import pytest
from conftest import ROOT, Project

from pipeline.training.sources import loaded_code

EDIT = """
import sys
from pathlib import Path
from pipeline.training import sources
import pipeline.runtime.errors
path = Path(sys.argv[1])
path.write_bytes(path.read_bytes() + b"# saved anew")
print(sorted(sources.loaded_code()))
"""


def test_code_is_known_by_the_bytes_of_its_files() -> None:
    found = loaded_code()
    content = (ROOT / "pipeline/training/sources.py").read_bytes()
    assert found["pipeline.training.sources"] == hashlib.sha256(content).hexdigest()
    assert {"pipeline", "pipeline.training", "pipeline.runtime.errors"} <= set(found)


@pytest.mark.parametrize("name", ["runtime/errors", "training/__init__"])
def test_file_that_was_saved_after_it_was_loaded_is_named(project: Project, name: str) -> None:
    output = project.run("python", "-c", EDIT, f"pipeline/{name}.py", status=1)
    module = f"pipeline.{name.replace('/', '.')}".removesuffix(".__init__")
    assert f"PipelineError: {module} changed while the stage was starting" in output


def test_file_that_was_saved_but_never_loaded_does_not_matter(project: Project) -> None:
    output = project.run("python", "-c", EDIT, "pipeline/model/network.py")
    assert "'pipeline.runtime.errors'" in output


def test_training_watches_the_code_before_it_loads_what_takes_long() -> None:
    imports = [
        node
        for node in ast.parse((ROOT / "pipeline/stages/train.py").read_text()).body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pipeline")
    ]
    assert [name.name for name in imports[0].names] == ["sources"]
