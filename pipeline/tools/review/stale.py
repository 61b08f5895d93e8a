"""Say which stages `dvc repro` would have to run, and why, from Git and DVC's metadata alone.

No data, no cache and no remote are needed: data that are not here count as what dvc.lock says
of them. Data that are here are looked at. Of the pipeline in the root's dvc.yaml; a stage that
is frozen, or that runs always, is never out of date.
"""

from pipeline.history.dvc_command import dvc_environment
from pipeline.history.revisions import PROJECT
from pipeline.history.staleness import Staleness, staleness
from pipeline.tools.command_line import run_tool, show, tool_parser
from pipeline.tools.page import Headline, Page, Table


def stale() -> Staleness:
    """Return what has to run in the workspace.

    Raises:
        PipelineError: DVC cannot read the pipeline.
    """
    return staleness(PROJECT, dvc_environment())


def _page(found: Staleness) -> Page:
    if not found:
        return [Headline(found.sentence, "good")]
    rows = [[name, reason] for name, reasons in found.reasons.items() for reason in reasons]
    return [Headline(found.sentence, "neutral"), Table("Why", ["stage", "reason"], rows)]


def main() -> int:
    """Parse the command line, look, print, and return the exit status."""
    parser = tool_parser("stale", __doc__)
    parser.epilog = "Exit status: 0 where nothing has to run, 1 where something has, 2 for errors."
    arguments = parser.parse_args()
    found = stale()
    facts = {"sentence": found.sentence, "stale": found.reasons, "following": found.following}
    show(_page(found), facts, arguments.format)
    return int(bool(found))


if __name__ == "__main__":
    run_tool("stale", main)
