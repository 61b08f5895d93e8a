"""Compare settings of a recipe on the validation images; the test images are not read.

The settings, and the recipe that they differ from, stand in studies/params.yaml, section search.
Each setting is trained with each seed. A training adds a row to studies/search.csv: backend,
network, seed, threads and recipe in full, then the loss and the accuracy on the validation images
at its end. What has a row is not trained again, so an interrupted search goes on where it was. Code
and data are not part of a row: after a change of those, delete the file.

With --jobs or --scheduler several trainings run at once, each in a folder of its own and with as
many slots as train.threads says (docs/scaling.md).
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from pydantic import ConfigDict, Field, ValidationError

from pipeline.jobs.job import Job
from pipeline.jobs.options import base_job, open_executor, parse_arguments
from pipeline.jobs.pool import FinishedJob, Pool
from pipeline.jobs.sandbox import FILES, OUTPUT, file_entry, remove_sandbox
from pipeline.model.backend import keras, pin
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import clear_ending
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import load_examples
from pipeline.runtime.params import PARAMS_FILE, PIPELINE_PARAMS, Section, load_section
from pipeline.studies.results.study import Seeds
from pipeline.training.distortion import Strength
from pipeline.training.loop import TrainParams, train_network
from pipeline.training.recipe import Recipe

SCORES = ["val_loss", "val_accuracy"]
ROW = "row.json"  # where a training that runs apart leaves its row

Row = dict[str, str]
Trainings = Callable[[Sequence[TrainParams], Sequence[int]], Iterator[tuple[int, Row]]]


class Setting(Section):
    """What is tried: each key but ``seeds`` overrides one of the base recipe.

    Attributes:
        seeds: It is trained with each of them; None takes those of all settings.
    """

    model_config = ConfigDict(extra="allow")

    seeds: Seeds | None = None


class SearchParams(Section):
    """Section ``search`` of ``studies/params.yaml``.

    Attributes:
        base: The recipe that the settings differ from.
        seeds: Every setting is trained with each of them, unless it names its own.
        settings: What is tried.
    """

    base: str
    seeds: Seeds
    settings: list[Setting] = Field(min_length=1)


def search(
    params: SearchParams,
    trainings: Trainings | None = None,
    *,
    table: Path = Path("search.csv"),
) -> None:
    """Add the missing rows to the table, and print the mean scores of every setting in it.

    Args:
        params: What is tried.
        trainings: Trains what is missing; by default one after the other, in this process.
        table: Where the rows are; each is written at once.

    Raises:
        PipelineError: A setting is no recipe, or cannot be trained, or the table is damaged.
        OSError: A file cannot be read or written.
    """
    tries = all_tries(params)
    wanted = [as_row(one) for one in tries]
    columns = [*wanted[0], *SCORES]
    before = read_rows(table, columns)
    missing = [
        number
        for number, row in enumerate(wanted)
        if row not in wanted[:number] and not any(row.items() <= done.items() for done in before)
    ]
    found: dict[int, Row] = {}
    rows = before
    for number, row in (trainings or train_here)(tries, missing):
        found[number] = row
        rows = [*before, *(found[key] for key in sorted(found))]
        write_text(table, pd.DataFrame(rows)[columns].to_csv(index=False, lineterminator="\n"))
    print(mean_scores(rows).to_string())


def all_tries(params: SearchParams) -> list[TrainParams]:
    """Return every setting with every seed.

    Raises:
        PipelineError: A setting is no recipe.
    """
    base = load_section("train", TrainParams, PIPELINE_PARAMS, recipe=params.base)
    return [
        base.model_copy(update={"recipe": varied(base.recipe, changes, number), "seed": seed})
        for number, setting in enumerate(params.settings)
        for changes in [setting.model_extra or {}]
        for seed in setting.seeds or params.seeds
    ]


def train_here(tries: Sequence[TrainParams], missing: Sequence[int]) -> Iterator[tuple[int, Row]]:
    """Train those tries in this process, and yield the number and the row of each.

    Raises:
        PipelineError: One cannot be trained.
        OSError: The examples cannot be read.
    """
    if not missing:
        return
    pin(tries[0].threads)
    folder = Path("data/processed")
    training = load_examples(folder / "train_images.npy", folder / "train_labels.npy")
    validation = load_examples(folder / "validation_images.npy", folder / "validation_labels.npy")
    for number in missing:
        row = as_row(tries[number])
        _tell(number, len(tries), row)
        _, curves = train_network(training, validation, tries[number])
        keras.utils.clear_session()  # else the networks tried before would stay in memory
        yield number, row | {score: f"{curves[score].iloc[-1]:.6g}" for score in SCORES}


def _tell(number: int, total: int, row: Row) -> None:
    print(f"{number + 1} of {total}: {', '.join(f'{k} {v}' for k, v in row.items() if v)}")


def train_in_pool(
    pool: Pool, base_job: Job, tries: Sequence[TrainParams], missing: Sequence[int]
) -> Iterator[tuple[int, Row]]:
    """Train those tries at once, as far as there are slots; otherwise as ``train_here``.

    Args:
        pool: Where jobs run.
        base_job: A job without commands.
        tries: All of them.
        missing: The numbers of those to be trained.
    """
    root = Path.cwd().parent
    needed = [*root.glob("pipeline/**/*.py"), *root.glob("data/processed/*_*.npy")]
    needed += [root / PARAMS_FILE, root / "studies" / PARAMS_FILE]
    job = replace(
        base_job,
        folder="studies",
        files={path.relative_to(root).as_posix(): file_entry(path) for path in needed},
        links={"studies/pipeline": "../pipeline", "studies/data": "../data"},
        outs=[f"studies/{ROW}"],
        source_folders=[str(root)],
    )
    names = {f"{number + 1} of {len(tries)}": number for number in missing}
    for name, number in names.items():
        command = f"python -m pipeline study search --row {number}"
        pool.submit(replace(job, name=name, commands=[command]), tries[number].threads)
    while names:
        for finished in pool.collect():
            row = read_row(finished)
            number = names.pop(finished.name)
            _tell(number, len(tries), row)
            yield number, row


def read_row(finished: FinishedJob) -> Row:
    """Return the row that a job has written, and remove its folder.

    Raises:
        PipelineError: It failed.
    """
    sandbox = Path(finished.result.sandbox)
    if finished.result.state == "failed":
        output = (sandbox / OUTPUT).read_text(encoding="utf-8") if finished.result.sandbox else ""
        raise PipelineError(f"{finished.name}: {finished.result.reason}\n{output}".rstrip())
    row: Row = json.loads((sandbox / FILES / "studies" / ROW).read_text(encoding="utf-8"))
    remove_sandbox(finished.result.sandbox)
    return row


def varied(base: Recipe, changes: dict[str, Any], number: int) -> Recipe:
    """Return the base with the changes of a setting, whose number is for messages.

    Raises:
        PipelineError: These values are no recipe.
    """
    values = base.model_dump()
    both = values | changes
    if isinstance(values["distortion"], dict) and isinstance(both["distortion"], dict):
        both["distortion"] = values["distortion"] | both["distortion"]
    try:
        return Recipe.model_validate(both)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, ("search.settings", number, *problem["loc"])))
        raise PipelineError(f"{PARAMS_FILE}: {place}: {problem['msg']}") from error


def as_row(params: TrainParams) -> Row:
    """Return the network and its recipe as texts by column; what is off is an empty text."""
    recipe = params.recipe.model_dump()
    distortion = recipe.pop("distortion") or dict.fromkeys(Strength.model_fields)
    network = params.model_dump(exclude={"recipe", "checkpoint_every"})
    units = "-".join(map(str, params.hidden_units))
    values = {"backend": keras.config.backend(), **network, **recipe, **distortion}
    values |= {"hidden_units": units}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """Return the rows of the table; none where there is no file yet.

    Raises:
        PipelineError: It is a table of other columns.
    """
    if not path.exists():
        return []
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if set(table.columns) != set(columns):
        raise PipelineError(
            f"{path}: expected the columns {', '.join(columns)}: move it away to begin a new search"
        )
    return [dict(row) for _, row in table.iterrows()]


def mean_scores(rows: Sequence[Row]) -> pd.DataFrame:
    """Return the mean scores over the seeds, by setting, best accuracy first."""
    table = pd.DataFrame(rows).astype(dict.fromkeys(SCORES, float))
    # Columns in which all settings agree would only fill the screen.
    settings = [
        name for name in table if name not in {"seed", *SCORES} and len(set(table[name])) > 1
    ]
    groups = table.groupby(settings, sort=False) if settings else table.groupby(lambda _: "all")
    return groups.agg(
        seeds=("seed", "count"),
        val_loss=("val_loss", "mean"),
        val_accuracy=("val_accuracy", "mean"),
    ).sort_values("val_accuracy", ascending=False)


def main() -> None:
    """Parse the command line, and search."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline study search",
        description=__doc__,
        epilog="Exit codes: 0 done, 1 failed, with the reason in one line.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--row", type=int, help=argparse.SUPPRESS)  # of a training that runs apart
    given = parse_arguments(parser, "one training after the other, in this process")
    with clear_ending("search"):
        params = load_section("search", SearchParams)
        if given.row is not None:
            (_, row), *_ = train_here(all_tries(params), [given.row])
            write_text(Path(ROW), json.dumps(row))
        elif given.jobs or given.scheduler:
            with (
                TemporaryDirectory() as scratch,
                closing(Pool(partial(open_executor, given, Path(scratch), print), print)) as pool,
            ):
                search(params, partial(train_in_pool, pool, base_job(given)))
        else:
            search(params)


if __name__ == "__main__":
    main()
