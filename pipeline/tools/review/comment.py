"""Put a report on the pull requests whose newest commit it is about, as one comment each.

A comment of an earlier report is replaced. It runs in GitHub's CI, with a token that may write
to pull requests: hence with Python alone, without any package. The report may come from a
stranger's branch, so it says nothing of where it goes: the pull request is found by the commit
that GitHub says was run, and no @name in it notifies anybody.
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
from pathlib import Path
from typing import Any

MARKER = "<!-- report of the pipeline -->"
AUTHOR = "github-actions[bot]"
VARIABLES = ["GITHUB_API_URL", "GITHUB_REPOSITORY", "GITHUB_TOKEN"]
PAGE = 100
AT = re.compile(r"@|&(?:#0*64|#x0*40|commat);?", re.IGNORECASE)  # also as HTML writes it
LONGEST = 60_000  # characters; GitHub takes 65,536
TIMEOUT = 30  # seconds


def comment(report: str, owner: str, branch: str, commit: str) -> list[int]:
    """Put a report on the open pull requests from a branch, unless they have left the commit.

    Args:
        report: Markdown.
        owner: Of the repository that the branch is in, which may be a fork.
        branch: Its name.
        commit: Its hash.

    Returns:
        The numbers of the pull requests.

    Raises:
        OSError: GitHub cannot be reached, or refuses.
        HTTPException: It breaks off.
        ValueError: Its answer is no JSON.
        LookupError: Its answer is not what it documents.
        TypeError: Likewise.
    """
    head = urllib.parse.quote(f"{owner}:{branch}", safe="")
    from_branch = _pages(f"pulls?state=open&head={head}")
    pulls = [pull for pull in from_branch if _is_about(commit, pull["head"]["sha"])]
    for pull in pulls:
        comments = _pages(f"issues/{pull['number']}/comments?")
        earlier = [
            one["id"]
            for one in comments
            if (one["user"] or {}).get("login") == AUTHOR and (one["body"] or "").startswith(MARKER)
        ]
        content = {"body": _body(report)}
        if earlier:
            _request("PATCH", f"issues/comments/{earlier[0]}", content)
        else:
            _request("POST", f"issues/{pull['number']}/comments", content)
    return [pull["number"] for pull in pulls]


def _is_about(commit: str, newest: str) -> bool:
    """Return whether a report of a commit is still one of the newest commit of a branch.

    So it is if the newest does no more than follow it: as the one with the results does.
    """
    if newest == commit:
        return True
    return [parent["sha"] for parent in _request("GET", f"commits/{newest}")["parents"]] == [commit]


def _body(report: str) -> str:
    """Return a comment's text: marked, harmless, and not longer than GitHub takes."""
    text = AT.sub("@\N{ZERO WIDTH SPACE}", report)
    if len(text) > LONGEST:
        text = f"(Cut off: the run has all of it.)\n\n{text[:LONGEST]}\n"
    return f"{MARKER}\n{text}"


def _pages(path: str) -> list[Any]:
    """Return the entries of a list of GitHub's, from all of its pages."""
    entries: list[Any] = []
    number = 1
    while True:
        page = _request("GET", f"{path}&per_page={PAGE}&page={number}")
        entries += page
        if len(page) < PAGE:
            return entries
        number += 1


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
    """Parse the command line, comment, and say where."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline comment",
        description=__doc__,
        epilog=f"To be set, as in a workflow: {', '.join(VARIABLES)}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("report", type=Path, help="a file of Markdown")
    parser.add_argument("--owner", required=True, help="of the repository with the branch")
    parser.add_argument("--branch", required=True)
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
    except (LookupError, TypeError) as error:
        sys.exit(f"comment: GitHub's answer is not what it documents: {error!r}")
    print(f"Commented on: {numbers}" if numbers else "No open pull request is at this commit")


if __name__ == "__main__":
    main()
