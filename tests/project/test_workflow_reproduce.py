"""``reproduce.yaml``, run step by step: real clones, real dvc, an S3 server, small data, no GPU."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project, use_remote
from github_runner import SHELL, GitHub, Job, evaluate, filled, machine_environment
from ruamel.yaml import YAML
from s3_server import CREDENTIALS, Bucket

from pipeline.runtime.lock import md5

WORKFLOW = ROOT / ".github/workflows/reproduce.yaml"
CPU = {"REQUIRE_GPU": "0", "REPRODUCE_RUNNER": '["ubuntu-latest"]'}
LABEL = {"name": "commit-results"}


class Hosted:
    """The reproduced project on GitHub, where a branch has an open pull request."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        for path in ROOT.glob("requirements*.lock"):
            shutil.copy(path, project.folder)
        project.commit("Locks")
        self.origin = folder / "origin.git"
        project.run("git", "clone", "--quiet", "--bare", ".", str(self.origin))
        project.run("git", "remote", "add", "origin", str(self.origin))
        project.run("git", "checkout", "--quiet", "-b", "branch")
        self.github = GitHub(self.origin, folder / "github", machine_environment(folder), dict(CPU))
        self.github.folder.mkdir()

    def push(self, edit: Callable[[], object] | None = None) -> None:
        """Commit a change to the branch, by default of words alone, and push it."""
        if edit:
            edit()
        else:
            self.project.append("README.md", "Words\n")
        self.project.commit("Change")
        self.project.run("git", "push", "--quiet", "origin", "branch")

    def head(self, branch: str = "branch") -> str:
        return self.git("rev-parse", branch)

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.origin), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def event(self, *labels: dict[str, str], fork: bool = False) -> dict[str, Any]:
        """Return what GitHub says of a push to the branch of the pull request."""
        repository = "stranger/digits" if fork else self.github.name
        return {
            "event_name": "pull_request",
            "head_ref": "branch",
            "ref": "refs/pull/1/merge",
            "ref_name": "1/merge",
            "event": {
                "pull_request": {
                    "number": 1,
                    "base": {"sha": self.head("main")},
                    "head": {"sha": self.head(), "repo": {"full_name": repository}},
                    "labels": list(labels),
                }
            },
        }

    def run(self, *labels: dict[str, str], fork: bool = False) -> dict[str, Job]:
        self.github.artifacts.clear()
        return self.github.run(WORKFLOW, self.event(*labels, fork=fork))

    def report(self) -> str:
        return self.github.artifacts["report"].read_text()

    def clone(self, folder: Path) -> Project:
        """Return a clone of the branch on another machine."""
        home = folder.with_name(f"home of {folder.name}")
        home.mkdir()
        command = ("git", "clone", "--quiet", "--branch", "branch")
        self.project.run(*command, f"file://{self.origin}", str(folder))
        return Project(folder, home)


@pytest.fixture
def hosted(reproduced: Project, tmp_path: Path) -> Hosted:
    """The project on GitHub, without a remote for its data."""
    return Hosted(reproduced, tmp_path)


@pytest.fixture
def hosted_with_remote(reproduced: Project, tmp_path: Path, bucket: Bucket) -> Hosted:
    """The project on GitHub, with a remote that holds its data."""
    use_remote(reproduced, bucket)
    reproduced.commit("Remote")
    reproduced.run("dvc", "push", **CREDENTIALS)
    hosted = Hosted(reproduced, tmp_path)
    hosted.github.secrets.update(CREDENTIALS)
    return hosted


def results(jobs: dict[str, Job]) -> dict[str, str]:
    return {name: job.result for name, job in jobs.items()}


def set_recipe(project: Project, **values: Any) -> Callable[[], None]:
    return lambda: project.edit_params(lambda params: params["recipes"]["original"].update(values))


def stages(report: str) -> dict[str, str]:
    """Return what the report says of every stage."""
    row = r"^\| (\w+) +\| (.+?) +\| (?:\d of \d differ|the same bytes) +\|$"
    return dict(re.findall(row, report, re.MULTILINE))


