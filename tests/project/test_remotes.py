"""Results shared through a remote: an S3 server and a folder, with DVC's own commands."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Project, use_remote
from s3_server import CREDENTIALS, Bucket

from pipeline.evaluation.calibration import confidences
from pipeline.export.network import answers
from pipeline.export.onnx_file import network_in
from pipeline.history.lineage import read_lock
from pipeline.reading import Reader
from pipeline.runtime.lock import md5

# Four raw files, six arrays, a list for the folder of each; two models, operating points, page.
CACHED = 16


@pytest.fixture
def shared(reproduced: Project, bucket: Bucket) -> Project:
    """The reproduced project with a remote on an S3 server, to which nothing was pushed."""
    use_remote(reproduced, bucket)
    reproduced.commit("Remote")
    return reproduced


def clone(project: Project, name: str = "clone") -> Project:
    """Return a clone on another machine: without data, cache, and what DVC keeps in a home."""
    folder = project.folder.parent / name
    home = project.folder.parent / f"home of {name}"
    home.mkdir()
    project.run("git", "clone", "--quiet", f"file://{project.folder}", str(folder))
    return Project(folder, home)


def test_clone_has_nothing_to_do_after_a_whole_push_to_s3_and_no_sooner(
    shared: Project, bucket: Bucket
) -> None:
    bucket.server.accepted = 5
    try:
        message = shared.run("dvc", "push", "--run-cache", status=1, **CREDENTIALS)
    finally:
        bucket.server.accepted = None
    assert "failed" in message
    assert 0 < len(bucket.objects()) <= 5
    other = clone(shared)
    assert "Checkout failed" in other.run("dvc", "pull", status=1, **CREDENTIALS)
    assert "not in cache" in other.run("dvc", "status")
    # The next push brings what is missing, and nothing else.
    shared.run("dvc", "push", "--run-cache", **CREDENTIALS)
    assert len([key for key in bucket.objects() if "/runs/" not in key]) == CACHED
    # Credentials are in no repository, and nothing can be had without them.
    config = (shared.folder / ".dvc/config").read_text()
    assert not re.search("key|secret", config)
    assert not (shared.folder / ".dvc/config.local").exists()
    message = other.run("dvc", "pull", status=1, AWS_EC2_METADATA_DISABLED="true")
    assert "Unable to locate credentials" in message
    other.run("dvc", "pull", **CREDENTIALS)
    assert other.repro() == []
    assert "up to date" in other.run("dvc", "status")
    model = "data/model/model.keras"
    assert (other.folder / model).read_bytes() == (shared.folder / model).read_bytes()
    assert other.run("git", "status", "--porcelain") == ""


def flip(body: bytes) -> bytes:
    return body[:200] + bytes([body[200] ^ 1]) + body[201:]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda body: body[: len(body) // 2], id="cut", marks=pytest.mark.slow),
        pytest.param(flip, id="corrupted"),
        pytest.param(lambda _: b"", id="emptied", marks=pytest.mark.slow),
    ],
)
def test_damaged_object_in_a_folder_is_refused_and_repro_recovers(
    reproduced: Project, change: Callable[[bytes], bytes]
) -> None:
    """With the commands of docs/sharing.md; an object on S3 is refused in the tests of CI."""
    folder = reproduced.folder.parent / "shared folder"
    reproduced.run("dvc", "remote", "add", "--default", "storage", str(folder))
    reproduced.run("dvc", "remote", "modify", "storage", "verify", "true")
    reproduced.commit("Remote")
    reproduced.run("dvc", "push")
    path = "data/processed/test_images.npy"
    name = md5(reproduced.folder / path)
    damaged = folder / "files/md5" / name[:2] / name[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(change(damaged.read_bytes()))
    other = clone(reproduced)
    message = other.run("dvc", "pull", status=1)
    assert "Checkout failed for following targets:\ndata/processed\n" in message
    assert not (other.folder / path).exists()
    assert other.repro() == ["preprocess"]
    assert (other.folder / path).read_bytes() == (reproduced.folder / path).read_bytes()
    assert "up to date" in other.run("dvc", "status")
    assert other.run("git", "status", "--porcelain") == ""
    # A push passes over what is there, and over a folder whose list is there, so the bad object
    # has to go first, and the list.
    other.run("dvc", "push")
    damaged.unlink(missing_ok=True)
    listing = read_lock(reproduced.folder)["preprocess"].outs["data/processed"]
    (folder / "files/md5" / listing[:2] / listing[2:]).unlink(missing_ok=True)
    other.run("dvc", "push")
    clone(reproduced, "third").run("dvc", "pull")


@pytest.mark.slow
def test_without_verification_damage_would_pass(shared: Project, bucket: Bucket) -> None:
    """Why the docs set ``verify``: if this fails one day, DVC has learnt it and they need not."""
    shared.run("dvc", "push", **CREDENTIALS)
    damaged = "data/processed/test_images.npy"
    bucket.change(bucket.key(md5(shared.folder / damaged)), flip)
    other = clone(shared)
    other.run("dvc", "remote", "modify", "--local", "storage", "verify", "false")
    other.run("dvc", "pull", **CREDENTIALS)
    assert "up to date" in other.run("dvc", "status")
    assert (other.folder / damaged).read_bytes() != (shared.folder / damaged).read_bytes()


def test_model_is_had_by_name_and_version_from_another_folder(
    original: tuple[Project, list[str]], branched: Project, bucket: Bucket, tmp_path: Path
) -> None:
    """The commands and the code of docs/sharing.md, from outside of any repository."""
    model = "data/model/model.keras"
    first = (original[0].folder / model).read_bytes()
    newer = (branched.folder / model).read_bytes()
    assert newer != first
    metrics = json.loads((branched.folder / "reports/metrics.json").read_text())
    coverage = metrics["rejection"]["0.1"]["coverage"]
    assert coverage > 0
    branched.run("git", "checkout", "--quiet", "main")
    use_remote(branched, bucket)
    branched.commit("Remote")
    branched.run("git", "checkout", "--quiet", "longer")
    branched.run("git", "merge", "--quiet", "--no-edit", "main")
    branched.run("dvc", "push", "--all-branches", **CREDENTIALS)
    for version, branch in (("v1.0.0", "main"), ("v1.1.0", "longer")):
        branched.run("gto", "register", "digits", branch, "--version", version)
    assert branched.run("git", "tag").split() == ["digits@v1.0.0", "digits@v1.1.0"]
    assert "v1.1.0" in branched.run("gto", "show")
    elsewhere = Project(tmp_path / "elsewhere", tmp_path / "another home")
    elsewhere.folder.mkdir()
    elsewhere.home.mkdir()
    get = ("dvc", "artifacts", "get", f"file://{branched.folder}", "digits")
    elsewhere.run(*get, "-o", "old", "--rev", "v1.0.0", **CREDENTIALS)
    elsewhere.run(*get, "-o", "digits", **CREDENTIALS)
    assert (elsewhere.folder / "digits/model.keras").read_bytes() == newer
    assert (elsewhere.folder / "old/model.keras").read_bytes() == first
    images = np.load(branched.folder / "data/processed/test_images.npy")
    content = (elsewhere.folder / "digits/model.onnx").read_bytes()
    probabilities, _ = answers(network_in(content), images)
    points = json.loads((elsewhere.folder / "digits/operating_points.json").read_text())
    decided = confidences(probabilities.astype(np.float64)) >= points["thresholds"]["0.1"]
    assert decided.mean() == pytest.approx(coverage, abs=0.01)  # ONNX rounds otherwise
    reader = Reader(elsewhere.folder / "digits")
    assert reader.name == "original-0"
    assert reader.read(images[0].reshape(28, 28), one=True).digits
