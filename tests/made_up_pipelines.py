"""DVC projects of made-up stages: of all kinds, or as a test wants them."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conftest import ROOT, Project, finish, own_environment, start
from ruamel.yaml import YAML

# Adds up what it reads; so every output depends on all that its stage declares.
SUM = """
import hashlib, pathlib, sys
found = hashlib.md5()
for name in sys.argv[2:]:
    path = pathlib.Path(name)
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            found.update(file.read_bytes())
target = pathlib.Path(sys.argv[1])
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text(found.hexdigest() + "\\n")
"""


def made_up(folder: Path, stages: Mapping[str, Any], **files: str) -> Project:
    """Make a project of those stages, in which there are a few files to read."""
    project = Project(folder / "project", folder / "home")
    project.folder.mkdir(parents=True)
    project.home.mkdir(exist_ok=True)
    inputs = {"in.txt": "in\n", "code/a.py": "a = 1\n", "code/b.py": "b = 2\n", "sum.py": SUM}
    inputs |= {"params.yaml": "a: 1\nb: {c: 2, threads: 1}\n", "other.yaml": "d: 3\n"}
    for name, text in (inputs | files).items():
        (project.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project.folder / name).write_text(text)
    with (project.folder / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": dict(stages)}, file)
    project.run("git", "init", "--quiet")
    project.run("dvc", "init", "--quiet")
    project.run("git", "add", "--all")
    return project


def stages_of_all_kinds(count: int, seed: int) -> dict[str, Any]:
    """Return random stages, each of which reads what some of those before it write."""
    choose = random.Random(seed)
    stages: dict[str, Any] = {}
    written: list[str] = []
    for number in choose.sample(range(count), count):
        reads = choose.sample(written, min(len(written), choose.randint(0, 3)))
        reads += choose.sample(["in.txt", "code"], choose.randint(0 if reads else 1, 2))
        kind = choose.choice(["file", "file", "folder", "metric", "wdir", "matrix", "several"])
        stage, outs = _stage(kind, number, reads, choose)
        if choose.random() < 0.3:
            params = choose.choice([["a"], ["b.c"], [{"other.yaml": ["d"]}], ["b"]])
            stage["params"] = [{"../other.yaml": ["d"]}] if kind == "wdir" else params
        if choose.random() < 0.1:
            stage["always_changed"] = True
        stages[f"s{number}"] = stage
        written += outs
    return dict(choose.sample(sorted(stages.items()), len(stages)))


def _stage(
    kind: str, number: int, reads: list[str], choose: random.Random
) -> tuple[dict[str, Any], list[str]]:
    """Return a stage of a kind, and what it writes."""
    deps = ["sum.py", *reads]
    stage: dict[str, Any]
    read = " ".join(reads)
    match kind:
        case "folder":
            out = f"out/folder{number}"
            command = [f"python sum.py {out}/{name} {read}" for name in ("x/1.txt", "2.txt")]
            return {"cmd": command, "deps": deps, "outs": [out]}, [out]
        case "metric":
            out = f"metrics/{number}.json"
            command = [f"mkdir -p metrics && echo '{{\"m\": {number}}}' > {out}"]
            return {"cmd": command, "deps": deps, "metrics": [{out: {"cache": False}}]}, [out]
        case "wdir":
            out = f"{number}.txt"
            up = " ".join(f"../{name}" for name in reads)
            stage = {
                "wdir": "code",
                "cmd": f"python ../sum.py ../w{out} {up}",
                "deps": [f"../{name}" for name in deps],
                "outs": [f"../w{out}"],
            }
            return stage, [f"w{out}"]
        case "matrix":
            outs = [f"grid/{number}-{one}-{other}.txt" for one in "pq" for other in (0, 1)]
            out = f"grid/{number}-${{item.one}}-${{item.other}}.txt"
            stage = {
                "matrix": {"one": ["p", "q"], "other": [0, 1]},
                "cmd": f"python sum.py {out} {read} && echo ${{item.one}} >> {out}",
                "deps": deps,
                "outs": [out],
            }
            return stage, outs
        case "several":
            outs = [f"out/{number}-a.txt", f"out/{number}-b.txt"]
            commands = "\n".join(f"python sum.py {out} {read}" for out in outs)
            entries: list[Any] = [
                outs[0],
                {outs[1]: choose.choice([{"cache": False}, {"persist": True}])},
            ]
            return {"cmd": commands, "deps": deps, "outs": entries}, outs
    out = f"out/{number}.txt"
    return {"cmd": f"python sum.py {out} {read}", "deps": deps, "outs": [out]}, [out]


WRITE = "python sum.py {} in.txt"


def stage(
    out: str, command: str = "", deps: tuple[str, ...] = (), **more: object
) -> dict[str, object]:
    """Return a stage that writes one file."""
    deps = ("in.txt", "sum.py", *deps)
    return {"cmd": command or WRITE.format(out), "deps": [*deps], "outs": [out], **more}


def gate(folder: Path, out: str) -> tuple[str, Path, Path]:
    """Return a command that waits until it may write a file.

    Returns:
        The command, a file to which it adds a line with its process's number when it has begun, and
        the file that it waits for. Both are in a folder that every process sees.
    """
    begun, go_on = folder / f"{out}.begun", folder / f"{out}.go_on"
    wait = f"echo $$ >> {begun}; until test -e {go_on}; do sleep 0.1; done; "
    return wait + WRITE.format(out), begun, go_on


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    while not condition():
        time.sleep(0.05)


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    """Read what a process prints, until a line has a text in it."""
    assert process.stdout
    assert any(text in line for line in process.stdout)


def lock_text(project: Project) -> str:
    """Return the text of a project's lock file; none where there is none."""
    path = project.folder / "dvc.lock"
    return path.read_text() if path.exists() else ""


def parallel(project: Project, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    """Start the command of this repository in a project that is not a copy of it."""
    return start(
        [sys.executable, "-m", "pipeline.tools.parallel.command", *arguments],
        project.folder,
        variables(project) | environment,
    )


def variables(project: Project) -> dict[str, str]:
    """Return the variables of a user of a project."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return own_environment(project.home) | {"PATH": path, "PYTHONPATH": str(ROOT)}


def run_parallel(project: Project, *arguments: str, status: int = 0, **environment: str) -> str:
    """Run the command, expect its exit code, and return what it printed."""
    return finish(parallel(project, *arguments, **environment), status)


def contents(project: Project) -> dict[str, bytes]:
    """Return all files of a project, and DVC's cache, but for what DVC keeps for itself."""
    files = (file for file in sorted(project.folder.rglob("*")) if file.is_file())
    found = {file.relative_to(project.folder).as_posix(): file for file in files}
    other = (".git/", ".dvc/tmp/", "__pycache__/")
    return {
        name: file.read_bytes()
        for name, file in found.items()
        if not any(f"/{one}" in f"/{name}" for one in other)
    }