def test_changed_parameters_are_reproduced_pushed_and_committed_and_then_nothing_is_stale(
    hosted_with_remote: Hosted, tmp_path: Path
) -> None:
    hosted = hosted_with_remote

    def edit(params: Any) -> None:
        params["evaluate"]["certainty"] = 0.8
        params["plot"]["dpi"] = 60

    hosted.push(lambda: hosted.project.edit_params(edit))
    before = hosted.head()
    jobs = hosted.run(LABEL)
    assert results(jobs) == dict.fromkeys(("stale", "reproduce", "commit"), "success"), jobs
    # Of the data, what the stale stages read and no more.
    workspace = jobs["reproduce"].workspace
    assert workspace
    assert not (workspace / "data/raw").exists()
    report = hosted.report()
    assert stages(report) == dict.fromkeys(("download", "preprocess", "train"), "unchanged") | {
        "evaluate": "ran",
        "export": "ran",
        "plot": "ran",
    }
    assert "Up to date" in report
    assert "| params.yaml | evaluate.certainty" in report
    assert "not committed" not in report
    assert jobs["reproduce"].summary == report
    # One commit, of nothing but results.
    assert hosted.git("rev-parse", "branch~1") == before
    changed = hosted.git("diff", "--name-only", "branch~1", "branch").split()
    assert "reports/figures/errors.png" in changed
    assert {name.partition("/")[0] for name in changed} == {"dvc.lock", "reports"}
    # Another machine has everything, and nothing to do.
    other = hosted.clone(tmp_path / "other")
    other.run("dvc", "pull", **CREDENTIALS)
    assert other.repro() == []
    # Nothing secret was written down.
    for job in jobs.values():
        assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in job.log
    # Nor has CI anything to do, if it is started again: no loop, no rented GPU, and a report.
    jobs = hosted.run(LABEL)
    assert results(jobs) == {"stale": "success", "reproduce": "skipped", "commit": "skipped"}
    report = hosted.report()
    assert report.startswith("**Identical: both give all 200 images the same class")
    compared = f"Before: {hosted.head('main')[:7]}; after: workspace on {hosted.head()[:7]}."
    assert f"{compared} Up to date" in report
    assert jobs["stale"].summary == report
    # Nothing was pulled, and no framework imported: neither is there what they would leave.
    workspace = jobs["stale"].workspace
    assert workspace
    assert not (workspace / "data").exists()
    assert not (workspace / ".dvc/cache").exists()


@pytest.mark.slow
def test_without_remote_and_label_the_results_are_had_by_one_command(
    hosted: Hosted, tmp_path: Path
) -> None:
    hosted.push(lambda: hosted.project.edit_params(lambda params: params["plot"].update(dpi=60)))
    before = hosted.head()
    jobs = hosted.run()
    assert results(jobs) == {"stale": "success", "reproduce": "success", "commit": "skipped"}
    assert "Push data and run cache" not in jobs["reproduce"].steps
    assert hosted.head() == before
    # From the mirrors; and the model that came out is the committed one.
    ran = ["download", "preprocess", "train", "evaluate", "export", "plot"]
    assert stages(hosted.report()) == dict.fromkeys(ran, "ran")
    assert "Identical" in hosted.report()
    # The command of the report, with `gh run download` played by the file that it would fetch.
    command = re.search(
        r"^gh run download .+ -D (\S+) && (git apply .+)$", hosted.report(), re.MULTILINE
    )
    assert command
    other = hosted.clone(tmp_path / "other")
    (other.folder / command[1]).mkdir()
    shutil.copy(hosted.github.artifacts["results"], other.folder / command[1])
    other.run("sh", "-c", command[2])
    assert "Up to date" in other.run("python", "-m", "pipeline", "stale")
    assert other.repro() == ran


def run_step(
    project: Project, name: str, status: int = 0, /, job: str = "reproduce", **environment: str
) -> str:
    """Run one step of a job in a project's folder."""
    steps = YAML(typ="safe").load(WORKFLOW)["jobs"][job]["steps"]
    (script,) = (step["run"] for step in steps if step.get("name") == name)
    return project.run(*SHELL, "-c", script, status=status, **environment)


def test_missing_gpu_fails_before_anything_is_installed(project: Project) -> None:
    if shutil.which("nvidia-smi"):
        pytest.skip("this machine has a GPU; it would have shown the message where there is none")
    job = YAML(typ="safe").load(WORKFLOW)["jobs"]["reproduce"]
    assert job["steps"][0]["name"] == "Show the GPU"
    required = filled(job["env"]["REQUIRE_GPU"], {"vars": {}})
    message = run_step(project, "Show the GPU", 1, REQUIRE_GPU=required)
    assert "::error::REQUIRE_GPU is 1, but this runner has no NVIDIA GPU" in message


