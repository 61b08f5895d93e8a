import shutil
import time
from pathlib import Path

import pytest
from conftest import MirrorServer, Project

from pipeline.data.mirrors import fetch
from pipeline.tools.doctor.reachability import mirrors
from pipeline.runtime.params import read_section

pytestmark = pytest.mark.usefixtures("own_home")
NOWHERE = "http://127.0.0.1:9"


def use(project: Project, *places: str) -> None:
    project.edit_params(lambda params: params["download"].update(mirrors=list(places)))


def test_mirror_that_answers_is_good_and_nothing_is_fetched(
    project: Project, server: MirrorServer, own_home: Path
) -> None:
    use(project, NOWHERE, server.address())
    found = mirrors(project.folder)
    assert found == ("good", f"1 of 2 can be reached, {server.address()} first", "")
    assert not (own_home / ".cache").exists()


def test_each_mirror_says_why_it_is_of_no_use(project: Project, server: MirrorServer) -> None:
    use(project, NOWHERE, server.address("missing"), server.address("hang"), "ftp://a", "/nowhere")
    before = time.monotonic()
    found = mirrors(project.folder, 0.5)
    assert time.monotonic() - before < 5
    assert found.verdict == "problem"
    assert found.found.startswith("0 of 5 can be reached; not ")
    for reason in (
        f"{NOWHERE}: no connection",
        f"{server.address('missing')}: 404 Not Found",
        f"{server.address('hang')}: no answer for 0.5 s",
        "ftp://a: neither a directory nor a file://, http:// or https:// address",
        "/nowhere: no t10k-images-idx3-ubyte.gz there",
    ):
        assert reason in found.found
    assert "MNIST_MIRROR" in found.advice


def test_files_that_were_fetched_before_need_no_mirror(
    project: Project, data_set: Path, own_home: Path
) -> None:
    use(project, NOWHERE)
    files = read_section("download", project.folder / "params.yaml")["files"].values()
    for file in files:
        fetch(file["name"], file["sha256"], [str(data_set)], 1)
    found = mirrors(project.folder)
    assert found.verdict == "note"
    assert "the files are in this user's cache already, verified" in found.found
    next(own_home.rglob("*.gz")).write_bytes(b"damaged")
    assert mirrors(project.folder).verdict == "problem"


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_folder_of_the_environment_is_asked_first(
    project: Project, data_set: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    use(project)
    monkeypatch.setenv("MNIST_MIRROR", form.format(data_set))
    assert mirrors(project.folder).found == f"1 of 1 can be reached, {form.format(data_set)} first"


def test_folder_of_the_environment_that_lacks_a_file_is_told_of(
    project: Project, data_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(data_set, partial)
    (partial / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("MNIST_MIRROR", str(partial))
    found = mirrors(project.folder)
    assert found.verdict == "note"
    assert f"not {partial}: no t10k-labels-idx1-ubyte.gz there" in found.found
    assert found.advice == "Set MNIST_MIRROR right, or unset it"


@pytest.mark.parametrize("content", ["download: [", "download: {}", "download: {files: 1}", "a: 1"])
def test_parameters_without_mirrors_are_a_problem(project: Project, content: str) -> None:
    (project.folder / "params.yaml").write_text(content)
    found = mirrors(project.folder)
    assert found.verdict == "problem"
    assert "params.yaml" in found.found
    assert "git diff params.yaml" in found.advice
