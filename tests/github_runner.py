"""GitHub's side of a workflow, on this machine: jobs in their order, steps run for real by bash.

Of the actions, those that the workflows use are played: a checkout is a real clone of a real
repository, artifacts are real folders. Of the language of expressions, what they use is known;
anything else is an error, so that nothing passes for run that was not.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import PATIENCE, start
from ruamel.yaml import YAML

SHELL = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail"]
TOKENS = re.compile(r"\s*('(?:[^']|'')*'|&&|\|\||==|!=|!|\(|\)|,|[A-Za-z_][\w.*-]*|\d+)")


def lookup(way: str, contexts: dict[str, Any]) -> Any:
    """Return what a way such as ``github.event.label.name`` leads to; nothing is ''."""
    name, *parts = way.split(".")
    assert name in contexts, f"unknown context: {way}"
    value: Any = contexts[name]
    for part in parts:
        if part == "*":
            value = value or []
        elif isinstance(value, list):
            value = [one.get(part, "") for one in value]
        else:
            value = value.get(part, "") if isinstance(value, dict) else ""
    return value


def evaluate(expression: str, contexts: dict[str, Any]) -> Any:
    """Return an expression's value, as GitHub documents it."""
    functions = {"fromJSON": json.loads, "contains": lambda where, what: what in where}
    operators = {"&&": " and ", "||": " or ", "!": " not ", "true": "True", "false": "False"}
    python, position = [], 0
    while position < len(expression.rstrip()):
        match = TOKENS.match(expression, position)
        assert match, f"not understood: {expression[position:]!r}"
        token, position = match[1], match.end()
        followed_by_call = expression[position:].lstrip().startswith("(")
        if token in operators:
            python.append(operators[token])
        elif token[0].isalpha() and followed_by_call:
            assert token in functions, f"unknown function: {token}"
            python.append(f"functions[{token!r}]")
        elif token[0].isalpha() or token[0] == "_":
            python.append(f"lookup({token!r}, contexts)")
        elif token[0] == "'":
            python.append(repr(token[1:-1].replace("''", "'")))
        else:
            python.append(token)
    # `and` and `or` of Python choose as those of GitHub do, and '' is false in both.
    names = {"functions": functions, "lookup": lookup, "contexts": contexts}
    return eval("".join(python), {"__builtins__": {}}, names)


def filled(text: Any, contexts: dict[str, Any]) -> str:
    """Return a text of the workflow with the values of its expressions."""

    def written(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)

    def value(match: re.Match[str]) -> str:
        return written(evaluate(match[1].strip(), contexts))

    return re.sub(r"\$\{\{(.*?)\}\}", value, written(text))


@dataclass
class Job:
    """How a job ended.

    Attributes:
        result: "success", "failure" or "skipped".
        outputs: Its outputs.
        steps: The names of its steps that ran, the last one being that which failed.
        log: All that they printed.
        summary: What they wrote into the summary.
        workspace: Its working folder.
    """

    result: str
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)
    log: str = ""
    summary: str = ""
    workspace: Path | None = None


def filled_all(texts: dict[str, Any], contexts: dict[str, Any]) -> dict[str, str]:
    return {key: filled(text, contexts) for key, text in texts.items()}


def runner_variables(machine: Path, github: dict[str, Any]) -> dict[str, str]:
    """Return the variables that GitHub sets, and those that keep machines apart on this one."""
    return {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_API_URL": github.get("api_url", ""),
        "GITHUB_EVENT_NAME": github["event_name"],
        "GITHUB_REPOSITORY": github["repository"],
        "GITHUB_RUN_ID": "4711",
        "GITHUB_WORKSPACE": str(machine / "work"),
        "RUNNER_TEMP": str(machine / "temp"),
        "HOME": str(machine / "home"),
        "DVC_SITE_CACHE_DIR": str(machine / "dvc"),
    }


def run_script(
    script: str, machine: Path, variables: dict[str, str], job: Job
) -> dict[str, str] | None:
    """Run a step's script, and return its outputs; None if it fails.

    What it adds to the PATH holds for later steps.
    """
    assert "${{" not in script, "an expression in a shell script"
    (machine / "step.sh").write_text(script)
    path, output, summary = (machine / name for name in ("path", "output", "summary"))
    path.touch()
    output.write_text("")
    added = reversed(path.read_text().split())
    environment = variables | {
        "GITHUB_OUTPUT": str(output),
        "GITHUB_PATH": str(path),
        "GITHUB_STEP_SUMMARY": str(summary),
        "PATH": os.pathsep.join([*added, variables["PATH"]]),
    }
    process = start([*SHELL, str(machine / "step.sh")], machine / "work", environment)
    job.log += process.communicate(timeout=PATIENCE)[0]
    job.summary = summary.read_text() if summary.exists() else ""
    lines = output.read_text().splitlines()
    return None if process.returncode else dict(line.split("=", 1) for line in lines)


