"""Say which stages `dvc repro` would have to run, and why, from Git and DVC's metadata alone.

No data, no cache and no remote are needed: data that are not here count as what dvc.lock says
of them. Data that are here are looked at.
"""

from pipeline.dvc_command import dvc_environment
from pipeline.page import Headline, Page, Table
from pipeline.revisions import PROJECT
from pipeline.staleness import Staleness, staleness
from pipeline.tool import run_tool, show, tool_parser


def stale_page(stale: Staleness) -> Page:
    """Return for people what has to run: all of it in a sentence, then each stage's reasons."""
    if not stale:
        return [Headline(stale.sentence, "good")]
    rows = [[name, reason] for name, reasons in stale.reasons.items() for reason in reasons]
    return [Headline(stale.sentence, "neutral"), Table("Why", ["stage", "reason"], rows)]


def main() -> int:
    """Parse the command line, look, print, and return the exit status."""
    parser = tool_parser("stale", __doc__)
    parser.epilog = "Exit status: 0 where nothing has to run, 1 where something has, 2 for errors."
    arguments = parser.parse_args()
    stale = staleness(PROJECT, dvc_environment())
    facts = {"sentence": stale.sentence, "stale": stale.reasons, "following": stale.following}
    show(stale_page(stale), facts, arguments.format)
    return int(bool(stale))


if __name__ == "__main__":
    run_tool("stale", main)
