"""Report what a branch changed, as one Markdown page: is the result better, worse or noise?

Compared are what lies here and the commit at which the branch left BASE: predictions,
metrics, stages, parameters, environment, code and learning curves, all from Git and DVC's
metadata. Neither data nor a remote is needed.
"""

from pathlib import Path

import pandas as pd

from pipeline.comparison import Comparison, compare_predictions
from pipeline.curves import CURVES_FILE, parse_curves
from pipeline.dvc_command import dvc_environment
from pipeline.page import Page
from pipeline.predictions import PREDICTIONS_FILE, parse_predictions
from pipeline.provenance import differences, outdated, parse_json, provenance
from pipeline.report_page import Results, report_page
from pipeline.revisions import PROJECT, Revision, default_base, merge_base, resolve, workspace
from pipeline.run_log import parse_run_log
from pipeline.stage import PipelineError
from pipeline.staleness import staleness
from pipeline.tool import percentage_points, run_tool, show, tool_parser

METRICS_FILE = "reports/metrics.json"


def report(base: Revision, margin: float, log: str) -> Page:
    """Return what lies in the workspace against a commit that it came from.

    Args:
        base: The commit.
        margin: Of the comparison, in percentage points.
        log: What ``dvc repro`` printed; empty if nobody recorded it.

    Raises:
        PipelineError: A file of either is not what it should be.
    """
    revision = workspace()
    made = [provenance(base), provenance(revision)]
    before, after = (
        Results(
            one,
            outdated(one, origin),
            origin.lock,
            parse_json(one.read(METRICS_FILE), f"{one}: {METRICS_FILE}"),
            _curves(one),
        )
        for one, origin in zip((base, revision), made, strict=True)
    )
    comparison = _compare(base, revision, margin)
    return report_page(
        before,
        after,
        comparison,
        differences(*made),
        stale=staleness(PROJECT, dvc_environment()),
        outcomes=parse_run_log(log),
    )


def _curves(revision: Revision) -> pd.DataFrame | None:
    content = revision.read(CURVES_FILE)
    return None if content is None else parse_curves(content, f"{revision}: {CURVES_FILE}")


def _compare(base: Revision, revision: Revision, margin: float) -> Comparison | str:
    """Return how the predictions compare, or why they cannot be."""
    tables = []
    for one in (base, revision):
        content = one.read(PREDICTIONS_FILE)
        if content is None:
            return f"{one} has no {PREDICTIONS_FILE}"
        tables.append(parse_predictions(content, f"{one}: {PREDICTIONS_FILE}"))
    try:
        return compare_predictions(tables[0], tables[1], margin)
    except PipelineError as error:  # another test set
        return str(error)


def main() -> int:
    """Parse the command line, report, and return the exit status."""
    parser = tool_parser("report", __doc__, formats=False)
    parser.add_argument("base", nargs="?", metavar="BASE", help="default: main, on main HEAD~1")
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="what `dvc repro` printed, to say which stages ran (`dvc repro | tee FILE`)",
    )
    parser.add_argument(
        "--margin",
        type=percentage_points,
        default=0.2,
        metavar="POINTS",
        help="how many percentage points of accuracy may be lost without harm (default: 0.2)",
    )
    arguments = parser.parse_args()
    base = default_base() if arguments.base is None else resolve(arguments.base)
    log = arguments.log.read_text(encoding="utf-8", errors="replace") if arguments.log else ""
    show(report(merge_base(base), arguments.margin, log), {}, "markdown")
    return 0


if __name__ == "__main__":
    run_tool("report", main)