@dataclass
class GitHub:
    """A repository on GitHub, with its runners.

    Attributes:
        origin: The bare repository.
        folder: For what runners need.
        environment: Variables of every runner's machine.
        variables: Those set in the repository's settings.
        secrets: Likewise.
        name: Of the repository.
    """

    origin: Path
    folder: Path
    environment: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Any] = field(default_factory=dict)
    name: str = "owner/digits"
    artifacts: dict[str, Path] = field(default_factory=dict)

    def run(self, workflow: Path, github: dict[str, Any], **inputs: Any) -> dict[str, Job]:
        """Run a workflow's jobs for an event and return how they ended."""
        definition = YAML(typ="safe").load(workflow)
        assert definition["defaults"]["run"]["shell"] == "bash"
        github = {"repository": self.name, "token": "token", **github}
        contexts: dict[str, Any] = {
            "github": github,
            "inputs": inputs,
            "vars": self.variables,
            "secrets": self.secrets,
            "needs": {},
        }
        jobs: dict[str, Job] = {}
        for name, job in definition["jobs"].items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            contexts["needs"] = {
                need: {"outputs": jobs[need].outputs, "result": jobs[need].result} for need in needs
            }
            done = all(jobs[need].result == "success" for need in needs)
            if not done or not evaluate(job.get("if", "true"), contexts):
                jobs[name] = Job("skipped")
                continue
            jobs[name] = self.job(name, job, definition.get("env", {}), contexts)
        return jobs

    def job(
        self, name: str, job: dict[str, Any], workflow_env: dict[str, Any], contexts: dict[str, Any]
    ) -> Job:
        """Run a job's steps on a new machine, up to the first that fails."""
        machine = self.folder / f"{len(list(self.folder.glob('*-runner')))}-{name}-runner"
        for folder in ("temp", "work"):
            (machine / folder).mkdir(parents=True)
        done = Job("success", workspace=machine / "work")
        contexts = {**contexts, "runner": {"temp": str(machine / "temp")}, "steps": {}}
        assert filled(job["runs-on"], contexts)
        environment = self.environment | runner_variables(machine, contexts["github"])
        for level in (workflow_env, job.get("env", {})):
            environment |= filled_all(level, contexts)
        contexts["env"] = environment
        for step in job["steps"]:
            if not evaluate(step.get("if", "true"), contexts):
                continue
            done.steps.append(step.get("name", step.get("uses", "").partition("@")[0]))
            if "uses" in step:
                given = filled_all(step.get("with", {}), contexts)
                succeeded = self._action(step["uses"], given, machine / "work", done)
            else:
                variables = environment | filled_all(step.get("env", {}), contexts)
                outputs = run_script(step["run"], machine, variables, done)
                contexts["steps"][step.get("id")] = {"outputs": outputs}
                succeeded = outputs is not None
            if not succeeded and not step.get("continue-on-error"):
                done.result = "failure"
                return done
        done.outputs = filled_all(job.get("outputs", {}), contexts)
        return done

    def _action(self, action: str, given: dict[str, str], work: Path, job: Job) -> bool:
        """Play an action, and return whether it succeeded."""
        match action.partition("@")[0]:
            case "actions/checkout":
                self._checkout(given, work)
            case "actions/setup-python":
                assert given["python-version"]
            case "actions/upload-artifact":
                name, source = given["name"], Path(given["path"])
                assert source.is_file(), source
                assert name not in self.artifacts or given.get("overwrite") == "true"
                kept = self.folder / f"artifact-{name}"
                kept.mkdir(exist_ok=True)
                self.artifacts[name] = Path(shutil.copy(source, kept))
            case "actions/download-artifact":
                if given["name"] not in self.artifacts:
                    job.log += "Artifact not found\n"
                    return False
                Path(given["path"]).mkdir(parents=True, exist_ok=True)
                shutil.copy(self.artifacts[given["name"]], given["path"])
            case _:
                raise AssertionError(f"unknown action: {action}")
        return True

    def _checkout(self, given: dict[str, str], work: Path) -> None:
        """Check out as the action does: a detached head, all branches only with all history."""
        depth = int(given.get("fetch-depth", 1))
        refs = [given["ref"]] if given.get("ref") else ["HEAD"]
        if depth == 0:
            refs.append("+refs/heads/*:refs/remotes/origin/*")
        shallow = [f"--depth={depth}"] if depth else []
        for command in (
            ["init", "--quiet", "--initial-branch=main"],
            ["remote", "add", "origin", f"file://{self.origin}"],
            ["fetch", "--quiet", "--no-tags", *shallow, "origin", *refs],
            ["checkout", "--quiet", "--detach", given.get("ref") or "FETCH_HEAD"],
        ):
            subprocess.run(["git", *command], cwd=work, env=self.environment, check=True)


def machine_environment(folder: Path) -> dict[str, str]:
    """Return the variables of a runner's machine, on which all packages are there already.

    They are in the folder of these tests' Python, so that installing them needs no network; pip
    is there too, so that a new environment need not get its own, which takes seconds.
    """
    packages = next(path for path in sys.path if path.endswith("site-packages"))
    python = folder / "bin/python"
    python.parent.mkdir()
    python.write_text(f"""#!/bin/sh
case "$1 $2" in "-m venv") exec {sys.executable} -m venv --without-pip "$3" ;; esac
exec {sys.executable} "$@"
""")
    python.chmod(0o700)
    kept = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    return kept | {
        "PATH": os.pathsep.join(
            [str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
        "PYTHONPATH": packages,
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }
