"""``report.yaml`` and its comment, against a server with GitHub's interface on this machine."""

import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Project, copy_project
from github_runner import GitHub, Job, machine_environment

WORKFLOW = ROOT / ".github/workflows/report.yaml"
HEAD = "a" * 40
BOT = "github-actions[bot]"


class ApiHandler(BaseHTTPRequestHandler):
    """Pull requests and their comments, as GitHub's REST interface documents them."""

    server: "ApiServer"

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if path == "/repos/owner/digits/pulls":
            found = [
                pull
                for pull in self.server.pulls
                if (pull["state"], pull["head"]["label"]) == (asked["state"], asked["head"])
            ]
        elif match := re.fullmatch(r"/repos/owner/digits/issues/(\d+)/comments", path):
            found = [one for one in self.server.comments if one["issue"] == int(match[1])]
        elif match := re.fullmatch(r"/repos/owner/digits/commits/(\w+)", path):
            parents = self.server.parents.get(match[1], [])
            self.answer(200, {"sha": match[1], "parents": [{"sha": sha} for sha in parents]})
            return
        else:
            self.answer(404, {"message": "Not Found"})
            return
        size = int(asked["per_page"])
        start = (int(asked["page"]) - 1) * size
        self.answer(200, found[start : start + size])

    def do_POST(self) -> None:
        match = re.fullmatch(r"/repos/owner/digits/issues/(\d+)/comments", self.path)
        assert match
        self.server.add(int(match[1]), BOT, self.content())
        self.answer(201, {})

    def do_PATCH(self) -> None:
        match = re.fullmatch(r"/repos/owner/digits/issues/comments/(\d+)", self.path)
        assert match
        self.server.comments[int(match[1])]["body"] = self.content()
        self.answer(200, {})

    def content(self) -> str:
        body: str = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]
        assert len(body) <= 65_536
        return body

    def answer(self, status: int, content: Any) -> None:
        if self.headers["Authorization"] != "Bearer token":
            status, content = 401, {"message": "Bad credentials"}
        body = json.dumps(content).encode() if self.server.instead is None else self.server.instead
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class ApiServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ApiHandler)
        self.pulls: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.parents: dict[str, list[str]] = {}
        self.instead: bytes | None = None

    def open(self, number: int, label: str, sha: str = HEAD, state: str = "open") -> None:
        self.pulls.append({"number": number, "state": state, "head": {"label": label, "sha": sha}})

    def add(self, issue: int, author: str, body: str) -> None:
        entry = {"id": len(self.comments), "issue": issue, "user": {"login": author}, "body": body}
        self.comments.append(entry)

    def bodies(self, issue: int) -> list[str]:
        return [one["body"] for one in self.comments if one["issue"] == issue]


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default branch on GitHub."""
    folder = tmp_path_factory.mktemp("origin")
    project: Project = copy_project(folder / "project", folder / "home")
    project.commit("Project")
    project.run("git", "clone", "--quiet", "--bare", ".", str(folder / "origin.git"))
    return folder / "origin.git"


class Run:
    """A run of reproduce.yaml that has ended, for a pull request."""

    def __init__(self, origin: Path, folder: Path, api: ApiServer) -> None:
        # Without the packages of these tests: the comment is to need none.
        environment = machine_environment(folder) | {"PYTHONPATH": "", "PYTHONNOUSERSITE": "1"}
        self.github = GitHub(origin, folder / "github", environment)
        self.github.folder.mkdir()
        self.address = f"http://127.0.0.1:{api.server_address[1]}"
        self.token = "token"

    def report(
        self,
        report: str | None,
        *,
        owner: str = "owner",
        branch: str = "branch",
        conclusion: str = "success",
        event: str = "pull_request",
    ) -> Job:
        self.github.artifacts.clear()
        if report is not None:
            file = self.github.folder / "report.md"
            file.write_text(report)
            self.github.artifacts["report"] = file
        run = {
            "id": 4711,
            "event": event,
            "conclusion": conclusion,
            "head_branch": branch,
            "head_sha": HEAD,
            "head_repository": {"full_name": f"{owner}/digits", "owner": {"login": owner}},
            "html_url": "https://github.example/owner/digits/actions/runs/4711",
        }
        context = {
            "event_name": "workflow_run",
            "event": {"workflow_run": run},
            "api_url": self.address,
            "token": self.token,
        }
        return self.github.run(WORKFLOW, context)["comment"]


@pytest.fixture
def run(origin: Path, tmp_path: Path, api: ApiServer) -> Run:
    return Run(origin, tmp_path, api)


def test_report_becomes_a_comment_and_a_later_one_takes_its_place(run: Run, api: ApiServer) -> None:
    branch = "feature/$(id)&state=closed#ü+1"
    api.open(1, f"owner:{branch}")
    # More comments than GitHub gives at once, some of accounts that were deleted or without text;
    # others' words are left alone, though they begin as ours do.
    for number in range(148):
        api.add(1, "somebody", f"Comment {number}")
    api.comments.append({"id": 148, "issue": 1, "user": None, "body": "Old"})
    api.comments.append({"id": 149, "issue": 1, "user": {"login": BOT}, "body": None})
    assert run.report("**Better** by far\n", branch=branch).result == "success"
    first = api.bodies(1)[-1]
    api.comments[0]["body"] = first
    others = api.bodies(1)[:150]
    assert run.report("**Worse** than ever\n", branch=branch).result == "success"
    assert len(api.bodies(1)) == 151
    assert api.bodies(1)[:150] == others
    body = api.bodies(1)[-1]
    assert "**Better** by far" in first
    assert "**Worse** than ever" in body
    assert "Better" not in body
    assert "[Reproduction](https://github.example/owner/digits/actions/runs/4711)" in body


def test_report_of_a_fork_cannot_choose_where_it_goes_nor_notify_anybody(
    run: Run, api: ApiServer
) -> None:
    api.open(1, "owner:branch")
    api.open(2, "stranger:branch")
    api.open(3, "stranger:branch", state="closed")
    run.report("Ours\n")
    marker = api.bodies(1)[0].splitlines()[0]
    mentions = "@everybody, &#64;all, &#x0040;all, &COMMAT;all"
    hostile = f"{marker}\n{mentions}, see #1\n::set-output name=x::y\n$(touch /tmp/x)`id`\n"
    assert run.report(hostile, owner="stranger").result == "success"
    assert [len(api.bodies(number)) for number in (1, 2, 3)] == [1, 1, 0]
    assert "Ours" in api.bodies(1)[0]
    (body,) = api.bodies(2)
    assert "@everybody" not in body
    assert body.count("@\N{ZERO WIDTH SPACE}") == 4
    assert not re.search("&(#|commat)", body, re.IGNORECASE)
    assert body.startswith(f"{marker}\n")


def test_report_is_shown_until_there_is_a_commit_of_more_than_its_results(
    run: Run, api: ApiServer
) -> None:
    api.open(1, "owner:branch", sha="c" * 40)
    api.parents = {"c" * 40: ["b" * 40], "b" * 40: [HEAD]}
    job = run.report("Late\n")
    assert job.result == "success"
    assert "No open pull request is at this commit" in job.log
    assert api.comments == []
    api.pulls.clear()
    api.open(1, "owner:branch", sha="b" * 40)
    assert run.report("Committed\n").result == "success"
    assert len(api.bodies(1)) == 1


def test_run_that_failed_before_its_report_says_so(run: Run, api: ApiServer) -> None:
    api.open(1, "owner:branch")
    assert run.report(None, conclusion="failure").result == "success"
    (body,) = api.bodies(1)
    assert f"of {HEAD[:7]}: failure." in body
    assert "There is no report." in body


@pytest.mark.parametrize(
    ("conclusion", "event"), [("cancelled", "pull_request"), ("success", "workflow_dispatch")]
)
def test_runs_that_are_no_news_for_a_pull_request_are_passed_over(
    run: Run, conclusion: str, event: str
) -> None:
    assert run.report("Report\n", conclusion=conclusion, event=event).result == "skipped"


def test_long_report_is_cut_and_says_so_first(run: Run, api: ApiServer) -> None:
    api.open(1, "owner:branch")
    run.report("**Better**\n" + "A line of the report\n" * 5000)
    (body,) = api.bodies(1)
    assert body.splitlines()[1] == "(Cut off: the run has all of it.)"
    assert "**Better**" in body


def test_odd_answer_of_github_is_an_error_of_one_line(run: Run, api: ApiServer) -> None:
    api.instead = b"<!DOCTYPE html>"
    job = run.report("Report\n")
    assert job.result == "failure"
    assert job.log.splitlines()[-1].startswith("comment: ")
    assert "Traceback" not in job.log


def test_refusal_of_github_is_told(run: Run, api: ApiServer) -> None:
    api.open(1, "owner:branch")
    run.token = "another"
    job = run.report("Report\n")
    assert job.result == "failure"
    assert "comment: http://127.0.0.1" in job.log
    assert ": 401 Unauthorized" in job.log
    assert "Traceback" not in job.log
