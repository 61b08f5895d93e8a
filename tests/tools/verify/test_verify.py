"""Verification with real clones and the real ``dvc``, most of it of a pipeline of small scripts."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import (
    NAMES,
    PATIENCE,
    Project,
    copy_project,
    finish,
    sha256,
    synthetic_digits,
    use_small_data,
)
from in_process import call
from ruamel.yaml import YAML

from pipeline.data.idx import write_idx

COMMAND = ("python", "-m", "pipeline", "verify")


def verify(
    project: Project, *arguments: str, status: int = 0, **environment: str
) -> dict[str, Any]:
    """Verify with temporary files in a folder of their own, and see that none is left."""
    temporary = project.folder.parent / "temporary"
    temporary.mkdir()
    before = traces(project)
    format_ = ("--format", "json")
    output = call(
        project,
        "verify",
        *arguments,
        *format_,
        status=status,
        TMPDIR=str(temporary),
        **environment,
    )
    assert traces(project) == before
    assert not list(temporary.iterdir())
    temporary.rmdir()
    return facts_in(output)


def facts_in(output: str) -> dict[str, Any]:
    """Return the result in JSON that follows the progress."""
    facts: dict[str, Any] = json.loads(output[output.index('\n{\n  "verdict"') :])
    return facts


def traces(project: Project) -> set[str]:
    """Return every file of the project and its repository with what it holds."""
    return {
        f"{path} {hashlib.md5(path.read_bytes()).hexdigest()}"
        for path in project.folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def error(project: Project, *arguments: str) -> str:
    return call(project, "verify", *arguments, status=2).splitlines()[-1]


def replace(project: Project, name: str, old: str, new: str) -> None:
    path = project.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


# A pipeline of small scripts, for what has nothing to do with training: with folders of code, of
# data and of reports. On another MACHINE the model has other bytes.
PARTS = {
    "dvc.yaml": """
stages:
  prepare:
    cmd: python prepare.py
    deps: [prepare.py]
    params: [length]
    outs: [data]
  train:
    cmd: python train.py
    deps: [train.py, data]
    outs: [model.txt, reports/environment.json: {cache: false}]
  evaluate:
    cmd: python evaluate.py
    deps: [evaluate.py, model.txt]
    outs: [reports/metrics.json: {cache: false}, reports/predictions.csv: {cache: false}]
  plot:
    cmd: python plot.py
    deps: [plot.py, room, model.txt]
    outs: [reports/figures: {cache: false}]
""",
    "params.yaml": "length: 3\nhidden: red\n",
    "prepare.py": """
from pathlib import Path
from ruamel.yaml import YAML
Path("data").mkdir()
Path("data/x.txt").write_text("digit " * YAML().load(Path("params.yaml"))["length"])
Path("data/y.txt").write_text("labels")
""",
    "train.py": """
import json, os, time
from pathlib import Path
machine = os.environ.get("MACHINE", "here")
if machine == "slow":
    print("Training", flush=True)
    time.sleep(3600)
Path("model.txt").write_text(Path("data/x.txt").read_text().upper() + machine)
Path("reports").mkdir(exist_ok=True)
Path("reports/environment.json").write_text(json.dumps({"machine": machine}))
""",
    "evaluate.py": """
from pathlib import Path
rows = ["actual,predicted,confidence", *["1,1,0.5"] * 900, *["1,2,0.5"] * 100, ""]
Path("reports/predictions.csv").write_text("\\n".join(rows))
Path("reports/metrics.json").write_text('{"accuracy": 0.9}')
""",
    "plot.py": """
from pathlib import Path
from room.colours import colour
Path("reports/figures").mkdir()
Path("reports/figures/figure.txt").write_text(colour + Path("model.txt").read_text())
Path("reports/figures/legend.txt").write_text(colour)
""",
    "room/colours.py": 'colour = "red"\n',
    "room/sizes.py": "size = 1\n",
    # A project of its own, of which nothing runs.
    "studies/dvc.yaml": """
stages:
  run:
    cmd: touch ran
    deps: [pipeline/runtime, data]
    outs: [ran]
""",
    ".gitignore": "/data\n/model.txt\n__pycache__\n",
}


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The scripts, reproduced and committed, beside the project's own tools."""
    folder = tmp_path_factory.mktemp("verify")
    project = copy_project(folder / "scripts", folder / "home")
    (project.folder / "room").mkdir()
    for name, content in PARTS.items():
        (project.folder / name).write_text(content)
    assert project.repro() == ["prepare", "train", "evaluate", "plot"]
    project.commit("Results")
    return project


