"""Put the runs of the seed study together: three tables, a summary and a picture."""

from pathlib import Path

import pandas as pd

from pipeline.evaluation.results import parse_table, read_json, write_json, write_table
from pipeline.report.figures import save_figure
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_study
from pipeline.runtime.errors import PipelineError
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
    summary,
)

DPI = 150


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
        PipelineError: Runs are damaged, or not all of one network and environment.
        OSError: A run is missing, or a file cannot be written.
    """
    pairs = [(recipe, seed) for recipe in params.recipes for seed in params.seeds]
    facts = [read_json(runs / f"{recipe}-{seed}.json") for recipe, seed in pairs]
    errors = [
        parse_table((runs / f"{recipe}-{seed}.csv").read_bytes()).assign(recipe=recipe, seed=seed)
        for recipe, seed in pairs
    ]
    for key in ("parameters", "environment"):
        odd = [run for run in facts if run[key] != facts[0][key]]
        if odd:
            raise PipelineError(
                f"{runs}: {odd[0]['recipe']}-{odd[0]['seed']} has other {key} than "
                f"{facts[0]['recipe']}-{facts[0]['seed']}, as {len(odd)} runs have: run all of one "
                "network in one environment, with `dvc repro --force` in studies/"
            )
    rows = pd.DataFrame(facts)[RUN_COLUMNS]
    write_text(runs_table, rows.to_csv(index=False, lineterminator="\n"))
    wrong = pd.concat(errors)[ERROR_COLUMNS]
    write_text(errors_table, wrong.to_csv(index=False, lineterminator="\n"))
    decisions = rejection_table(facts)
    write_table(rejection, decisions)
    decided, calibrated = rejection_summary(decisions), calibration_summary(facts)
    values = {
        recipe: found | {"calibration": calibrated[recipe], "rejection": decided[recipe]}
        for recipe, found in summary(rows).items()
    }
    write_json(summary_file, values)
    save_figure(runs_figure(rows), picture, DPI)


if __name__ == "__main__":
    run_study(summarise, lambda: (load_section("study", StudyParams),))
