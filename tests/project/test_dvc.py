"""The pipeline as users run it: the real ``dvc``, on small data from a mirror on this machine."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import (
    NAMES,
    ROOT,
    TERMINAL,
    Project,
    finish,
)
from contract import House
from ruamel.yaml import YAML

from pipeline.history.staleness import staleness
from pipeline.model.file import load_model

HOUSE = House(ROOT)
STAGES = [stage for stage in HOUSE.stages if stage.folder == Path()]
ALL = [stage.name for stage in STAGES]
TABLE = (ROOT / "docs/experiments.md").read_text(encoding="utf-8")


def lock(project: Project) -> bytes:
    return (project.folder / "dvc.lock").read_bytes()


def set_value(section: str, key: str, value: object) -> Callable[[Any], None]:
    return lambda params: params[section].update({key: value})


def set_recipe(**values: object) -> Callable[[Any], None]:
    return lambda params: params["recipes"]["original"].update(values)


def test_first_run_runs_all_stages_the_second_none_and_one_after_a_change_what_follows(
    original: tuple[Project, list[str]],
    original_with_branch: tuple[Project, str],
    reproduced: Project,
) -> None:
    _, ran = original
    assert ran == ALL
    assert reproduced.repro() == []
    assert "up to date" in reproduced.run("dvc", "status")
    _, output = original_with_branch
    assert re.findall(r"^Running stage '(\w+)'", output, re.MULTILINE) == [
        "train",
        "evaluate",
        "export",
        "plot",
    ]
    # Progress is lines where there is no terminal.
    assert re.findall(r"^Epoch.*?:|^Training.*$", output, re.MULTILINE) == [
        "Training on CPU with tensorflow",
        *(f"Epoch {number} of 4:" for number in (1, 2, 3, 4)),
    ]


def test_git_holds_reports_and_lock_but_no_data(original: tuple[Project, list[str]]) -> None:
    project, _ = original
    files = set(project.run("git", "ls-files").split())
    outs = {out for stage in STAGES for out in stage.paths("outs")}
    reports = {out for out in outs if out.startswith("reports/")}
    page = {"reports/index.html"}  # large, and made of the others: DVC has it
    assert {"dvc.lock", *reports} - page <= files
    assert not page & files
    assert not any(name.startswith("data/") for name in files)
    written = (path for path in project.folder.glob("reports/**/*") if path.is_file())
    assert {path.relative_to(project.folder).as_posix() for path in written} == reports


def loss_of(project: Project, part: str) -> float:
    """Return the cross-entropy of a project's model on its validation or test images."""
    model = load_model(project.folder / "data/model/model.keras")
    data = project.folder / "data/processed"
    predicted = model.predict(np.load(data / f"{part}_images.npy"), verbose=0)
    labels = np.load(data / f"{part}_labels.npy")
    return float(-np.log(predicted[np.arange(len(labels)), labels]).mean())


def test_metrics_predictions_and_curves_tell_the_same(original: tuple[Project, list[str]]) -> None:
    project, _ = original
    reports = project.folder / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    rows = (reports / "predictions.csv").read_text().splitlines()[1:]
    pairs = [row.split(",")[:2] for row in rows]
    errors = sum(actual != predicted for actual, predicted in pairs)
    assert len(rows) == 200
    assert (metrics["errors"], metrics["accuracy"]) == (errors, 1 - errors / 200)
    assert metrics["parameters"] == 109_946
    interval = metrics["accuracy_interval"]
    assert interval["low"] < metrics["accuracy"] < interval["high"]
    assert set(metrics) >= {"loss", "macro_f1", "calibration", "rejection"}
    assert metrics["loss"] == pytest.approx(loss_of(project, "test"), rel=1e-4)
    header, *epochs = (reports / "learning_curves.csv").read_text().splitlines()
    assert header == "epoch,loss,accuracy,val_loss,val_accuracy"
    assert [row.split(",")[0] for row in epochs] == ["1", "2", "3"]