@pytest.fixture
def scripts(master: Project, tmp_path: Path) -> Project:
    """A copy of the scripts to do as one likes with."""
    shutil.copytree(master.folder, tmp_path / "scripts", symlinks=True)
    return Project(tmp_path / "scripts", master.home)


def test_reproduced_in_a_bare_clone_under_other_settings(
    reproduced: Project, tmp_path: Path
) -> None:
    """Everything at once that must not matter, for a user without data, cache and history."""
    clone = Project(tmp_path / "clone", tmp_path / "another home")
    address = f"file://{reproduced.folder}"
    reproduced.run("git", "clone", "--quiet", "--depth=1", address, str(clone.folder))
    shared_cache = tmp_path / "shared cache"
    (clone.home / ".config/dvc").mkdir(parents=True)
    (clone.home / ".config/dvc/config").write_text(f"[cache]\n    dir = {shared_cache}\n")
    (clone.home / ".gitconfig").write_text("[core]\n    autocrlf = true\n")
    clone.append("pipeline/model/network.py", "raise SystemExit\n")
    before = traces(clone)
    one_core = "taskset --cpu-list 0 " if shutil.which("taskset") else ""
    script = f"umask 077; cd /; exec {one_core}python -m pipeline verify --format json"
    output = clone.run(
        "sh",
        "-c",
        script,
        PYTHONPATH=str(clone.folder),
        PYTHONHASHSEED="random",
        OMP_NUM_THREADS="1",
        TF_NUM_INTRAOP_THREADS="1",
        TF_NUM_INTEROP_THREADS="1",
        TZ="Pacific/Kiritimati",
        LC_ALL="C",
        # As in a hook of Git's.
        GIT_DIR=str(reproduced.folder / ".git"),
        GIT_INDEX_FILE=str(reproduced.folder / ".git/index"),
    )
    facts = facts_in(output)
    assert facts["verdict"] == "reproduced"
    assert facts["revision"]["commit"] == reproduced.run("git", "rev-parse", "HEAD").strip()
    assert facts["first_difference"] is None
    assert facts["environment"] == []
    outputs = facts["outputs"]
    assert {"data/raw", "data/processed"} < {output["path"] for output in outputs}
    assert all(output["same"] and output["locked"] == output["reproduced"] for output in outputs)
    stages = ["download", "preprocess", "train", "evaluate", "plot"]
    assert list(dict.fromkeys(output["stage"] for output in outputs)) == stages
    assert traces(clone) == before
    assert not shared_cache.exists()


def test_clone_can_be_kept_of_a_commit_that_no_branch_leads_to(
    scripts: Project, tmp_path: Path
) -> None:
    scripts.run("git", "checkout", "--quiet", "--detach")
    scripts.edit_params(lambda params: params.update(length=4))
    assert scripts.repro() == ["prepare", "train", "evaluate", "plot"]
    scripts.commit("Detached")
    commit = scripts.run("git", "rev-parse", "HEAD").strip()
    scripts.run("git", "checkout", "--quiet", "main")
    # What lies uncommitted in the workspace plays no part, and stays.
    scripts.append("params.yaml", "\n# An edit.\n")
    facts = verify(scripts, commit, "--keep", str(tmp_path / "kept"))
    assert facts["verdict"] == "reproduced"
    folders = {output["path"]: output["reproduced"] for output in facts["outputs"]}
    assert folders["data"].endswith(".dir")
    assert folders["reports/figures"].endswith(".dir")
    kept = Project(tmp_path / "kept", scripts.home)
    assert kept.run("git", "rev-parse", "HEAD").strip() == commit
    assert kept.run("git", "status", "--porcelain") == ""
    assert (kept.folder / "data/x.txt").read_text() == "digit " * 4
    assert (kept.folder / "studies/pipeline").is_symlink()
    assert not (kept.folder / "studies/ran").exists()
    assert error(scripts, "--keep", str(kept.folder)) == (
        f"verify: {kept.folder}: expected a new or an empty folder for the clone"
    )
    assert error(scripts, "--keep", str(kept.folder / "model.txt")).endswith(
        "model.txt: expected a new or an empty folder for the clone"
    )


