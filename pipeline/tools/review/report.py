"""Report what a branch changed, as one page of Markdown for a pull request.

Compares the workspace with the commit at which the branch left BASE: predictions, metrics,
stages, parameters, environment, code and learning curves. Reads Git, reports/, params.yaml,
dvc.yaml and dvc.lock, without data or remote. Writes the page to standard output only.

Examples:
  python -m pipeline report
  dvc repro | tee repro.log; python -m pipeline report main --log repro.log > report.md

Exit codes: 0 reported, whatever the result; 2 error.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from pipeline.evaluation.predictions import PREDICTIONS_FILE, parse_predictions
from pipeline.history.contradictions import contradictions, listed
from pipeline.history.dvc_command import dvc_environment
from pipeline.history.provenance import (
    differences,
    outdated,
    parse_json,
    parse_mapping,
    provenance,
)
from pipeline.history.revisions import (
    PROJECT,
    WORKSPACE,
    Revision,
    default_base,
    merge_base,
    resolve,
)
from pipeline.history.staleness import staleness
from pipeline.report.curves import CURVES_FILE, parse_curves
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import DVC_FILE
from pipeline.runtime.yaml import parse_yaml
from pipeline.tools.command_line import add_margin, run_tool, tool_parser
from pipeline.tools.compare.comparison import Comparison, compare_predictions
from pipeline.tools.page import Page, as_markdown
from pipeline.tools.review.page import Results, report_page
from pipeline.tools.review.run_log import parse_run_log

T = TypeVar("T")


def report(base: Revision, margin: float, log: str) -> Page:
    """Return how the workspace differs from a commit that it came from.

    Args:
        base: The commit.
        margin: Of the comparison, in percentage points.
        log: The output of ``dvc repro``; empty if it was not recorded.

    Raises:
        PipelineError: Parameters, environment or lock file are malformed, or DVC cannot read the
            pipeline.
    """
    head = str(resolve("HEAD").commit)[:7]
    revisions = base, Revision(f"{WORKSPACE} on {head}", None)
    made = [provenance(revision) for revision in revisions]
    notes: list[str] = []

    def read(revision: Revision, path: str, parse: Callable[[bytes, str], T]) -> T | None:
        """Return a report's content, or None with a note if it is malformed."""
        content = revision.read(path)
        try:
            return None if content is None else parse(content, f"{revision}: {path}")
        except PipelineError as error:
            notes.append(f"Not shown: {error}")
            return None

    before, after = (
        Results(
            revision,
            outdated(origin),
            contradictions(origin, PREDICTIONS_FILE),
            origin.lock,
            {
                Path(path).stem: content
                for path in _metrics(revision)
                if (content := read(revision, path, parse_json))
            },
            read(revision, CURVES_FILE, parse_curves),
        )
        for revision, origin in zip(revisions, made, strict=True)
    )
    predictions = [read(revision, PREDICTIONS_FILE, parse_predictions) for revision in revisions]
    return report_page(
        before,
        after,
        _compare(revisions, predictions, [found.params for found in made], margin),
        differences(*made),
        stale=staleness(PROJECT, dvc_environment()),
        outcomes=parse_run_log(log),
        notes=notes,
    )


def _metrics(revision: Revision) -> list[str]:
    """Return the files that ``dvc.yaml`` lists as metrics, as ``dvc metrics`` shows them."""
    name = f"{revision}: {DVC_FILE}"
    pipeline = parse_mapping(parse_yaml, revision.read(str(DVC_FILE)), name)
    try:
        groups = [pipeline, *(pipeline.get("stages") or {}).values()]
        return [path for group in groups for path in listed(group, "metrics")]
    except (AttributeError, TypeError) as error:
        raise PipelineError(f"{name}: a stage is malformed") from error


def _compare(
    revisions: Sequence[Revision],
    predictions: Sequence[pd.DataFrame | None],
    params: Sequence[Mapping[str, Any]],
    margin: float,
) -> Comparison | str:
    """Return how the predictions differ, or why they cannot be compared."""
    before, after = predictions
    if before is None or after is None:
        lacking = revisions[0] if before is None else revisions[1]
        return f"{lacking} has no {PREDICTIONS_FILE} that can be read"
    try:
        return compare_predictions(before, after, margin).named(*params)
    except PipelineError as error:  # another test set
        return str(error)


def main() -> int:
    """Parse the command line, report, and return the exit code."""
    parser = tool_parser("report", __doc__, formats=False)
    parser.add_argument(
        "base",
        nargs="?",
        metavar="BASE",
        help="branch, tag, commit, or experiment of `dvc exp` (default: main; on main, HEAD~1)",
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="output of `dvc repro`, which says which stages ran (default: none)",
    )
    add_margin(parser)
    arguments = parser.parse_args()
    base = default_base() if arguments.base is None else resolve(arguments.base)
    log = arguments.log.read_text(encoding="utf-8", errors="replace") if arguments.log else ""
    print(as_markdown(report(merge_base(base), arguments.margin, log)), end="")
    return 0


if __name__ == "__main__":
    run_tool("report", main)
