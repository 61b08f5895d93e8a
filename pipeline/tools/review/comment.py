"""Put a report on the pull requests whose newest commit it is about, as one comment on each.

Replaces the comment of an earlier report. Reads the report, and GITHUB_API_URL, GITHUB_REPOSITORY
and GITHUB_TOKEN as a workflow sets them; asks GitHub which open pull requests are at the commit.
Runs with Python alone: no package sees the token, which may write to pull requests.

The report may come from a stranger's branch, so it does not say where it goes, and no @name in it
notifies anybody. `gh pr comment --edit-last` is no way: it needs the pull request's number, which
only the stranger's files could tell, and edits the last comment of any workflow, for all of them
share one author.

Example:
  python -m pipeline comment report.md --owner me --branch my-branch --commit 4c60ab1...

Exit codes: 0 commented, or no open pull request is at the commit; 1 error; 2 wrong arguments.
"""

import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.client import HTTPException
from itertools import count
from pathlib import Path
from typing import Any

MARKER = "<!-- report of the pipeline -->"
AUTHOR = "github-actions[bot]"
VARIABLES = ["GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"]
PAGE = 100  # entries
AT = re.compile(r"@|&(?:#0*64|#x0*40|commat);?", re.IGNORECASE)  # also as HTML writes it
LONGEST = 60_000  # characters; GitHub takes 65,536
TIMEOUT = 30  # seconds


def comment(report: str, owner: str, branch: str, commit: str) -> list[int]:
    """Put a report on the open pull requests from a branch that are at the commit.

    Args:
        report: Markdown.
        owner: Of the repository that the branch is in, which may be a fork.
        branch: Its name.
        commit: Its hash.

    Returns:
        The numbers of the pull requests.

    Raises:
        OSError: GitHub cannot be reached, or refuses.
        HTTPException: GitHub breaks off.
        ValueError: GitHub's answer is no JSON.
    """
    head = urllib.parse.quote(f"{owner}:{branch}", safe="")
    pulls = _pages(f"pulls?state=open&head={head}")
    numbers = [pull["number"] for pull in pulls if _is_about(commit, pull["head"]["sha"])]
    for number in numbers:
        earlier = [
            one["id"]
            for one in _pages(f"issues/{number}/comments?")
            if (one["user"] or {}).get("login") == AUTHOR and (one["body"] or "").startswith(MARKER)
        ]
        method, path = (
            ("PATCH", f"issues/comments/{earlier[0]}")
            if earlier
            else ("POST", f"issues/{number}/comments")
        )
        _request(method, path, {"body": _body(report)})
    return numbers


def _is_about(commit: str, newest: str) -> bool:
    """Return whether a commit is the newest of a branch, or followed by its results only."""
    if newest == commit:
        return True
    return [parent["sha"] for parent in _request("GET", f"commits/{newest}")["parents"]] == [commit]


def _body(report: str) -> str:
    """Return a comment's text: marked, without mentions, and not longer than GitHub takes."""
    text = AT.sub("@\N{ZERO WIDTH SPACE}", report)
    if len(text) > LONGEST:
        text = f"(Cut off: the run has all of it.)\n\n{text[:LONGEST]}\n"
    return f"{MARKER}\n{text}"


def _pages(path: str) -> list[Any]:
    """Return the entries of a list of GitHub's, from all of its pages."""
    entries: list[Any] = []
    for number in count(1):
        page = _request("GET", f"{path}&per_page={PAGE}&page={number}")
        entries += page
        if len(page) < PAGE:
            break
    return entries


def _request(method: str, path: str, content: dict[str, str] | None = None) -> Any:
    """Return the answer of GitHub's interface for the repository."""
    address = f"{os.environ['GITHUB_API_URL']}/repos/{os.environ['GITHUB_REPOSITORY']}/{path}"
    request = urllib.request.Request(  # noqa: S310 (the address is GitHub's own)
        address,
        method=method,
        data=None if content is None else json.dumps(content).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
        return json.load(answer)


def main() -> None:
    """Parse the command line, comment, and print where."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline comment",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=Path, metavar="REPORT", help="a file of Markdown")
    parser.add_argument("--owner", required=True, help="of the repository that has the branch")
    parser.add_argument("--branch", required=True, help="that the report is about")
    parser.add_argument("--commit", required=True, help="that the report is about")
    arguments = parser.parse_args()
    missing = [name for name in VARIABLES if not os.environ.get(name)]
    if missing:
        sys.exit(f"comment: not set: {', '.join(missing)}")
    try:
        report = arguments.report.read_text(encoding="utf-8", errors="replace")
        numbers = comment(report, arguments.owner, arguments.branch, arguments.commit)
    except urllib.error.HTTPError as error:
        sys.exit(f"comment: {error.url}: {error.code} {error.reason}")
    except (OSError, HTTPException, ValueError) as error:
        sys.exit(f"comment: {error}")
    print(f"Commented on: {numbers}" if numbers else "No open pull request is at this commit")


if __name__ == "__main__":
    main()
