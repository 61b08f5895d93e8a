import json

import numpy as np
import pytest
from conftest import Project

from pipeline.tools.demo import digits


def test_digits_have_the_form_of_mnist_and_the_classes_take_turns() -> None:
    images, labels = digits()
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (5000, 28, 28)
    assert (images.min(), images.max()) == (0, 255)
    assert labels.tolist() == list(range(10)) * 500


def test_each_digit_belongs_to_its_label() -> None:
    images, labels = digits()
    # A nearest mean classifies 8 of 10; chance would classify 1 of 10.
    means = np.stack([images[:4000][labels[:4000] == label].mean(axis=0) for label in range(10)])
    distances = np.square(images[4000:, None] - means).sum(axis=(2, 3))
    assert (distances.argmin(axis=1) == labels[4000:]).mean() > 0.75


@pytest.mark.slow  # CI runs `make demo` too
def test_demo_runs_all_stages_without_network_and_touches_nothing_else(project: Project) -> None:
    # A project that somebody has made his own: another data set, another network, a remote.
    project.edit_params(
        lambda params: params["preprocess"].update(classes=26, first_label=1, transposed=True)
    )
    project.edit_params(lambda params: params["evaluate"].update(threads=9999))
    project.edit_params(lambda params: params["train"].update(hidden_units=[5], recipe="champion"))
    project.edit_params(lambda params: params["recipes"].pop("champion"))
    # A stage and a section that were added.
    project.edit_params(lambda params: params.update(note={"text": "hello"}))
    stage = "  note: {cmd: python -V, params: [note]}\n"
    pipeline = (project.folder / "dvc.yaml").read_text().replace("stages:\n", f"stages:\n{stage}")
    (project.folder / "dvc.yaml").write_text(pipeline)
    project.run("dvc", "remote", "add", "--default", "storage", str(project.home / "remote"))
    project.commit("Project")
    # Whatever asked for an address would be sent to a port that nobody listens on.
    port = "http://127.0.0.1:9"
    command = ("python", "-m", "pipeline", "demo")
    output = project.run(*command, MNIST_MIRROR=port, http_proxy=port, https_proxy=port)
    assert output.count("Running stage") == 7
    assert "3500 training and 500 validation images of 28 x 28 pixels" in output
    assert project.run("git", "status", "--porcelain") == ""
    assert not (project.folder / "dvc.lock").exists()
    demo = project.folder / "demo"
    metrics = json.loads((demo / "reports/metrics.json").read_text())
    assert metrics["accuracy"] > 0.9
    assert f"{metrics['accuracy']:.1%} of 1000 test images classified correctly" in output
    page = demo / "reports/index.html"
    assert output.rstrip().endswith(f"Its page: {page}")
    assert f"{100 * metrics['accuracy']:.2f}%" in page.read_text(encoding="utf-8")

    # What tools leave beside the code runs nothing again.
    (project.folder / "pipeline/model/.network.py.swp").touch()
    output = project.run(*command)
    assert "Running stage" not in output
    assert f"Its page: {page}" in output

    # An edit of the pipeline reaches the demo, and an error of DVC is told.
    project.append("pipeline/stages/plot.py", "raise SystemExit('out of ink')\n")
    output = project.run(*command, status=2)
    assert output.count("Running stage") == 1
    assert "out of ink" in output
    assert output.rstrip().endswith(f"To start afresh, delete {demo}.")
