"""Try settings of a recipe on the validation images; the test images are not looked at.

The settings, and the recipe that they differ from, stand in studies/params.yaml. Each is trained
with each seed and adds a row to studies/search.csv: the recipe in full, then loss and accuracy on
the validation images at the end. Rows that are there are not run again, so an interrupted search
goes on where it was; delete the file to run it anew.
"""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, NonNegativeInt

from pipeline.backend import keras, pin
from pipeline.distortion import Strength
from pipeline.examples import load_examples
from pipeline.stage import PipelineError, Section, load_section, read_params, run_stage
from pipeline.training import TrainParams, train_network

SCORES = ["val_loss", "val_accuracy"]


class SearchParams(Section):
    """Section ``search`` of ``studies/params.yaml``.

    Attributes:
        base: The recipe that the settings differ from.
        seeds: Every setting is trained with each of them.
        settings: Where each of them differs from the base.
    """

    base: str
    seeds: list[NonNegativeInt] = Field(min_length=1)
    settings: list[dict[str, Any]] = Field(min_length=1)


def search(
    params: SearchParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    table_file: Path = Path("studies/search.csv"),
) -> None:
    """Add the missing rows to the table, and print the mean scores of every setting in it.

    Raises:
        PipelineError: A setting is no recipe, or cannot be trained.
    """
    base = read_params("train", recipe=params.base)["recipe"]
    tried = [
        load_section("train", TrainParams, recipe=combined(base, setting), seed=seed)
        for setting in params.settings
        for seed in params.seeds
    ]
    pin(tried[0].threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    columns, *rows = read_rows(table_file) or [[*as_row(tried[0]), *SCORES]]
    if columns != [*as_row(tried[0]), *SCORES]:
        raise PipelineError(f"{table_file} has other columns than a recipe: move it out of the way")
    done = [row[: -len(SCORES)] for row in rows]
    for number, one in enumerate(tried, 1):
        row = as_row(one)
        if list(row.values()) in done:
            continue
        print(f"{number} of {len(tried)}: {', '.join(f'{k} {v}' for k, v in row.items() if v)}")
        _, curves = train_network(training, validation, one)
        keras.utils.clear_session()  # else the networks tried before would stay in memory
        row |= {score: f"{curves[score].iloc[-1]:.6g}" for score in SCORES}
        add_row(table_file, row)
    table = pd.read_csv(table_file)
    settings = [column for column in table if column not in {"seed", *SCORES}]
    means = table.groupby(settings, dropna=False, sort=False)[SCORES].mean()
    print(means.sort_values("val_loss").to_string())


def combined(base: dict[str, Any], setting: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's values with those of a setting in place, down into the distortion."""
    both = base | setting
    if base["distortion"] and setting.get("distortion"):
        both["distortion"] = base["distortion"] | setting["distortion"]
    return both


def as_row(params: TrainParams) -> dict[str, str]:
    """Return a recipe and its seed, flat and as text; what is off is empty."""
    values = params.recipe.model_dump()
    values |= values.pop("distortion") or dict.fromkeys(Strength.model_fields)
    values |= {"seed": params.seed}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file, its header first; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def add_row(path: Path, row: dict[str, str]) -> None:
    """Add a row to a CSV file, with a header if it is the first."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    run_stage(search, SearchParams, Path("studies"))