@pytest.mark.slow
def test_other_environment_with_like_predictions_is_consistent(reproduced: Project) -> None:
    facts = verify(reproduced, "--margin", "10", ONEDNN_MAX_CPU_ISA="AVX2")
    assert facts["verdict"] == "consistent"
    assert facts["environment"] == [
        {"key": "variables.ONEDNN_MAX_CPU_ISA", "old": None, "new": "AVX2"}
    ]
    assert facts["predictions"]["equivalent"]
    assert facts["first_difference"] == "train"
    data = [one for one in facts["outputs"] if one["stage"] in {"download", "preprocess"}]
    assert [one["path"] for one in data] == ["data/raw", "data/processed"]
    assert all(one["same"] for one in data)


def test_other_bytes_on_another_machine_are_consistent_if_the_metrics_are_honest(
    scripts: Project,
) -> None:
    facts = verify(scripts, MACHINE="there")
    assert facts["verdict"] == "consistent"
    assert facts["environment"] == [{"key": "machine", "old": "here", "new": "there"}]
    edit_with_lock(scripts, "reports/metrics.json", '{"accuracy": 0.999}')
    scripts.commit("Fault")
    facts = verify(scripts, status=1, MACHINE="there")
    assert facts["verdict"] == "not reproduced"
    assert (
        "the committed metrics claim an accuracy of 99.90%, but the predictions beside them have "
        "90.00%" in facts["sentence"]
    )


def test_nothing_outside_of_the_clone_is_touched(scripts: Project, tmp_path: Path) -> None:
    kept = tmp_path / "victim/kept.txt"
    kept.parent.mkdir()
    kept.write_text("precious")
    for path in (str(kept.parent), "../victim", "link"):
        (scripts.folder / "link").unlink(missing_ok=True)
        (scripts.folder / "link").symlink_to(kept.parent)
        scripts.run("git", "checkout", "--quiet", "main", "--", "dvc.lock")
        scripts.append("dvc.lock", f"  ghost: {{cmd: x, outs: [{{path: {path}, md5: a.dir}}]}}\n")
        scripts.run("git", "checkout", "--quiet", "--detach")
        scripts.commit("Hostile")
        assert "the pipeline writes outside of its project" in error(scripts)
        assert kept.read_text() == "precious"
        scripts.run("git", "checkout", "--quiet", "main")


def test_stage_that_works_elsewhere_is_refused(scripts: Project, tmp_path: Path) -> None:
    """The lock would give the paths of its outputs without saying from where."""
    (tmp_path / "victim").mkdir()
    stage = f"  other: {{cmd: 'date > x.txt', wdir: {tmp_path}/victim, outs: [x.txt]}}\n"
    scripts.append("dvc.yaml", stage)
    scripts.commit("Elsewhere")
    assert error(scripts).endswith("cannot verify stages with a wdir: other")
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.slow
def test_modules_of_the_workspace_are_not_those_of_the_clone(scripts: Project) -> None:
    replace(scripts, "dvc.yaml", "python plot.py", "python -m room.plot")
    replace(scripts, "dvc.yaml", "[plot.py, room", "[room")
    (scripts.folder / "plot.py").rename(scripts.folder / "room/plot.py")
    (scripts.folder / "dvc.lock").unlink()
    scripts.repro()
    scripts.commit("Modules")
    replace(scripts, "room/colours.py", "red", "blue")
    path = str(scripts.folder)
    assert verify(scripts, PYTHONPATH=path, PYTHONSAFEPATH="1")["verdict"] == "reproduced"


@pytest.mark.slow
def test_folder_that_is_not_reproduced_is_named(scripts: Project) -> None:
    """By the stage that wrote it, though the next one depends on a single file in it."""
    replace(scripts, "prepare.py", '"digit "', 'str(__import__("time").time_ns())')
    replace(scripts, "dvc.yaml", "[train.py, data]", "[train.py, data/x.txt]")
    (scripts.folder / "dvc.lock").unlink()
    scripts.repro()
    expect_fault(scripts, "prepare")


# Each fault is planted in a project that DVC then calls up to date.


def write_the_time(scripts: Project) -> None:
    replace(scripts, "room/colours.py", '"red"', 'str(__import__("time").time_ns())')
    scripts.repro()


