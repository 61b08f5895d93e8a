import json
import shutil

import numpy as np
from conftest import ROOT, Project

from pipeline.tools.demo import digits


def test_digits_have_the_form_of_mnist() -> None:
    images, labels = digits()
    assert images.dtype == labels.dtype == np.uint8
    assert images.shape == (1797, 28, 28)
    assert labels.shape == (1797,)
    assert (images.min(), images.max()) == (0, 255)
    assert set(labels) == set(range(10))


def test_demo_runs_all_stages_without_network_and_touches_nothing_else(project: Project) -> None:
    # What a user has: the whole project, with results of its own.
    shutil.copyfile(ROOT / "README.md", project.folder / "README.md")
    project.commit("Project")
    # No address but the one that demo makes itself could be reached through this.
    output = project.run(
        "python", "-m", "pipeline.tools.demo", MNIST_MIRROR="/nowhere", http_proxy=""
    )
    assert output.count("Running stage") == 5
    assert project.run("git", "status", "--porcelain") == ""
    assert not (project.folder / "dvc.lock").exists()
    demo = project.folder / "demo"
    metrics = json.loads((demo / "reports/metrics.json").read_text())
    assert metrics["accuracy"] > 0.85
    assert f"{metrics['accuracy']:.1%} of 397 test digits classified correctly" in output
    pictures = [line.strip() for line in output.split("Pictures:")[1].splitlines() if line.strip()]
    assert sorted(pictures) == sorted(str(path) for path in (demo / "reports/figures").iterdir())
    # A second time, there is nothing to do.
    assert "Running stage" not in project.run("python", "-m", "pipeline.tools.demo")
