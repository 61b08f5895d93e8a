"""What holds for all of the workflows: what they may do, and what they trust."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML

FILES = sorted((ROOT / ".github/workflows").glob("*"))
WORKFLOWS: dict[str, Any] = {path.name: YAML(typ="safe").load(path) for path in FILES}
JOBS = {
    f"{name}: {job}": definition
    for name, workflow in WORKFLOWS.items()
    for job, definition in workflow["jobs"].items()
}
SUPPORTED = SpecifierSet(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
)


def test_workflows_are_those_that_are_tested() -> None:
    assert list(WORKFLOWS) == ["audit.yaml", "ci.yaml", "report.yaml", "reproduce.yaml"]


def test_actions_are_pinned_by_commit_with_their_version_beside_it() -> None:
    pins: dict[str, set[str]] = {}
    for path in FILES:
        for line in path.read_text().splitlines():
            if "uses:" in line:
                found = re.search(r"uses: ([\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)( |$)", line)
                assert found, line
                pins.setdefault(found[1], set()).add(found[2])
    assert all(len(pin) == 1 for pin in pins.values()), pins
    # Nobody else's code runs beside ours.
    assert {action.partition("/")[0] for action in pins} == {"actions"}


def test_two_jobs_may_write_and_each_one_thing() -> None:
    granted = {
        name: {what for what, level in job["permissions"].items() if level == "write"}
        for name, job in JOBS.items()
    }
    assert {name: what for name, what in granted.items() if what} == {
        "reproduce.yaml: commit": {"contents"},
        "report.yaml: comment": {"pull-requests"},
    }


def test_every_job_has_a_time_limit() -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in JOBS.values())


def test_only_what_comes_from_a_repositorys_own_branches_gets_its_runners_and_secrets() -> None:
    for name, job in JOBS.items():
        if "secrets." in str(job) or "ubuntu-latest" not in str(job.get("runs-on")):
            assert name in {"reproduce.yaml: reproduce", "ci.yaml: test"}
    condition = " ".join(JOBS["reproduce.yaml: reproduce"]["if"].split())
    assert "github.event.pull_request.head.repo.full_name == github.repository" in condition
    assert not any("pull_request_target" in workflow["on"] for workflow in WORKFLOWS.values())


def test_comment_is_made_by_the_default_branchs_code() -> None:
    steps = JOBS["report.yaml: comment"]["steps"]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert [set(step["with"]) for step in checkouts] == [{"persist-credentials"}]
    commands = " ".join(step.get("run", "") for step in steps)
    assert not re.search(r"\bpip\b|\bmake\b", commands)


def test_report_is_fetched_from_the_run_that_has_ended() -> None:
    trigger = WORKFLOWS["report.yaml"]["on"]["workflow_run"]
    assert trigger == {"workflows": [WORKFLOWS["reproduce.yaml"]["name"]], "types": ["completed"]}
    job = JOBS["report.yaml: comment"]
    (fetch,) = (step for step in job["steps"] if "download-artifact" in step.get("uses", ""))
    assert fetch["with"]["run-id"] == "${{ github.event.workflow_run.id }}"
    # Without a token the action looks in its own run only, and without the permission nowhere.
    assert fetch["with"]["github-token"] == "${{ github.token }}"
    assert job["permissions"]["actions"] == "read"


def test_newer_push_cancels_what_an_older_one_computes() -> None:
    concurrency = WORKFLOWS["reproduce.yaml"]["concurrency"]
    assert concurrency["cancel-in-progress"] is True
    assert "github.event.pull_request.number || github.ref" in concurrency["group"]


def test_new_vulnerability_makes_no_pull_request_red() -> None:
    assert set(WORKFLOWS["audit.yaml"]["on"]) == {"schedule", "workflow_dispatch"}
    for name, job in JOBS.items():
        runs_audit = any("make audit" in step.get("run", "") for step in job["steps"])
        assert runs_audit == (name == "audit.yaml: audit")


def test_pythons_are_the_supported_ones() -> None:
    matrix = JOBS["ci.yaml: test"]["strategy"]["matrix"]
    assert matrix["python"] == [f"3.{minor}" for minor in range(30) if f"3.{minor}" in SUPPORTED]
    assert [entry["os"] for entry in matrix["include"]] == ["macos-latest"]
    for job in JOBS.values():
        for step in job["steps"]:
            version = step.get("with", {}).get("python-version", "3.13")
            assert version.startswith("${{ matrix.") or version in SUPPORTED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("make check PYTHON=python", "echo ${{ github.head_ref }}"),
        ("    permissions:\n      contents: read\n", "    permissions: write-all\n"),
        ("checkout@3d3c42e5aac5ba805825da76410c181273ba90b1", "checkout@v7"),
        ("persist-credentials: false", "fetch-depth: 1"),
    ],
)
def test_check_finds_holes(tmp_path: Path, old: str, new: str) -> None:
    """That it finds nothing in ours is worth something only if it would."""
    text = (ROOT / ".github/workflows/ci.yaml").read_text()
    workflow = tmp_path / "ci.yaml"
    zizmor = str(Path(sys.executable).with_name("zizmor"))
    assert old in text
    for content, is_clean in ((text, True), (text.replace(old, new), False)):
        workflow.write_text(content)
        command = [zizmor, "--offline", "--quiet", str(workflow)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (found.returncode == 0) == is_clean, found.stdout