def rows_of_the_table() -> Iterator[Any]:
    """Yield each change in the table of the docs, with the stages that run, and may run, again."""
    body = TABLE.partition("| a change of | runs again |")[2].partition("\n\n")[0]
    for line in body.splitlines()[2:]:
        changes, stale, following = (cell.strip() for cell in line.strip("|").split("|"))
        expected = [
            ALL if "all six" in cell else re.findall(r"\w+", cell.removeprefix("nothing"))
            for cell in (stale, following)
        ]
        for change in re.findall(r"`([^`]+)`", changes):
            yield pytest.param(change, *expected, id=change)


TABLE_ROWS = list(rows_of_the_table())


def changes(project: Project, change: str) -> Iterator[None]:
    """Make the changes that a cell stands for: all modules at once, each parameter by itself."""
    if "/" in change:
        files = [
            path for path in (project.folder / change).rglob("*.py") if path.stem != "__init__"
        ] or [project.folder / change]
        for file in files:
            project.append(file.relative_to(project.folder).as_posix(), "# A comment.\n")
        yield
        return
    section, params = change.partition(".")[0], project.folder / "params.yaml"
    before = params.read_bytes()
    for key in YAML(typ="safe").load(before)[section]:
        project.edit_params(set_value(section, key, "champion" if key == "recipe" else "another"))
        yield
        params.write_bytes(before)


def environment_of(project: Project) -> dict[str, str]:
    return os.environ | {"DVC_SITE_CACHE_DIR": str(project.home / "dvc")}


