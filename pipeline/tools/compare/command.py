"""Say whether a revision's model is better than another's, worse, or the same within noise.

Both are judged by their reports/predictions.csv, which is in Git: neither a checkout nor a
remote is needed. BASE and REVISION are branches, tags, commits or experiments of `dvc exp`.

With --recipes, two recipes are compared by all their seeds in the study of studies/, and the
verdict is to hold for other seeds too. `champion` is the one of the workspace's study,
`main:champion` that of a revision's.
"""

import argparse
import re
from dataclasses import replace

import pandas as pd

from pipeline.evaluation.predictions import PREDICTIONS_FILE, parse_predictions
from pipeline.history.provenance import differences, outdated, provenance
from pipeline.history.revisions import Revision, default_base, resolve, workspace
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LOCK_FILE
from pipeline.studies.results.study import ERRORS_FILE, RUNS_FILE, parse_study
from pipeline.tools.command_line import add_margin, run_tool, show, tool_parser
from pipeline.tools.compare.comparison import Comparison, compare_predictions
from pipeline.tools.compare.page import Side, comparison_facts, comparison_page
from pipeline.tools.compare.recipes import RecipeSide, compare_recipes, recipe_facts, recipe_page

STUDIES = "studies"


def compare(base: Revision, revision: Revision, margin: float) -> Comparison:
    """Return how the predictions of two revisions compare, ``margin`` in percentage points.

    Raises:
        PipelineError: A revision has no predictions, or they are of different images.
    """
    return compare_predictions(_predictions(base), _predictions(revision), margin)


def _predictions(revision: Revision) -> pd.DataFrame:
    content = revision.read(PREDICTIONS_FILE)
    if content is None:
        raise PipelineError(f"{revision}: no {PREDICTIONS_FILE} there")
    return parse_predictions(content, f"{revision}: {PREDICTIONS_FILE}")


def main() -> int:
    """Parse the command line, compare, print, and return the exit status."""
    parser = tool_parser("compare", __doc__)
    parser.epilog = (
        "Exit status: 0; with --fail-if-worse, 1 unless the revision is shown to be no worse than\n"
        "the margin; 2 for errors. Results are judged as they are: that they are out of date is\n"
        "told, but the gate for that is `python -m pipeline stale`."
    )
    parser.add_argument("base", nargs="?", metavar="BASE", help="default: main, on main HEAD~1")
    parser.add_argument(
        "revision", nargs="?", metavar="REVISION", help="default: what lies in the workspace"
    )
    parser.add_argument(
        "--recipes",
        nargs=2,
        metavar=("BASE", "RECIPE"),
        help="compare two recipes instead, by all the seeds of a study",
    )
    add_margin(parser)
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="exit with 1 unless the lower bound of the difference is above minus the margin",
    )
    arguments = parser.parse_args()
    if arguments.recipes and arguments.base:
        parser.error("--recipes takes the place of BASE and REVISION")
    tool = _compare_recipes if arguments.recipes else _compare_revisions
    is_no_worse = tool(arguments)
    return int(arguments.fail_if_worse and not is_no_worse)


def _compare_revisions(arguments: argparse.Namespace) -> bool:
    """Show the comparison of two revisions; return whether the second is no worse."""
    base = default_base() if arguments.base is None else resolve(arguments.base)
    revision = workspace() if arguments.revision is None else resolve(arguments.revision)
    comparison = compare(base, revision, arguments.margin)
    made = [provenance(base), provenance(revision)]
    sides = [
        Side(base, comparison.base, outdated(base, made[0])),
        Side(revision, comparison.revision, outdated(revision, made[1])),
    ]
    result = sides, comparison, differences(*made)
    show(comparison_page(*result), comparison_facts(*result), arguments.format)
    return comparison.is_no_worse


def _compare_recipes(arguments: argparse.Namespace) -> bool:
    """Show the comparison of two recipes; return whether the second is no worse."""
    base, recipe = sides = [_recipe_side(name) for name in arguments.recipes]
    comparison = compare_recipes(base, recipe, arguments.margin)
    show(recipe_page(sides, comparison), recipe_facts(sides, comparison), arguments.format)
    return comparison.is_no_worse


def _recipe_side(name: str) -> RecipeSide:
    """Return a recipe with its runs, ``name`` being as the user gave it."""
    where, _, recipe = name.rpartition(":")
    revision = resolve(where) if where else workspace()
    runs, errors = (revision.read(f"{STUDIES}/{file}") for file in (RUNS_FILE, ERRORS_FILE))
    if runs is None or errors is None:
        raise PipelineError(f"{revision}: no study there: {RUNS_FILE}, {ERRORS_FILE} in {STUDIES}/")
    study = parse_study(runs, errors, f"{revision}: {STUDIES}")
    made = provenance(revision, f"{STUDIES}/{LOCK_FILE}")
    others = re.compile(rf"train@(?!{re.escape(recipe)}-\d+$)")
    lock = {stage: made.lock[stage] for stage in made.lock if not others.match(stage)}
    return RecipeSide(
        name,
        study.correct(recipe),
        study.known_labels,
        outdated(revision, replace(made, lock=lock), RUNS_FILE),
    )


if __name__ == "__main__":
    run_tool("compare", main)