@pytest.mark.slow
def test_gpu_that_the_backend_does_not_see_fails_the_run(project: Project) -> None:
    """A driver is there, but not the packages for it."""
    name = "Let the backend find the GPU"
    message = run_step(project, name, 1, REQUIRE_GPU="1", CUDA_VISIBLE_DEVICES="-1")
    assert "REQUIRE_GPU is set, but tensorflow sees no GPU" in message


def test_what_stays_out_of_date_is_damaged_or_not_taken_fails_the_run(
    hosted_with_remote: Hosted, bucket: Bucket, tmp_path: Path
) -> None:
    hosted, project = hosted_with_remote, hosted_with_remote.project
    output = tmp_path / "output"
    variables = {"RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output), "REMOTE": "storage"}
    # The remote is verified even if the project does not ask for it.
    project.run("dvc", "remote", "modify", "--unset", "storage", "verify")
    # DVC takes a deleted report for unchanged where data may be missing.
    hosted.push((project.folder / "reports/metrics.json").unlink)
    runner = hosted.clone(tmp_path / "runner")
    run_step(runner, "Look for a remote", **variables)
    assert output.read_text() == "name=storage\n"
    message = run_step(runner, "Reproduce", 1, **variables, **CREDENTIALS)
    assert "Data and pipelines are up to date." in message
    assert "Out of date. To run: evaluate" in message

    hosted.push(set_recipe(project, epochs=4))
    runner.run("git", "pull", "--quiet")
    key = bucket.key(md5(project.folder / "data/processed/train_images.npy"))
    bucket.change(key, lambda body: body[:200] + bytes([body[200] ^ 1]) + body[201:])
    message = run_step(runner, "Reproduce", 255, **variables, **CREDENTIALS)
    assert "Checkout failed for following targets:\ndata/processed\n" in message
    assert "Running stage" not in message

    # Until data are pushed, nothing is handed out that could be committed.
    (project.folder / "data/model/operating_points.json").chmod(0o644)
    project.append("data/model/operating_points.json", " ")
    project.run("git", "checkout", "--quiet", "main", "--", "reports")
    project.run("dvc", "commit", "--force", "evaluate")
    bucket.server.accepted = 0
    try:
        message = run_step(project, "Push data and run cache", 1, **CREDENTIALS)
    finally:
        bucket.server.accepted = None
    assert "failed to push data to the cloud" in message
    steps = YAML(typ="safe").load(WORKFLOW)["jobs"]["reproduce"]["steps"]
    names = [step.get("name") for step in steps]
    assert names.index("Push data and run cache") < names.index("Collect the results")


@pytest.mark.parametrize("stale", ["true", "false"])
@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("repository", ["owner/digits", "stranger/digits"])
def test_runner_is_for_what_is_stale_and_no_forks(
    repository: str, stale: str, *, by_hand: bool
) -> None:
    pull_request = {"head": {"repo": {"full_name": repository}}}
    contexts = {
        "github": {
            "event_name": "workflow_dispatch" if by_hand else "pull_request",
            "event": {} if by_hand else {"pull_request": pull_request},
            "repository": "owner/digits",
        },
        "needs": {"stale": {"outputs": {"stale": stale}}},
    }
    condition = evaluate(YAML(typ="safe").load(WORKFLOW)["jobs"]["reproduce"]["if"], contexts)
    is_ours = by_hand or repository == "owner/digits"
    assert bool(condition) == (stale == "true" and is_ours)


@pytest.mark.slow
def test_unreachable_remote_fails_and_nothing_is_taken_for_whole(
    hosted_with_remote: Hosted,
) -> None:
    hosted = hosted_with_remote
    gone = "http://127.0.0.1:9"  # the port of the discard protocol, at which nobody listens
    hosted.project.run("dvc", "remote", "modify", "storage", "endpointurl", gone)
    hosted.push(set_recipe(hosted.project, epochs=4))
    before = hosted.head()
    jobs = hosted.run(LABEL)
    assert results(jobs) == {"stale": "success", "reproduce": "failure", "commit": "skipped"}
    assert f'Could not connect to the endpoint URL: "{gone}' in jobs["reproduce"].log
    assert hosted.head() == before
    assert set(hosted.github.artifacts) == {"report"}


def test_report_of_a_run_by_hand_compares_with_main(hosted: Hosted, tmp_path: Path) -> None:
    hosted.push()
    runner = hosted.clone(tmp_path / "runner")
    summary = str(tmp_path / "summary")
    variables = {"RUNNER_TEMP": str(tmp_path), "GITHUB_STEP_SUMMARY": summary, "BASE": ""}
    run_step(runner, "Report", job="stale", **variables)
    report = (tmp_path / "report.md").read_text()
    assert f"Before: origin/main ({hosted.head('main')[:7]}); after: workspace on " in report
    assert (tmp_path / "summary").read_text() == report


@pytest.mark.parametrize("changed", ["true", ""])
@pytest.mark.parametrize("labels", [[], [LABEL], [{"name": "other"}, LABEL], [{"name": "other"}]])
@pytest.mark.parametrize("by_hand", ["", "branch", "tag"])
def test_results_are_committed_if_asked_for_and_the_report_knows(
    by_hand: str, labels: list[dict[str, str]], changed: str
) -> None:
    workflow = YAML(typ="safe").load(WORKFLOW)
    contexts = {
        "github": {"ref_type": by_hand, "event": {"pull_request": {"labels": labels}}},
        "inputs": {"commit": bool(by_hand)},
        "needs": {"reproduce": {"outputs": {"changed": changed}}},
    }
    is_asked_for = by_hand == "branch" or LABEL in labels
    assert filled(workflow["env"]["COMMIT"], contexts) == str(is_asked_for).lower()
    condition = evaluate(workflow["jobs"]["commit"]["if"], contexts)
    assert bool(condition) == (is_asked_for and changed == "true")


def commit_job(hosted: Hosted, patch: str) -> Job:
    """Run the job that commits alone, with a patch that claims to be the results."""
    definition = YAML(typ="safe").load(WORKFLOW)
    file = hosted.github.folder / "results.patch"
    file.write_text(patch)
    hosted.github.artifacts["results"] = file
    contexts = {
        "github": {"repository": hosted.github.name, **hosted.event(LABEL)},
        "inputs": {},
        "vars": {},
        "secrets": {},
        "needs": {},
    }
    return hosted.github.job("commit", definition["jobs"]["commit"], definition["env"], contexts)


def patch_of(hosted: Hosted, *names: str) -> str:
    """Return a patch that adds a line to some files, as a clone of the branch would make it."""
    for name in names:
        hosted.project.append(name, "\n")
    patch = hosted.project.run("git", "diff", "--binary")
    hosted.project.run("git", "checkout", "--quiet", ".")
    return patch


def test_patch_cannot_change_anything_but_results(hosted: Hosted) -> None:
    hosted.push()
    names = ("dvc.lock", "reports/metrics.json", "pipeline/runtime/params.py", "params.yaml")
    assert commit_job(hosted, patch_of(hosted, *names)).result == "success"
    changed = hosted.git("diff", "--name-only", "branch~1", "branch").split()
    assert changed == ["dvc.lock", "reports/metrics.json"]


def test_patch_with_more_than_plain_results_is_refused(hosted: Hosted) -> None:
    hosted.push()
    before = hosted.head()
    for edit in (
        "git mv pipeline/runtime/params.py reports/params.py",
        "ln -s ../../secret reports/link",
        "rm dvc.lock; ln -s .git/config dvc.lock",
        "chmod +x reports/metrics.json",
        "git init -q reports/sub; git -C reports/sub commit -q --allow-empty -m x",
    ):
        hosted.project.run("sh", "-ec", f"{edit}; git add --all 2>&1")
        patch = hosted.project.run("git", "diff", "--cached", "--binary", "--find-renames")
        assert patch
        job = commit_job(hosted, patch)
        assert job.result == "failure", edit
        assert "::error::The results hold more than dvc.lock and plain files in reports/" in job.log
        assert hosted.head() == before
        hosted.project.run("git", "reset", "--quiet", "--hard")
        hosted.project.run("git", "clean", "--quiet", "-dff", "reports")


def test_branch_that_has_moved_on_is_left_alone(hosted: Hosted) -> None:
    hosted.push()
    patch = patch_of(hosted, "dvc.lock")
    event = hosted.event(LABEL)
    hosted.push()
    later = hosted.head()
    hosted.event = lambda *_, **__: event  # type: ignore[method-assign]
    job = commit_job(hosted, patch)
    assert job.result == "failure"
    assert "rejected" in job.log
    assert hosted.head() == later


def test_job_that_may_write_runs_nothing_of_the_branch() -> None:
    jobs = YAML(typ="safe").load(WORKFLOW)["jobs"]
    writers = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writers == {"commit"}
    words = re.findall(r"\w+", " ".join(step.get("run", "") for step in jobs["commit"]["steps"]))
    assert not {"python", "python3", "pip", "make", "dvc repro", "bash", "sh"} & set(words)