def read_an_undeclared_parameter(scripts: Project) -> None:
    read = "open('params.yaml').read().split()[-1]"
    replace(scripts, "room/colours.py", '"red"', read)
    scripts.repro()
    replace(scripts, "params.yaml", "red", "blue")


def edit_an_output_and_its_lock(scripts: Project) -> None:
    edit_with_lock(scripts, "reports/metrics.json", '{"accuracy": 0.9, "painted": "by hand"}')


def edit_with_lock(scripts: Project, name: str, content: str) -> None:
    before = md5_and_size(scripts.folder / name)
    (scripts.folder / name).write_text(content)
    replace(scripts, "dvc.lock", before, md5_and_size(scripts.folder / name))


def md5_and_size(path: Path) -> str:
    content = path.read_bytes()
    return f"md5: {hashlib.md5(content).hexdigest()}\n      size: {len(content)}\n"


@pytest.mark.parametrize(
    ("plant", "stage"),
    [
        (write_the_time, "plot"),
        pytest.param(read_an_undeclared_parameter, "plot", marks=pytest.mark.slow),
        pytest.param(edit_an_output_and_its_lock, "evaluate", marks=pytest.mark.slow),
    ],
)
def test_planted_fault_is_caught_and_named(
    scripts: Project, plant: Callable[[Project], None], stage: str
) -> None:
    plant(scripts)
    expect_fault(scripts, stage)


def expect_fault(project: Project, stage: str) -> None:
    assert "up to date" in project.run("dvc", "status")
    project.commit("Fault")
    facts = verify(project, status=1)
    assert facts["verdict"] == "not reproduced"
    assert facts["first_difference"] == stage
    assert facts["changed_meanwhile"] is None
    assert f"first of stage {stage!r}, whose inputs are the same" in facts["sentence"]
    first = next(output for output in facts["outputs"] if not output["same"])
    assert first["stage"] == stage


@pytest.mark.slow
def test_seed_that_is_not_applied_is_caught_and_named(reproduced: Project) -> None:
    old, new = "seed=params.seed", 'seed=__import__("secrets").randbelow(1000)'
    replace(reproduced, "pipeline/training/loop.py", old, new)
    reproduced.repro()
    expect_fault(reproduced, "train")


@pytest.mark.slow
def test_lock_from_other_data_is_caught_and_named(reproduced: Project, tmp_path: Path) -> None:
    mirror = tmp_path / "other data"
    mirror.mkdir()
    for part, count in (("train", 1300), ("test", 200)):
        images, labels = synthetic_digits(count, seed=7)
        write_idx(mirror / NAMES[f"{part}_images"], images)
        write_idx(mirror / NAMES[f"{part}_labels"], labels)
    params = (reproduced.folder / "params.yaml").read_text()
    old = YAML(typ="safe").load(params)["download"]
    reproduced.edit_params(lambda params: use_small_data(params, mirror, old["mirrors"]))
    reproduced.repro(MNIST_MIRROR=str(mirror))
    (reproduced.folder / "params.yaml").write_text(params)
    for role, file in old["files"].items():
        replace(reproduced, "dvc.lock", sha256(mirror / NAMES[role]), file["sha256"])
    expect_fault(reproduced, "download")


def test_stage_that_writes_nothing_does_not_live_on_the_committed_report(scripts: Project) -> None:
    (scripts.folder / "plot.py").write_text("")
    scripts.run("dvc", "commit", "--force", "plot")
    scripts.commit("Fault")
    assert error(scripts).endswith(
        "does not run in a clean clone: dvc repro ended with exit code 255; its message stands "
        "above"
    )


def test_dependency_that_changes_while_its_stage_runs_is_named(scripts: Project) -> None:
    scripts.append("plot.py", "Path('room/sizes.py').open('a').write('#')\n")
    scripts.repro()
    # DVC has hashed the folder as it is now, and ties the figures to it.
    assert "up to date" in scripts.run("dvc", "status")
    scripts.commit("Fault")
    output = call(scripts, "verify", "--format", "markdown", status=1)
    assert "Running stage 'train'" in output
    page = output[output.index("**HEAD (") :]
    assert "Not reproduced: room, on which stage 'plot' depends, changed during the run" in page
    assert "| stage    | output " in page
    assert page.count("| yes ") == 6
    assert "The environment is the same." in page
    assert "Identical: both give all 1,000 images the same class" in page


