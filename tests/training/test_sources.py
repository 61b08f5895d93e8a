import ast
import hashlib
from pathlib import Path

import pytest
from conftest import ROOT, Project
from test_contract import source

from pipeline.training.sources import loaded_code

EDIT = """
import sys
from pathlib import Path
from pipeline import sources
import pipeline.reason
path = Path(sys.argv[1])
path.write_bytes(path.read_bytes() + b"# saved anew")
print(sorted(sources.loaded_code()))
"""


def test_code_is_known_by_the_bytes_of_its_files() -> None:
    found = loaded_code()
    content = (ROOT / "pipeline/sources.py").read_bytes()
    assert found["pipeline.sources"] == hashlib.sha256(content).hexdigest()
    assert {"pipeline", "pipeline.stage"} <= set(found)


@pytest.mark.parametrize("name", ["reason", "sources", "__init__"])
def test_file_that_was_saved_after_it_was_loaded_is_named(project: Project, name: str) -> None:
    output = project.run("python", "-c", EDIT, f"pipeline/{name}.py", status=1)
    module = f"pipeline.{name}".removesuffix(".__init__")
    assert f"PipelineError: {module} changed while the stage was starting" in output


def test_file_that_was_saved_but_never_loaded_does_not_matter(project: Project) -> None:
    assert "'pipeline.reason'" in project.run("python", "-c", EDIT, "pipeline/network.py")


def test_training_watches_the_code_before_it_loads_what_takes_long() -> None:
    imports = [
        node
        for node in source(Path("pipeline/stages/train.py")).body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("pipeline")
    ]
    assert [name.name for name in imports[0].names] == ["sources"]
