"""Verification with real clones and the real ``dvc``, most of it of a pipeline of small scripts."""

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Project, copied, finish
from in_process import call
from ruamel.yaml import YAML
from scripts import files_of, replace, scripts_project


def verify(
    project: Project, *arguments: str, status: int = 0, **environment: str
) -> dict[str, Any]:
    """Verify with temporary files in a folder of their own, and see that none is left."""
    temporary = project.folder.parent / "temporary"
    temporary.mkdir()
    before = files_of(project)
    arguments = (*arguments, "--format", "json")
    output = call(
        project, "verify", *arguments, status=status, TMPDIR=str(temporary), **environment
    )
    assert files_of(project) == before
    temporary.rmdir()
    return facts_in(output)


def facts_in(output: str) -> dict[str, Any]:
    """Return the result in JSON that follows the progress."""
    facts: dict[str, Any] = json.loads(output[output.index('\n{\n  "verdict"') :])
    return facts


def error(project: Project, *arguments: str) -> str:
    return call(project, "verify", *arguments, status=2).splitlines()[-1]


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
    return scripts_project(tmp_path_factory.mktemp("verify"), PARTS)


@pytest.fixture
def scripts(master: Project, tmp_path: Path) -> Project:
    return copied(master, tmp_path / "scripts")


@pytest.mark.parametrize(
    ("pipeline", "code"),
    [
        ("scripts", "room/colours.py"),
        pytest.param("reproduced", "pipeline/model/network.py", marks=pytest.mark.slow),
    ],
)
def test_reproduced_in_a_bare_clone_under_other_settings(
    request: pytest.FixtureRequest, tmp_path: Path, pipeline: str, code: str
) -> None:
    """Everything at once that must not matter, for a user without data, cache and history."""
    source: Project = request.getfixturevalue(pipeline)
    clone = Project(tmp_path / "clone", tmp_path / "another home")
    address = f"file://{source.folder}"
    source.run("git", "clone", "--quiet", "--depth=1", address, str(clone.folder))
    shared_cache = tmp_path / "shared cache"
    (clone.home / ".config/dvc").mkdir(parents=True)
    (clone.home / ".config/dvc/config").write_text(f"[cache]\n    dir = {shared_cache}\n")
    (clone.home / ".gitconfig").write_text("[core]\n    autocrlf = true\n")
    clone.append(code, "raise SystemExit\n")
    before = files_of(clone)
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
        GIT_DIR=str(source.folder / ".git"),
        GIT_INDEX_FILE=str(source.folder / ".git/index"),
    )
    facts = facts_in(output)
    assert facts["verdict"] == "reproduced"
    assert facts["revision"]["commit"] == source.run("git", "rev-parse", "HEAD").strip()
    assert facts["first_difference"] is None
    assert facts["environment"] == []
    assert all(one["same"] and one["locked"] == one["reproduced"] for one in facts["outputs"])
    stages = YAML(typ="safe").load(source.folder / "dvc.yaml")["stages"]
    assert list(dict.fromkeys(one["stage"] for one in facts["outputs"])) == list(stages)
    assert files_of(clone) == before
    assert not shared_cache.exists()


def test_clone_can_be_kept_of_a_commit_that_no_branch_leads_to(
    scripts: Project, tmp_path: Path
) -> None:
    scripts.run("git", "checkout", "--quiet", "--detach")
    scripts.edit_params(lambda params: params.update(length=4))
    scripts.repro()
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


@pytest.mark.slow
def test_modules_of_the_workspace_are_not_those_of_the_clone(scripts: Project) -> None:
    replace(scripts, "dvc.yaml", "python plot.py", "python -m room.plot")
    replace(scripts, "dvc.yaml", r"\[plot.py, room", "[room")
    (scripts.folder / "plot.py").rename(scripts.folder / "room/plot.py")
    (scripts.folder / "dvc.lock").unlink()
    scripts.repro()
    scripts.commit("Modules")
    replace(scripts, "room/colours.py", "red", "blue")
    path = str(scripts.folder)
    assert verify(scripts, PYTHONPATH=path, PYTHONSAFEPATH="1")["verdict"] == "reproduced"


# Each fault is planted in a project that DVC then calls up to date.


def write_the_time(scripts: Project) -> None:
    replace(scripts, "room/colours.py", '"red"', 'str(__import__("time").time_ns())')
    scripts.repro()


def write_the_time_into_a_folder(scripts: Project) -> None:
    """Of which the next stage depends on a single file."""
    replace(scripts, "prepare.py", '"digit "', 'str(__import__("time").time_ns())')
    replace(scripts, "dvc.yaml", r"\[train.py, data\]", "[train.py, data/x.txt]")
    (scripts.folder / "dvc.lock").unlink()
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
        pytest.param(write_the_time_into_a_folder, "prepare", marks=pytest.mark.slow),
        pytest.param(read_an_undeclared_parameter, "plot", marks=pytest.mark.slow),
        pytest.param(edit_an_output_and_its_lock, "evaluate", marks=pytest.mark.slow),
    ],
)
def test_planted_fault_is_caught_and_named(
    scripts: Project, plant: Callable[[Project], None], stage: str
) -> None:
    plant(scripts)
    assert "up to date" in scripts.run("dvc", "status")
    scripts.commit("Fault")
    facts = verify(scripts, status=1)
    assert facts["verdict"] == "not reproduced"
    assert facts["first_difference"] == stage
    assert facts["changed_meanwhile"] is None
    assert f"first of stage {stage!r}, whose inputs are the same" in facts["sentence"]
    first = next(output for output in facts["outputs"] if not output["same"])
    assert first["stage"] == stage


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

    def run_half() -> None:
        scripts.edit_params(lambda params: params.update(length=5))
        assert scripts.repro("train") == ["prepare", "train"]

    stale = "dvc.lock is stale, it is not of the files committed with it: "
    advice = ". Run `dvc repro` and commit what it changes."
    assert refused(run_half) == (
        f"{stale}evaluate (model.txt modified), plot (model.txt modified){advice}"
    )
    # Without the record of the environment, any difference would pass for another one's.
    assert refused(lambda: scripts.run("git", "rm", "-q", "reports/environment.json")) == (
        f"{stale}train (reports/environment.json deleted){advice}"
    )
    assert refused(lambda: scripts.run("git", "rm", "--quiet", "dvc.lock")) == (
        "no dvc.lock there, so there is nothing to verify"
    )
    # DVC keeps entries of stages that are no more, and calls the pipeline up to date.
    scripts.run("git", "checkout", "--quiet", "main")
    replace(scripts, "dvc.yaml", r"  plot:\n(    .*\n)+", "")
    scripts.commit("No plot")
    assert error(scripts).endswith(
        "dvc.lock is stale, since it has other entries than the pipeline: plot (model.txt), "
        "plot (plot.py), plot (reports/figures), plot (room). `rm dvc.lock && dvc repro` writes "
        "it anew."
    )
    assert error(scripts, "nonsense") == "verify: 'nonsense': no such revision or experiment"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_interruption_leaves_nothing_behind(
    scripts: Project, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    before = files_of(scripts)
    command = ("python", "-m", "pipeline", "verify")
    process = scripts.start(*command, TMPDIR=str(temporary), MACHINE="slow")
    assert process.stdout
    while process.stdout.readline() != "Training\n":
        assert process.poll() is None
    process.send_signal(number)
    process.send_signal(number)  # the impatient press Ctrl-C twice
    # Until nothing that it has started can print any more.
    assert "Traceback" not in finish(process, 128 + number)
    assert not list(temporary.iterdir())
    assert files_of(scripts) == before
