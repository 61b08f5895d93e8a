import json

import numpy as np
from conftest import Project, finish

from pipeline.tools.demo import digits


def test_digits_have_the_form_of_mnist() -> None:
    images, labels = digits()
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (1797, 28, 28)
    assert labels.shape == (1797,)
    assert (images.min(), images.max()) == (0, 255)
    assert set(labels) == set(range(10))


def test_demo_runs_all_stages_without_network_and_touches_nothing_else(project: Project) -> None:
    # A project that somebody has made his own: another data set, another network, a remote.
    project.edit_params(lambda params: params["preprocess"].update(classes=26))
    project.edit_params(lambda params: params["evaluate"].update(threads=9999))
    project.edit_params(lambda params: params["train"].update(hidden_units=[5], recipe="champion"))
    project.run("dvc", "remote", "add", "--default", "storage", str(project.home / "remote"))
    project.commit("Project")
    # Whatever asked for an address would be sent to a port that nobody listens on.
    nowhere = dict.fromkeys(("MNIST_MIRROR", "http_proxy", "https_proxy"), "http://127.0.0.1:9")
    output = finish(project.start("python", "-m", "pipeline.tools.demo", **nowhere), 0)
    assert output.count("Running stage") == 5
    assert project.run("git", "status", "--porcelain") == ""
    assert not (project.folder / "dvc.lock").exists()
    demo = project.folder / "demo"
    metrics = json.loads((demo / "reports/metrics.json").read_text())
    assert metrics["accuracy"] > 0.85
    assert f"{metrics['accuracy']:.1%} of 397 test digits classified correctly" in output
    page = demo / "reports/index.html"
    assert output.rstrip().endswith(f"In pictures: {page}")
    assert f"{100 * metrics['accuracy']:.2f}%" in page.read_text(encoding="utf-8")
    # A second time, there is nothing to do.
    assert "Running stage" not in project.run("python", "-m", "pipeline.tools.demo")
