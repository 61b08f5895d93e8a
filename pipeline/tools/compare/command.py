"""Say whether one model is better than another, worse, or the same within noise.

Compares the predictions of two revisions of the project for the same test images. BASE and
REVISION are branches, tags, commits, or experiments of `dvc exp`. With --recipes, compares two
recipes of the study, by all their seeds.

Reads from Git, without checkout, data or remote: reports/, params.yaml and dvc.lock, with
--recipes runs.csv, errors.csv and dvc.lock in studies/. Writes nothing.

Examples:
  python -m pipeline compare                     the workspace with main, on main with HEAD~1
  python -m pipeline compare main my-branch
  python -m pipeline compare --recipes original champion
  python -m pipeline compare --recipes main:champion champion    main's study with this one

Exit codes: 0 compared; 1 with --fail-if-worse, unless the loss is shown to be less than the
margin; 2 error, also for results that do not hold together, as after `dvc repro train` alone.
Results older than their code are compared all the same, with a warning.
"""

import argparse
import re
from dataclasses import replace

import pandas as pd

from pipeline.evaluation.predictions import PREDICTIONS_FILE, parse_predictions
from pipeline.history.contradictions import refuse_contradictions
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
    """Return how the predictions of two revisions differ, ``margin`` in percentage points.

    Raises:
        PipelineError: A revision has no predictions, or they are for different images.
    """
    return compare_predictions(_predictions(base), _predictions(revision), margin)


def _predictions(revision: Revision) -> pd.DataFrame:
    content = revision.read(PREDICTIONS_FILE)
    if content is None:
        back = "" if revision.commit else "; `dvc repro` or `git checkout reports` brings it back"
        raise PipelineError(f"{revision}: no {PREDICTIONS_FILE} there{back}")
    return parse_predictions(content, f"{revision}: {PREDICTIONS_FILE}")


def main() -> int:
    """Parse the command line, compare, print, and return the exit code."""
    parser = tool_parser("compare", __doc__)
    parser.add_argument("base", nargs="?", metavar="BASE", help="(default: main; on main, HEAD~1)")
    parser.add_argument("revision", nargs="?", metavar="REVISION", help="(default: the workspace)")
    parser.add_argument(
        "--recipes",
        nargs=2,
        metavar=("BASE", "RECIPE"),
        help="compare two recipes of the study instead; REVISION:NAME is the recipe in the study "
        "of that revision",
    )
    add_margin(parser)
    parser.add_argument(
        "--fail-if-worse",
        action="store_true",
        help="exit with 1 unless the lower bound of the difference's 95%% interval is above "
        "minus the margin",
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
    made = provenance(base), provenance(revision)
    comparison = comparison.named(*(found.params for found in made))
    for found in made:
        refuse_contradictions(found, PREDICTIONS_FILE)
    sides = [Side(found.revision, outdated(found)) for found in made]
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
    """Return a recipe with its runs.

    Args:
        name: As the user gave it: of the recipe, or the revision, a colon and the recipe.
    """
    where, _, recipe = name.rpartition(":")
    revision = resolve(where) if where else workspace()
    runs, errors = (revision.read(f"{STUDIES}/{file}") for file in (RUNS_FILE, ERRORS_FILE))
    if runs is None or errors is None:
        raise PipelineError(f"{revision}: no study there: {RUNS_FILE}, {ERRORS_FILE} in {STUDIES}/")
    study = parse_study(runs, errors, f"{revision}: {STUDIES}")
    made = provenance(revision, f"{STUDIES}/{LOCK_FILE}")
    others = re.compile(rf"train@(?!{re.escape(recipe)}-\d+$)")
    lock = {stage: made.lock[stage] for stage in made.lock if not others.match(stage)}
    made = replace(made, lock=lock)
    refuse_contradictions(made, RUNS_FILE)
    return RecipeSide(name, study.correct(recipe), study.known_labels, outdated(made, RUNS_FILE))


if __name__ == "__main__":
    run_tool("compare", main)
