"""Compare settings of a recipe on the validation images; the test images are not read.

The settings, and the recipe that they differ from, stand in studies/params.yaml, section search.
Each setting is trained with each seed. A training adds a row to studies/search.csv: backend,
network, seed, threads and recipe in full, then the loss and the accuracy on the validation images
at its end. What has a row is not trained again, so an interrupted search goes on where it was. Code
and data are not part of a row: after a change of those, delete the file.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ConfigDict, Field, ValidationError

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
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    table: Path = Path("search.csv"),
) -> None:
    """Add the missing rows to the table, and print the mean scores of every setting in it.

    Raises:
        PipelineError: A setting is no recipe, or cannot be trained, or the table is damaged.
        OSError: A file cannot be read or written.
    """
    base = load_section("train", TrainParams, PIPELINE_PARAMS, recipe=params.base)
    tries = [
        base.model_copy(update={"recipe": varied(base.recipe, changes, number), "seed": seed})
        for number, setting in enumerate(params.settings)
        for changes in [setting.model_extra or {}]
        for seed in setting.seeds or params.seeds
    ]
    columns = [*as_row(base), *SCORES]
    rows = read_rows(table, columns)
    pin(base.threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    for number, one in enumerate(tries, 1):
        row = as_row(one)
        if any(row.items() <= done.items() for done in rows):
            continue
        print(f"{number} of {len(tries)}: {', '.join(f'{k} {v}' for k, v in row.items() if v)}")
        _, curves = train_network(training, validation, one)
        keras.utils.clear_session()  # else the networks tried before would stay in memory
        rows.append(row | {score: f"{curves[score].iloc[-1]:.6g}" for score in SCORES})
        write_text(table, pd.DataFrame(rows)[columns].to_csv(index=False, lineterminator="\n"))
    print(mean_scores(rows).to_string())


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


def as_row(params: TrainParams) -> dict[str, str]:
    """Return the network and its recipe as texts by column; what is off is an empty text."""
    recipe = params.recipe.model_dump()
    distortion = recipe.pop("distortion") or dict.fromkeys(Strength.model_fields)
    network = params.model_dump(exclude={"recipe", "checkpoint_every"})
    units = "-".join(map(str, params.hidden_units))
    values = {"backend": keras.config.backend(), **network, **recipe, **distortion}
    values |= {"hidden_units": units}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def read_rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
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


def mean_scores(rows: Sequence[dict[str, str]]) -> pd.DataFrame:
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
    """Parse the command line, which knows only ``--help``, and search."""
    argparse.ArgumentParser(
        prog="python -m pipeline study search",
        description=__doc__,
        epilog="Exit codes: 0 done, 1 failed, with the reason in one line.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    with clear_ending("search"):
        search(load_section("search", SearchParams))


if __name__ == "__main__":
    main()
