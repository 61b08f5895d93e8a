"""Say which stages are out of date, and why, without data, cache or remote.

Reads the pipeline in dvc.yaml, dvc.lock, params.yaml, the code and reports/. Writes nothing. Data
that are not here count as dvc.lock has them (`dvc repro` would make or fetch them first); data that
are here are checked. Not looked at are the study, and stages that are frozen or always run.

Examples:
  python -m pipeline stale
  python -m pipeline stale --format json

Exit codes: 0 nothing to run, 1 something to run, 2 error.
"""

from pipeline.history.dvc_command import dvc_environment
from pipeline.history.revisions import PROJECT
from pipeline.history.staleness import Staleness, staleness
from pipeline.tools.command_line import run_tool, show, tool_parser
from pipeline.tools.page import Headline, Page, Table


def _page(found: Staleness) -> Page:
    if not found:
        return [Headline(found.sentence, "good")]
    rows = [[name, reason] for name, reasons in found.reasons.items() for reason in reasons]
    return [Headline(found.sentence, "neutral"), Table("Why", ["stage", "reason"], rows)]


def main() -> int:
    """Parse the command line, look, print, and return the exit code."""
    arguments = tool_parser("stale", __doc__).parse_args()
    found = staleness(PROJECT, dvc_environment())
    facts = {"sentence": found.sentence, "stale": found.reasons, "following": found.following}
    show(_page(found), facts, arguments.format)
    return int(bool(found))


if __name__ == "__main__":
    run_tool("stale", main)