def test_what_has_run_before_does_not_run_again(branched: Project, tmp_path: Path) -> None:
    """On any branch, as an experiment, or in a clone with the same cache."""

    def change(params: Any) -> None:
        params["recipes"]["original"]["epochs"] = 4
        params["evaluate"]["target_errors"] = [0.1]

    def results(project: Project) -> dict[str, bytes]:
        names = ["dvc.lock", *project.run("git", "ls-files", "reports").split()]
        return {name: (project.folder / name).read_bytes() for name in names}

    branched.run("git", "checkout", "--quiet", "main")
    assert branched.repro() == []
    of_main = results(branched)
    branched.edit_params(change)
    assert branched.repro() == []
    of_branch = results(branched)
    assert of_branch != of_main
    assert branched.run("git", "diff", "longer", "--", "reports", "dvc.lock") == ""
    branched.run("git", "checkout", "--quiet", "params.yaml")
    assert branched.repro() == []
    assert results(branched) == of_main
    values = ("recipes.original.epochs=4", "evaluate.target_errors=[0.1]")
    output = branched.run("dvc", "exp", "run", *(f"-S{value}" for value in values))
    assert "Running stage" not in output
    assert results(branched) == of_branch
    branched.run("git", "checkout", "--quiet", "--force", "main")
    assert branched.repro() == []

    # A mistyped value costs no training either, though DVC deletes the outputs of the stage.
    branched.edit_params(lambda params: params["recipes"]["original"].update(epochs=0))
    assert "epochs: Input should be greater" in branched.run("dvc", "repro", status=255)
    model = branched.folder / "data/model/model.keras"
    assert not model.exists()
    branched.run("git", "checkout", "--quiet", "params.yaml")
    assert branched.repro() == []
    assert model.exists()

    branched.run("git", "clone", "--quiet", str(branched.folder), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", branched.home)
    clone.run("dvc", "cache", "dir", "--local", str(branched.folder / ".dvc/cache"))
    clone.edit_params(change)
    assert clone.repro() == []
    assert results(clone) == of_branch


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")  # DVC's own, of its parser
@pytest.mark.parametrize(("change", "stale", "following"), TABLE_ROWS)
def test_change_makes_stale_what_the_docs_say(
    reproduced: Project, change: str, stale: list[str], following: list[str]
) -> None:
    for _ in changes(reproduced, change):
        found = staleness(reproduced.folder, environment_of(reproduced))
        assert (sorted(found.reasons), sorted(found.following)) == (
            sorted(stale),
            sorted(following),
        )


def test_table_of_the_docs_has_every_room_and_every_section() -> None:
    rows = {row.values[0] for row in TABLE_ROWS}
    listed = {path for stage in STAGES for path in stage.code if not path.endswith(".py")}
    assert {f"{room}/" for room in listed} <= rows
    assert {"pipeline/tools/", "pipeline/history/", "pipeline/studies/"} <= rows
    missing = {f"{name}.*" for name in ALL} - rows
    assert missing <= {"download.*"}  # where the same bytes come from


@pytest.mark.slow
def test_change_at_the_beginning_of_the_flow_runs_to_its_end(reproduced: Project) -> None:
    reproduced.edit_params(set_value("preprocess", "seed", 1))
    assert reproduced.repro() == ["preprocess", "train", "evaluate", "export", "plot"]
    assert reproduced.repro() == []


def test_what_tools_and_editors_leave_in_a_room_makes_nothing_stale(reproduced: Project) -> None:
    left = (
        "__pycache__/idx.cpython-311.pyc",
        ".mypy_cache/idx.json",
        ".ruff_cache/0.12/1",
        ".ipynb_checkpoints/idx.py",
        ".idx.py.swp",
        ".#idx.py",
        "#idx.py#",
        "idx.py~",
        "idx.py.bak",
        "idx.py.orig",
        "idx.py.rej",
        ".DS_Store",
        "idx.py.partial.1",
    )
    for room in {path for stage in STAGES for path in stage.code if not path.endswith(".py")}:
        for name in left:
            path = reproduced.folder / room / name
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text("left")
    assert "up to date" in reproduced.run("dvc", "status")
    (reproduced.folder / "pipeline/data/new.py").write_text("")
    status = json.loads(reproduced.run("dvc", "status", "--json"))
    assert set(status) == {"download", "preprocess"}


# Python imports it in each process as it starts: kills all of them when a checkpoint is there.
KILLED = """
import os, pathlib, signal
replace = pathlib.Path.replace
def replace_and_kill(path, target):
    done = replace(path, target)
    if pathlib.Path(target).parent.name == "checkpoints":
        os.killpg(0, signal.SIGKILL)
    return done
pathlib.Path.replace = replace_and_kill
"""


def test_forced_run_that_was_killed_and_goes_on_as_another_user_on_one_core_changes_no_bit(
    reproduced: Project, tmp_path: Path
) -> None:
    """With files and variables that Keras and matplotlib read, and that no stage declares."""
    site = tmp_path / "site/sitecustomize.py"
    site.parent.mkdir()
    site.write_text(KILLED)
    command = ("dvc", "repro", "--force", "--single-item", "train")
    finish(reproduced.start(*command, PYTHONPATH=str(site.parent)), -signal.SIGKILL)
    assert len([*reproduced.folder.glob("data/checkpoints/*.npz")]) == 1
    assert not (reproduced.folder / "data/model/model.keras").exists()

    home = tmp_path / "home_of_another"
    (home / ".keras").mkdir(parents=True)
    keras_json = {"floatx": "float16", "epsilon": 0.1, "backend": "torch", "max_epochs": 1}
    (home / ".keras/keras.json").write_text(json.dumps(keras_json))
    (home / "matplotlibrc").write_text("font.size: 30\nsavefig.facecolor: red\n")
    before = lock(reproduced)
    one_core = ("taskset", "--cpu-list", "0") if shutil.which("taskset") else ()
    output = reproduced.run(
        *one_core,
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
    )
    assert output.count("Running stage") == len(ALL)
    assert "Going on after epoch 1 of 3" in output
    assert not [*reproduced.folder.glob("data/checkpoints/*")]
    assert lock(reproduced) == before
    assert reproduced.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_products_large_enough_for_two_threads_are_the_same_on_one_core(
    reproduced: Project,
) -> None:
    if shutil.which("taskset") is None or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs taskset and two cores; would have shown equal bytes on one and on two")
    reproduced.edit_params(set_recipe(batch_size=1000))
    reproduced.repro()
    reproduced.commit("Large batches")
    before = lock(reproduced)
    output = reproduced.run("taskset", "--cpu-list", "0", "dvc", "repro", "--force")
    assert output.count("Running stage") == len(ALL)
    assert lock(reproduced) == before
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_two_branches_can_be_compared_without_a_remote(branched: Project, tmp_path: Path) -> None:
    # A clone has neither data nor cache.
    branched.run("git", "clone", "--quiet", "--branch", "longer", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone", branched.home)
    clone.run("git", "branch", "main", "origin/main")
    metrics = json.loads(clone.run("dvc", "metrics", "diff", "--json", "main"))
    loss = metrics["reports/metrics.json"]["loss"]
    assert loss["old"] != loss["new"]
    plots = json.loads(clone.run("dvc", "plots", "diff", "--json", "main"))["data"]
    epochs = {
        revision: max(
            int(row["epoch"])
            for row in plots["reports/learning_curves.csv"][0]["content"]["data"]["values"]
            if row["rev"] == revision
        )
        for revision in ("main", "workspace")
    }
    assert epochs == {"main": 3, "workspace": 4}


def test_confusion_plot_counts_every_test_image(reproduced: Project) -> None:
    plot = json.loads(reproduced.run("dvc", "plots", "show", "--json"))["data"]
    plot = plot["reports/predictions.csv"][0]
    assert len(plot["content"]["data"]["values"]) == 200
    marks = [layer["mark"] for layer in plot["content"]["spec"]["layer"]]
    assert marks == ["rect", "text"]
    assert "<DVC" not in json.dumps(plot["content"])


@pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
def test_champion_is_one_switch_of_an_experiment_away_and_jax_a_variable(
    reproduced: Project,
) -> None:
    # Distortions take JAX long to compile.
    reproduced.edit_params(lambda params: params["recipes"]["champion"].update(distortion=None))
    reproduced.append("params.yaml", "# A comment of the user's.\n")
    reproduced.commit("Comment")
    switch = ("dvc", "exp", "run", "-S", "train.recipe=champion", "train")
    output = reproduced.run(*switch, KERAS_BACKEND="jax")
    assert re.findall(r"Running stage '(\w+)'", output) == ["train"]
    assert (reproduced.folder / "params.yaml").read_text().endswith("# A comment of the user's.\n")
    change = json.loads(reproduced.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert change == {"train.recipe": {"old": "original", "new": "champion"}}
    environment = json.loads((reproduced.folder / "reports/environment.json").read_text())
    assert environment["backend"] == "jax"
    # What JAX trained, TensorFlow evaluates.
    last = (reproduced.folder / "reports/learning_curves.csv").read_text().splitlines()[-1]
    assert float(last.split(",")[3]) == pytest.approx(loss_of(reproduced, "validation"), rel=1e-4)
    # Of the other recipe it reads nothing.
    reproduced.edit_params(set_recipe(epochs=5))
    assert set(staleness(reproduced.folder, environment_of(reproduced)).reasons) == {
        "evaluate",
        "export",
        "plot",
    }


@pytest.mark.slow
def test_champion_is_just_as_reproducible(reproduced: Project) -> None:
    reproduced.edit_params(set_value("train", "recipe", "champion"))
    assert reproduced.repro("train") == ["train"]
    before = lock(reproduced)
    assert reproduced.repro("--force", "--single-item", "train") == ["train"]
    assert lock(reproduced) == before


def test_diverging_training_stops_and_the_last_model_stays_in_the_cache(
    reproduced: Project,
) -> None:
    model = reproduced.folder / "data/model/model.keras"
    before = model.read_bytes()
    reproduced.edit_params(set_recipe(learning_rate=1e9, epochs=50))
    output = reproduced.run("dvc", "repro", status=255)
    assert "train: training has diverged: in epoch " in output
    assert "A smaller learning_rate may help" in output
    assert "Traceback" not in output
    assert "Running stage 'evaluate'" not in output
    reproduced.run("git", "checkout", "--", "params.yaml", "reports")
    reproduced.run("dvc", "checkout")
    assert model.read_bytes() == before


def test_required_gpu_that_is_missing_fails_at_once(reproduced: Project) -> None:
    # JAX is imported sooner; of TensorFlow a slow test of the workflow tells.
    environment = {"REQUIRE_GPU": "true", "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    output = reproduced.stage("train", status=1, **environment)
    message = output.splitlines()[-1]
    assert message.startswith("train: REQUIRE_GPU is set, but jax sees no GPU")
    assert "Traceback" not in output


def test_unknown_backend_is_a_message(reproduced: Project) -> None:
    output = reproduced.stage("train", status=1, KERAS_BACKEND="torch")
    assert output == "KERAS_BACKEND is 'torch': expected tensorflow or jax\n"


def test_training_shows_a_bar_on_a_terminal_and_is_interrupted_without_traceback(
    reproduced: Project,
) -> None:
    reproduced.edit_params(set_recipe(epochs=50_000))
    process = reproduced.start("python", "-c", TERMINAL, "-m", "pipeline.stages.train")
    assert process.stdout
    shown = ""
    while "val_accuracy" not in shown:
        chunk = os.read(process.stdout.fileno(), 4096)
        assert chunk, shown
        shown += chunk.decode(errors="replace")
    (training,) = psutil.Process(process.pid).children()
    training.send_signal(signal.SIGINT)
    shown += finish(process, 128 + signal.SIGINT)
    assert "Traceback" not in shown
    assert "train: interrupted" in shown
    assert "Epoch" not in shown
    bars = [line for line in re.split(r"[\r\n]+", shown) if "/50000 " in line]
    assert any(re.search(r"loss \d.*, accuracy \d.*, val_accuracy", bar) for bar in bars)
    assert max(map(len, bars)) <= 80


# Trains, but for Ctrl-C at the moment in which a module is about to be imported.
INTERRUPTED = """
import runpy, signal, sys
class Finder:
    def find_spec(name, *_):
        if name == module:
            signal.raise_signal(signal.SIGINT)
module = sys.argv.pop()
sys.meta_path.insert(0, Finder)
runpy.run_module("pipeline.stages.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["numpy", "tensorflow", "keras.src.layers.core.dense"])
def test_training_that_is_interrupted_as_keras_is_imported_ends_without_traceback(
    reproduced: Project, module: str
) -> None:
    process = reproduced.start("python", "-c", INTERRUPTED, module)
    assert finish(process, -signal.SIGINT) == ""


# Edits what a stage depends on, as the stage puts its first output in its place.
EDITED = """
import os, pathlib
replace = pathlib.Path.replace
def edit_and_replace(path, target):
    pathlib.Path.replace = replace
    for name in ("pipeline/data/new.py", "pipeline/data/.new.py.swp", "data/raw/%s"):
        pathlib.Path(name).touch()
    for name, old in (("params.yaml", "validation_size: "), ("pipeline/data/idx.py", "# ")):
        file = pathlib.Path(name)
        file.write_text(file.read_text().replace(old, old + "1"))
    return replace(path, target)
if "DVC_STAGE" in os.environ:
    pathlib.Path.replace = edit_and_replace
"""


def test_dependency_edited_while_its_stage_runs_fails_the_stage(
    reproduced: Project, tmp_path: Path
) -> None:
    """DVC would tie the results to the edited file (treeverse/dvc#11058)."""
    (tmp_path / "sitecustomize.py").write_text(EDITED % NAMES["train_labels"])
    reproduced.edit_params(set_value("preprocess", "seed", 1))
    before = lock(reproduced)
    output = reproduced.run("dvc", "repro", status=255, PYTHONPATH=str(tmp_path))
    named = re.search("preprocess: (.*) changed while the stage ran", output)
    assert named, output
    assert sorted(named[1].split(", ")) == [
        f"data/raw/{NAMES['train_labels']}",
        "params.yaml",
        "pipeline/data/idx.py",
        "pipeline/data/new.py",
    ]
    assert "Traceback" not in output
    assert "Running stage 'train'" not in output
    assert lock(reproduced) == before
    assert "preprocess" in reproduced.run("dvc", "status")


def test_damage_in_an_input_folder_that_dvc_does_not_notice_fails_the_stage(
    reproduced: Project,
) -> None:
    """A disk's: with the size and the time that the file had."""
    path = reproduced.folder / "data/processed/test_images.npy"
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    before = lock(reproduced)
    output = reproduced.run("dvc", "repro", "--force", "--single-item", "plot", status=255)
    assert "plot: data/processed: not what its stage wrote" in output
    assert lock(reproduced) == before


@pytest.mark.slow
def test_jax_trains_reproducibly_on_one_core_and_on_two(reproduced: Project) -> None:
    models = []
    for command in ((), ("taskset", "--cpu-list", "0")):
        if not command or shutil.which("taskset"):
            train = (*command, "python3", "-m", "pipeline.stages.train")
            reproduced.run(*train, KERAS_BACKEND="jax")
            models.append((reproduced.folder / "data/model/model.keras").read_bytes())
    assert len(set(models)) == 1
    reproduced.stage("evaluate")
