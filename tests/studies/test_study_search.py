"""The search for settings, in this process and on small data."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, synthetic_digits
from ruamel.yaml import YAML

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import load_section
from pipeline.studies import search
from pipeline.studies.search import SearchParams, Setting
from pipeline.training.loop import TrainParams

IMAGES = 40


def edit_params(edit: Any) -> None:
    """Change the pipeline's parameters in place."""
    yaml = YAML(typ="safe")
    file = Path("../params.yaml")
    params = yaml.load(file)
    edit(params)
    yaml.dump(params, file)


def settings(*found: dict[str, Any], base: str = "champion", seeds: int = 2) -> SearchParams:
    return SearchParams(
        base=base, seeds=list(range(seeds)), settings=[Setting(**one) for one in found]
    )


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table of a search, in the folder of the studies, which is the current one.

    There are no test images there.
    """
    (tmp_path / "studies/data/processed").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "studies")
    Path("../params.yaml").write_text((ROOT / "params.yaml").read_text())

    def make_small(params: Any) -> None:
        params["train"]["hidden_units"] = [4]
        for recipe in params["recipes"].values():
            recipe.update({"batch_size": 20, "epochs": 1})

    edit_params(make_small)
    for seed, part in enumerate(("train", "validation")):
        images, labels = synthetic_digits(IMAGES, seed, side=6)
        flat = images.reshape(IMAGES, -1).astype(np.float32) / 255
        np.save(f"data/processed/{part}_images.npy", flat)
        np.save(f"data/processed/{part}_labels.npy", labels.astype(np.int32))
    # Threads cannot be set any more where another test has computed something.
    monkeypatch.setattr(search, "pin", lambda _: None)
    return Path("search.csv")


def tried(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return which trainings of how many were announced since the last call."""
    shown = capsys.readouterr().out.splitlines()
    return [line.split(":")[0] for line in shown if line[:1].isdigit() and " of " in line]


def test_search_adds_a_row_a_run_and_goes_on_where_it_was(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = {"distortion": {"elastic": 0.0}}
    params = settings(setting, setting)
    search.search(params)
    assert tried(capsys) == ["1 of 4", "2 of 4"], "the same setting twice is one"
    whole = table.read_text()
    rows = pd.read_csv(table)
    assert rows["elastic"].tolist() == [0, 0]
    assert rows["scale"].tolist() == [0.05, 0.05]
    assert rows["seed"].tolist() == [0, 1]
    assert rows["val_accuracy"].between(0, 1).all()
    table.write_text("".join(whole.splitlines(keepends=True)[:2]))
    search.search(params)
    assert tried(capsys) == ["2 of 4"]
    search.search(params)
    assert tried(capsys) == []
    assert table.read_text() == whole
    # What was tried of another network is tried anew.
    edit_params(lambda params: params["train"].update(hidden_units=[8]))
    search.search(settings(setting, seeds=1))
    assert tried(capsys) == ["1 of 1"]
    assert pd.read_csv(table, dtype=str)["hidden_units"].tolist() == ["4", "4", "8"]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([{}, {"epoch": 3}], r"search\.settings\.1\.epoch: Extra inputs are not permitted"),
        ([{}, {"distortion": 5}], r"search\.settings\.1\.distortion: Input should be a valid dict"),
        ([{"distortion": {"elastic": -1.0}}], r"search\.settings\.0\.distortion\.elastic: "),
    ],
)
def test_setting_that_is_no_recipe_is_named_before_anything_is_trained(
    table: Path, found: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(PipelineError, match=rf"^params\.yaml: {message}"):
        search.search(settings(*found))
    assert not table.exists()


def test_table_of_another_search_is_left_alone(table: Path) -> None:
    table.write_text("a,b\n1,2\n")
    with pytest.raises(PipelineError, match=r"^search\.csv: expected the columns backend, "):
        search.search(settings({}))
    assert table.read_text() == "a,b\n1,2\n"


def test_setting_may_name_its_own_seeds(table: Path) -> None:
    search.search(settings({"epochs": 1, "seeds": [5]}, {"epochs": 2}, seeds=1))
    found = pd.read_csv(table)
    assert found[["epochs", "seed"]].to_numpy().tolist() == [[1, 5], [2, 0]]


def test_search_of_the_project_can_be_read() -> None:
    params = load_section("search", SearchParams, ROOT / "studies/params.yaml")
    base = load_section("train", TrainParams, ROOT / "params.yaml", recipe=params.base)
    for number, setting in enumerate(params.settings):
        search.varied(base.recipe, setting.model_extra or {}, number)
