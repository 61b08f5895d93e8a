"""Put the runs of the seed study together: three tables, a summary and a picture."""

from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import FiniteFloat
from typing_extensions import TypedDict

from pipeline.evaluation.results import parse_table, read_metrics, write_metrics, write_table
from pipeline.report.figures import save_figure
from pipeline.report.run import Calibration, Decision, OperatingPoints
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.errors import PipelineError, reason
from pipeline.runtime.params import load_section
from pipeline.studies.results.figures import runs_figure
from pipeline.studies.results.rejection import (
    calibration_summary,
    rejection_summary,
    rejection_table,
)
from pipeline.studies.results.study import (
    ERROR_COLUMNS,
    ERRORS_FILE,
    RUN_COLUMNS,
    RUNS_FILE,
    StudyParams,
    parse_study,
    summary,
)

DPI = 150


class RunFacts(TypedDict):
    """The measures of a run, as far as they are read here."""

    recipe: str
    seed: int
    parameters: int
    validation_accuracy: FiniteFloat
    test_accuracy: FiniteFloat
    test_images: int
    operating_points: OperatingPoints
    calibration: Calibration
    rejection: dict[str, Decision]
    environment: dict[str, Any]


def summarise(
    params: StudyParams,
    *,
    runs: Path = Path("runs"),
    runs_table: Path = Path(RUNS_FILE),
    errors_table: Path = Path(ERRORS_FILE),
    rejection: Path = Path("rejection.csv"),
    summary_file: Path = Path("summary.json"),
    picture: Path = Path("runs.png"),
) -> None:
    """Write the tables, the summary and the picture of all runs.

    Raises:
        PipelineError: Runs are damaged, or not all of one network, environment and test set.
        OSError: A run is missing, or a file cannot be written.
    """
    pairs = [(recipe, seed) for recipe in params.recipes for seed in params.seeds]
    facts, errors = zip(*(read_run(runs, *pair) for pair in pairs), strict=True)
    for key in ("parameters", "environment"):
        odd = [run for run in facts if run[key] != facts[0][key]]
        if odd:
            raise PipelineError(
                f"{runs}: {odd[0]['recipe']}-{odd[0]['seed']} has other {key} than "
                f"{facts[0]['recipe']}-{facts[0]['seed']}, as {len(odd)} runs have: run all of one "
                "network in one environment, with `dvc repro --force` in studies/"
            )
    runs_rows = pd.DataFrame(facts)[RUN_COLUMNS].to_csv(index=False, lineterminator="\n")
    write_text(runs_table, runs_rows)
    write_text(errors_table, pd.concat(errors).to_csv(index=False, lineterminator="\n"))
    study = parse_study(runs_table.read_bytes(), errors_table.read_bytes(), "the study")
    decisions = rejection_table(facts)
    write_table(rejection, decisions)
    decided, calibrated = rejection_summary(decisions), calibration_summary(facts)
    values = {
        recipe: found | {"calibration": calibrated[recipe], "rejection": decided[recipe]}
        for recipe, found in summary(study).items()
    }
    write_metrics(summary_file, values)
    save_figure(runs_figure(study.runs), picture, DPI)


def read_run(runs: Path, recipe: str, seed: int) -> tuple[RunFacts, pd.DataFrame]:
    """Return the measures of a run, and the images that it gets wrong, as ``ERROR_COLUMNS``.

    Raises:
        PipelineError: Its files are damaged, or another run's.
        OSError: One of them cannot be read.
    """
    file = runs / f"{recipe}-{seed}.json"
    facts = read_metrics(file, RunFacts)
    thresholds = facts["operating_points"]["thresholds"]
    if (facts["recipe"], facts["seed"]) != (recipe, seed) or thresholds.keys() != facts[
        "rejection"
    ].keys():
        raise PipelineError(f"{file}: not the file of this run")
    table = file.with_suffix(".csv")
    try:
        errors = parse_table(table.read_bytes()).assign(recipe=recipe, seed=seed)
        return facts, errors[ERROR_COLUMNS]
    except (ValueError, KeyError) as error:
        raise PipelineError(f"{table}: not the errors of a run: {reason(error)}") from error


def main() -> None:
    """Parse the command line, which knows only ``--help``, and put the runs together."""
    stage_parser("summarise", "study").parse_args()
    run_checked("summarise", summarise, lambda: (load_section("study", StudyParams),))


if __name__ == "__main__":
    main()