def test_lock_that_is_missing_or_stale_is_refused(scripts: Project) -> None:
    def refused(edit: Callable[[], object]) -> str:
        scripts.run("git", "checkout", "--quiet", "main")
        edit()
        scripts.run("git", "checkout", "--quiet", "--detach")
        scripts.commit("Stale")
        message = error(scripts)
        assert message.startswith("verify: HEAD (")
        return message.partition("): ")[2]

    stale = "dvc.lock is stale, it is not of the files committed with it: "
    advice = ". Run `dvc repro` and commit what it changes."
    assert refused(lambda: replace(scripts, "params.yaml", "3", "4")) == (
        f"{stale}prepare (params.yaml: length modified){advice}"
    )
    assert refused(lambda: scripts.append("train.py", "# A comment.\n")) == (
        f"{stale}train (train.py modified){advice}"
    )
    assert refused(lambda: scripts.append("room/sizes.py", "# A comment.\n")) == (
        f"{stale}plot (room modified){advice}"
    )
    assert refused(lambda: scripts.append("reports/figures/legend.txt", "!")) == (
        f"{stale}plot (reports/figures modified){advice}"
    )
    # Half of the pipeline run: the rest is about another model.
    assert refused(lambda: run_half(scripts)) == (
        f"{stale}evaluate (model.txt modified), plot (model.txt modified){advice}"
    )
    # Without the record of the environment, any difference would pass for another one's.
    assert refused(lambda: scripts.run("git", "rm", "-q", "reports/environment.json")) == (
        f"{stale}train (reports/environment.json deleted){advice}"
    )
    assert refused(lambda: replace(scripts, "dvc.yaml", "python plot", "python -B plot")) == (
        f"{stale}plot (changed command){advice}"
    )
    assert "dvc: unable to read: '" in refused(lambda: scripts.append("dvc.yaml", "]"))
    assert "not a lock file of DVC" in refused(lambda: scripts.append("dvc.lock", "]"))
    assert refused(lambda: scripts.run("git", "rm", "--quiet", "dvc.lock")) == (
        "no dvc.lock there, so there is nothing to verify"
    )
    # DVC keeps entries of stages that are no more, and calls the pipeline up to date.
    scripts.run("git", "checkout", "--quiet", "main")
    scripts.run("dvc", "checkout")
    text = (scripts.folder / "dvc.yaml").read_text()
    (scripts.folder / "dvc.yaml").write_text(text[: text.index("  plot:")])
    assert "up to date" in scripts.run("dvc", "status")
    scripts.commit("No plot")
    assert error(scripts).endswith(
        "dvc.lock is stale, since it has other entries than the pipeline: plot (model.txt), "
        "plot (plot.py), plot (reports/figures), plot (room). `rm dvc.lock && dvc repro` writes "
        "it anew."
    )
    assert error(scripts, "nonsense") == "verify: 'nonsense': no such revision or experiment"


def run_half(scripts: Project) -> None:
    scripts.edit_params(lambda params: params.update(length=5))
    assert scripts.repro("train") == ["prepare", "train"]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_interruption_leaves_nothing_behind(
    scripts: Project, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = traces(scripts)
    process = scripts.start(*COMMAND, TMPDIR=str(temporary), MACHINE="slow")
    try:
        assert process.stdout
        for line in process.stdout:
            if line == "Training\n":
                break
        process.send_signal(number)
        if number == signal.SIGINT:
            process.send_signal(number)  # the impatient press it twice
        if number != signal.SIGKILL:
            output = finish(process, 128 + number)
            assert "Traceback" not in output
            assert not list(temporary.iterdir())
            wait_for_none_in(temporary)
    finally:
        # Killed, it cannot end what it has started.
        for orphan in processes_in(temporary):
            os.kill(orphan, signal.SIGKILL)
    wait_for_none_in(temporary)
    assert traces(scripts) == before


def wait_for_none_in(folder: Path) -> None:
    """Wait until the processes that work in a folder have ended."""
    deadline = time.monotonic() + PATIENCE
    while processes_in(folder):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def processes_in(folder: Path) -> list[int]:
    """Return the processes that work in a folder."""
    processes = Path("/proc").glob("[0-9]*")
    return [int(process.name) for process in processes if works_in(process, folder)]


def works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink().is_relative_to(folder)
    except OSError:  # it has ended meanwhile
        return False
