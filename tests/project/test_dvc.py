"""The pipeline as users run it: the real ``dvc``, on small data from a mirror on this machine."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import TERMINAL, Project, finish, use_small_data
from ruamel.yaml import YAML

HEADER = "epoch,loss,accuracy,val_loss,val_accuracy"
ALL = ["download", "preprocess", "train", "evaluate", "plot"]


def lock(project: Project) -> bytes:
    return (project.folder / "dvc.lock").read_bytes()


def set_value(section: str, key: str, value: object) -> Callable[[Any], None]:
    return lambda params: params[section].update({key: value})


def set_recipe(**values: object) -> Callable[[Any], None]:
    return lambda params: params["recipes"]["original"].update(values)


def test_first_run_runs_all_stages_and_the_second_none(
    original: tuple[Project, list[str]], reproduced: Project
) -> None:
    _, ran = original
    assert ran == ALL
    assert reproduced.repro() == []
    assert "up to date" in reproduced.run("dvc", "status")


def test_git_holds_reports_and_lock_but_no_data(reproduced: Project) -> None:
    files = set(reproduced.run("git", "ls-files").split())
    assert {
        "dvc.lock",
        "reports/metrics.json",
        "reports/predictions.csv",
        "reports/learning_curves.csv",
        "reports/environment.json",
        "reports/by_class.csv",
        "reports/reliability.csv",
        "reports/risk_coverage.csv",
        "reports/robustness.csv",
        "reports/robustness.json",
        "reports/index.html",
        "reports/figures/confusion_matrix.png",
        "reports/figures/errors.png",
        "reports/figures/learning_curves.png",
        "reports/figures/reliability.png",
        "reports/figures/risk_coverage.png",
    } <= files
    assert not any(name.startswith("data/") for name in files)


def test_metrics_and_predictions_tell_the_same(reproduced: Project) -> None:
    metrics = json.loads((reproduced.folder / "reports/metrics.json").read_text())
    rows = (reproduced.folder / "reports/predictions.csv").read_text().splitlines()[1:]
    pairs = [row.split(",")[:2] for row in rows]
    errors = sum(actual != predicted for actual, predicted in pairs)
    assert len(rows) == 200
    assert metrics["errors"] == errors
    assert metrics["accuracy"] == 1 - errors / 200
    assert metrics["parameters"] == 109_946
    assert (
        metrics["accuracy_interval"]["low"]
        < metrics["accuracy"]
        < metrics["accuracy_interval"]["high"]
    )
    assert set(metrics) >= {"loss", "macro_f1", "calibration", "rejection"}


def test_loss_is_the_cross_entropy_of_the_saved_model(reproduced: Project) -> None:
    script = (
        "import json, numpy as np\n"
        "from pipeline.model_file import load_model; from pathlib import Path\n"
        "p = load_model(Path('data/model/model.keras')).predict("
        "np.load('data/processed/test_images.npy'), verbose=0)\n"
        "y = np.load('data/processed/test_labels.npy')\n"
        "print(json.dumps(float(-np.log(p[np.arange(len(y)), y]).mean())))"
    )
    expected = json.loads(reproduced.run("python", "-c", script).splitlines()[-1])
    metrics = json.loads((reproduced.folder / "reports/metrics.json").read_text())
    assert metrics["loss"] == pytest.approx(expected, rel=1e-4)


def test_learning_curves_have_a_row_an_epoch(reproduced: Project) -> None:
    rows = (reproduced.folder / "reports/learning_curves.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert [row.split(",")[0] for row in rows[1:]] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        (set_value("plot", "dpi", 60), ["plot"]),
        (set_value("preprocess", "seed", 1), ["preprocess", "train", "evaluate", "plot"]),
    ],
)
def test_changed_parameter_reruns_what_it_touches(
    reproduced: Project, edit: Callable[[Any], None], stages: list[str]
) -> None:
    reproduced.edit_params(edit)
    assert reproduced.repro() == stages
    assert reproduced.repro() == []


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        # A comment changes no result, so that what follows the stage is spared.
        ("pipeline/stages/plot.py", ["plot"]),
        ("pipeline/figures.py", ["plot"]),
        ("pipeline/idx.py", ["preprocess"]),
        ("pipeline/tools/demo.py", []),
        ("pipeline/__init__.py", []),
    ],
)
def test_changed_module_reruns_the_stages_that_import_it(
    reproduced: Project, module: str, stages: list[str]
) -> None:
    reproduced.append(module, "\n# A comment.\n")
    assert reproduced.repro() == stages


def test_forced_run_leaves_the_lock_as_it_is_on_one_core_and_on_two(reproduced: Project) -> None:
    if shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs taskset and two cores; would have shown equal bytes on one and on two")
    # Batches large enough for matrix products to be split among threads.
    reproduced.edit_params(set_recipe(batch_size=1000))
    reproduced.repro()
    reproduced.commit("Large batches")
    before = lock(reproduced)
    output = reproduced.run("taskset", "--cpu-list", "0", "dvc", "repro", "--force")
    assert output.count("Running stage") == 5
    assert lock(reproduced) == before
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_two_branches_can_be_compared_without_a_remote(reproduced: Project, tmp_path: Path) -> None:
    reproduced.run("git", "checkout", "--quiet", "-b", "longer")
    reproduced.edit_params(set_recipe(epochs=4))
    reproduced.repro()
    reproduced.commit("Longer")
    # A clone has neither data nor cache.
    reproduced.run("git", "clone", "--quiet", "--branch", "longer", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", reproduced.home)
    clone.run("git", "branch", "main", "origin/main")
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "--json", "main"))
    loss = metrics["reports/metrics.json"]["loss"]
    assert loss["old"] != loss["new"]
    plots = json.loads(clone.run("dvc", "plots", "diff", "--json", "main"))["data"]
    epochs = {
        revision: max(
            int(row["epoch"])
            for row in plots["loss"][0]["content"]["data"]["values"]
            if row["rev"] == revision
        )
        for revision in ("main", "workspace")
    }
    assert epochs == {"main": 3, "workspace": 4}
    page = (
        clone.run("dvc", "plots", "diff", "main", "--out", "page").strip().removeprefix("file://")
    )
    html = Path(page).read_text()
    assert all(title in html for title in ("Loss", "Accuracy", "Confusion matrix"))


def test_confusion_plot_counts_every_test_image(reproduced: Project) -> None:
    plot = json.loads(reproduced.run("dvc", "plots", "show", "--json"))["data"]["confusion"][0]
    assert len(plot["content"]["data"]["values"]) == 200
    marks = [layer["mark"] for layer in plot["content"]["spec"]["layer"]]
    assert marks == ["rect", "text"]
    assert "<DVC" not in json.dumps(plot["content"])


def test_experiment_changes_a_parameter_from_the_command_line(reproduced: Project) -> None:
    output = reproduced.run("dvc", "exp", "run", "-S", "recipes.original.epochs=2")
    assert [f"Running stage '{stage}'" in output for stage in ALL] == [
        False,
        False,
        True,
        True,
        True,
    ]
    params = YAML(typ="safe").load(reproduced.folder / "params.yaml")
    assert params["recipes"]["original"]["epochs"] == 2
    assert "epochs" in reproduced.run("dvc", "params", "diff")


def test_champion_is_one_switch_away_and_just_as_reproducible(reproduced: Project) -> None:
    reproduced.append("params.yaml", "# A comment of the user's.\n")
    reproduced.commit("Comment")
    original_lock = lock(reproduced)
    output = reproduced.run("dvc", "exp", "run", "-S", "train.recipe=champion")
    assert output.count("Running stage") == 3
    assert (reproduced.folder / "params.yaml").read_text().endswith("# A comment of the user's.\n")
    change = json.loads(reproduced.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert change == {"train.recipe": {"old": "original", "new": "champion"}}
    metrics = json.loads((reproduced.folder / "reports/metrics.json").read_text())
    assert metrics["parameters"] == 109_946
    champion_lock = lock(reproduced)
    assert reproduced.repro("--force", "--single-item", "train") == ["train"]
    assert lock(reproduced) == champion_lock != original_lock
    # Of the other recipe it reads nothing.
    reproduced.edit_params(set_recipe(epochs=5))
    assert reproduced.repro() == []


def test_diverging_training_stops_and_the_last_model_stays_in_the_cache(
    reproduced: Project,
) -> None:
    model = reproduced.folder / "data/model/model.keras"
    before = model.read_bytes()
    reproduced.edit_params(set_recipe(learning_rate=1e9))
    reproduced.edit_params(set_recipe(epochs=50))
    output = reproduced.run("dvc", "repro", status=255)
    assert "train: training has diverged: in epoch " in output
    assert "A smaller learning_rate may help" in output
    assert "Traceback" not in output
    assert "Running stage 'evaluate'" not in output
    reproduced.run("git", "checkout", "--", "params.yaml", "reports")
    reproduced.run("dvc", "checkout")
    assert model.read_bytes() == before
    assert "up to date" in reproduced.run("dvc", "status")


@pytest.mark.parametrize("value", ["1", "true"])
def test_required_gpu_that_is_missing_fails_at_once(reproduced: Project, value: str) -> None:
    output = reproduced.stage("train", status=1, REQUIRE_GPU=value, CUDA_VISIBLE_DEVICES="-1")
    message = output.splitlines()[-1]
    assert message.startswith("train: REQUIRE_GPU is set, but tensorflow sees no GPU")
    assert "Traceback" not in output


def test_unknown_backend_is_a_message(reproduced: Project) -> None:
    output = reproduced.stage("train", status=1, KERAS_BACKEND="torch")
    assert output == "KERAS_BACKEND is 'torch': expected tensorflow or jax\n"


def test_settings_of_the_user_change_no_bit(reproduced: Project, tmp_path: Path) -> None:
    """Files and variables that Keras and matplotlib read, and that no stage declares."""
    home = tmp_path / "home_of_another"
    (home / ".keras").mkdir(parents=True)
    keras_json = {"floatx": "float16", "epsilon": 0.1, "backend": "torch", "max_epochs": 1}
    (home / ".keras/keras.json").write_text(json.dumps(keras_json))
    (home / "matplotlibrc").write_text("font.size: 30\nsavefig.facecolor: red\n")
    output = finish(
        reproduced.start(
            "dvc",
            "repro",
            "--force",
            HOME=str(home),
            MATPLOTLIBRC=str(home / "matplotlibrc"),
            MPLBACKEND="module://matplotlib_inline.backend_inline",
            KERAS_BACKEND="",
            KERAS_MAX_STEPS_PER_EPOCH="1",
            TZ="Asia/Tokyo",
            LC_ALL="C",
            PYTHONHASHSEED="7",
        ),
        0,
    )
    assert output.count("Running stage") == 5
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(reproduced: Project) -> None:
    lines = reproduced.stage("train").splitlines()
    assert lines[0] == "Training on CPU with tensorflow"
    assert [line.split(":")[0] for line in lines[1:]] == [f"Epoch {n} of 3" for n in (1, 2, 3)]
    shown = reproduced.run("python", "-c", TERMINAL, "-m", "pipeline.stages.train")
    bars = [line for line in re.split(r"[\r\n]+", shown) if "/3 " in line]
    assert re.search(r"3/3 .*loss \d.*, accuracy \d.*, val_accuracy \d\.\d{4}", bars[-1])
    assert max(map(len, bars)) <= 80
    assert "Epoch" not in shown


def test_interrupted_training_ends_without_traceback(reproduced: Project) -> None:
    reproduced.edit_params(set_recipe(epochs=50_000))
    for seconds in (1.0, 1.5, 2.0, 2.5, 3.0, 12.0):
        process = reproduced.start("python", "-m", "pipeline.stages.train")
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        # Killed by the signal while the libraries are being imported, ended by itself later.
        assert process.returncode in {-signal.SIGINT, 128 + signal.SIGINT}, seconds
        assert "Traceback" not in output
    assert "train: interrupted" in output


def test_dependency_edited_while_its_stage_runs_fails_the_stage(reproduced: Project) -> None:
    """DVC would tie the results to the edited file (treeverse/dvc#11058)."""
    reproduced.edit_params(set_recipe(epochs=200))
    before = lock(reproduced)
    process = reproduced.start("dvc", "repro")
    assert process.stdout
    for line in process.stdout:
        if line.startswith("Epoch"):
            break
    reproduced.append("pipeline/network.py", "# A comment.\n")
    reproduced.edit_params(set_value("train", "seed", 1))
    output = finish(process, 255)
    assert "train: params.yaml, pipeline/network.py changed while the stage ran" in output
    assert "Traceback" not in output
    assert "Running stage 'evaluate'" not in output
    assert lock(reproduced) == before
    assert "train" in reproduced.run("dvc", "status")


def test_damaged_learning_curves_are_named(reproduced: Project) -> None:
    for content in (
        "",
        "epoch,loss\n1,2\n",
        f"{HEADER}\n",
        f"{HEADER}\n1,x,1,1,1\n",
        f"{HEADER}\n1,nan,1,1,1\n",
        f"{HEADER}\n2,1,1,1,1\n1,1,1,1,1\n",
        f"{HEADER}\n1,1,1,1,1,7\n",
    ):
        (reproduced.folder / "reports/learning_curves.csv").write_text(content)
        output = reproduced.stage("plot", status=1)
        assert output.startswith(
            "plot: reports/learning_curves.csv: not a table of learning curves"
        )
        assert "Traceback" not in output


def test_jax_runs_the_same_pipeline_reproducibly(reproduced: Project) -> None:
    assert reproduced.repro("--force", "--single-item", "train", KERAS_BACKEND="jax") == ["train"]
    environment = json.loads((reproduced.folder / "reports/environment.json").read_text())
    assert environment["backend"] == "jax"
    model = (reproduced.folder / "data/model/model.keras").read_bytes()
    command = ["python", "-m", "pipeline.stages.train"]
    if shutil.which("taskset"):
        command = ["taskset", "--cpu-list", "0", "python3", "-m", "pipeline.stages.train"]
    reproduced.run(*command, KERAS_BACKEND="jax")
    assert (reproduced.folder / "data/model/model.keras").read_bytes() == model
    # What JAX trained, TensorFlow evaluates.
    reproduced.stage("evaluate")


def test_data_set_of_other_counts_sizes_and_classes_is_a_change_of_parameters(
    project: Project, tmp_path: Path
) -> None:
    from conftest import NAMES, synthetic_digits

    from pipeline.data.idx import write_idx

    mirror = tmp_path / "other"
    mirror.mkdir()
    for part, count in (("train", 303), ("test", 77)):
        images, labels = synthetic_digits(count, seed=count, side=12, classes=6)
        write_idx(mirror / NAMES[f"{part}_images"], images)
        write_idx(mirror / NAMES[f"{part}_labels"], labels)
    project.edit_params(lambda params: use_small_data(params, mirror, [str(mirror)]))
    project.edit_params(set_value("preprocess", "classes", 6))
    assert project.repro() == ALL
    metrics = json.loads((project.folder / "reports/metrics.json").read_text())
    by_class = (project.folder / "reports/by_class.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in by_class] == ["class", *"012345"]
    assert metrics["parameters"] == (144 + 1) * 128 + (128 + 1) * 64 + (64 + 1) * 16 + (16 + 1) * 6
