"""Put the runs of the seed study together: two tables, a summary and a picture."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, NonNegativeInt

from pipeline.figures import save_figure
from pipeline.stage import PipelineError, Section, run_stage
from pipeline.study import ERROR_COLUMNS, ERRORS_FILE, RUN_COLUMNS, RUNS_FILE, parse_study, summary
from pipeline.study_figures import runs_figure

DPI = 150


class SummariseParams(Section):
    """Section ``summarise`` of ``studies/params.yaml``."""

    recipes: list[str] = Field(min_length=1)
    seeds: list[NonNegativeInt] = Field(min_length=2)


def summarise(
    params: SummariseParams,
    *,
    runs: Path = Path("studies/runs"),
    runs_table: Path = Path(RUNS_FILE),
    errors_table: Path = Path(ERRORS_FILE),
    summary_file: Path = Path("studies/summary.json"),
    picture: Path = Path("studies/runs.png"),
) -> None:
    """Write what the runs of every recipe with every seed come to.

    Raises:
        PipelineError: Runs are damaged, or not of the same test images.
        OSError: A run is missing.
    """
    pairs = [(recipe, seed) for recipe in params.recipes for seed in params.seeds]
    facts, errors = zip(*(read_run(runs, *pair) for pair in pairs), strict=True)
    pd.DataFrame(facts).to_csv(runs_table, index=False, lineterminator="\n")
    pd.concat(errors).to_csv(errors_table, index=False, lineterminator="\n")
    study = parse_study(runs_table.read_bytes(), errors_table.read_bytes(), "the study")
    text = json.dumps(summary(study), indent=2) + "\n"
    summary_file.write_text(text, encoding="utf-8", newline="\n")
    save_figure(runs_figure(study.runs), picture, DPI)


def read_run(runs: Path, recipe: str, seed: int) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return what a run came to, as a row of the one table, and its errors, as rows of the other.

    Raises:
        PipelineError: Its files are damaged.
        OSError: One of them cannot be read.
    """
    file = runs / f"{recipe}-{seed}.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        errors = pd.read_csv(file.with_suffix(".csv")).assign(recipe=recipe, seed=seed)
        return {column: facts[column] for column in RUN_COLUMNS}, errors[ERROR_COLUMNS]
    except (ValueError, KeyError, TypeError) as error:
        raise PipelineError(f"{file} and .csv: not the files of a run: {error}") from error


if __name__ == "__main__":
    run_stage(summarise, SummariseParams, Path("studies"))
