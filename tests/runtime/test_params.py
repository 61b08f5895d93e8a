import importlib
from pathlib import Path

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import Section, load_section, read_params


class Example(Section):
    epochs: int
    rate: float


def load(tmp_path: Path, text: str) -> Example:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return load_section("train", Example, path)


def test_values_are_read(tmp_path: Path) -> None:
    assert load(tmp_path, "train: {epochs: 3, rate: 1e-3}") == Example(epochs=3, rate=0.001)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {epochs: 3}", r"train\.rate: Field required"),
        ("train: {epochs: 3, rate: 1.0, speed: 2}", r"train\.speed: Extra inputs .*, found 2"),
        ("train: {epochs: '3', rate: 1.0}", r"train\.epochs: .* integer, found '3'"),
        ("train: {epochs: true, rate: 1.0}", r"train\.epochs: .* integer, found True"),
        ("train: {epochs: 3, rate: .nan}", r"train\.rate: .* finite number, found nan"),
        ("train:", "expected a section 'train'"),
        ("- train", "expected a section 'train'"),
        ("", "expected a section 'train'"),
        ("train: {epochs: 3, epochs: 4, rate: 1.0}", 'found duplicate key "epochs"'),
        ("train: [", "not valid YAML"),
        ("train: {epochs: 3, rate: 2001-99-99}", "not valid YAML: month must be in 1..12"),
        ("train: {epochs: 3, rate: [" + "1, " * 9000 + "]}", r"rate: .*found \[1, 1, .*\.\.\."),
        ("train: {epochs: 3, rate: 1.0, ? [a] : 2}", r"train\.\('a',\).*: Keys should be strings"),
        ('train: {epochs: 3, rate: 1.0, "\\e[2J": 2}', r"train\.\\x1b\[2J: Extra inputs"),
    ],
)
def test_bad_parameters_name_section_and_key_in_one_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(PipelineError, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_any_number_of_problems_fills_no_more_than_a_screen(tmp_path: Path) -> None:
    unknown = ", ".join(f"{'k' * 500}{number}: 1" for number in range(1000))
    with pytest.raises(PipelineError) as caught:
        load(tmp_path, f"train: {{{unknown}}}")
    assert len(str(caught.value).splitlines()) == 20
    assert max(map(len, str(caught.value).splitlines())) < 500


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("download.timeout", 0.0, "greater than 0, found 0.0"),
        ("download.mirrors", "https://example.invalid", "valid list"),
        ("download.files.test_labels.name", "../labels.gz", "match pattern .*found '../labels.gz'"),
        ("download.files.test_labels.sha256", "f7ae60", "match pattern .*found 'f7ae60'"),
        ("preprocess.classes", 1, "greater than or equal to 2, found 1"),
        ("recipes.original.epochs", 0, "greater than 0, found 0"),
        ("recipes.original.epochs", 2.5, "integer, found 2.5"),
        ("recipes.original.batch_size", "large", "integer, found 'large'"),
        ("recipes.original.learning_rate", 0, "greater than 0, found 0"),
        ("recipes.original.learning_rate", "fast", "number, found 'fast'"),
        ("recipes.champion.warm_up", 1.0, "less than 1, found 1.0"),
        ("recipes.champion.ema_momentum", 1, "less than 1, found 1"),
        ("recipes.champion.distortion.shift", -0.1, "greater than or equal to 0, found -0.1"),
        ("train.seed", 2**32, "less than 4294967296"),
        ("train.hidden_units.0", 2_000_000_000, "less than or equal to 65536"),
        ("train.threads", 100_000, "less than or equal to 1024"),
        ("evaluate.target_errors", [0.01, 0.01], "listed twice, found"),
        ("evaluate.target_errors.0", 0.0, "greater than or equal to 0.0001, found 0.0"),
        ("evaluate.target_errors.0", float("nan"), "finite number, found nan"),
        ("evaluate.certainty", 0.4, "greater than or equal to 0.5, found 0.4"),
        ("plot.dpi", 5, "greater than or equal to 50, found 5"),
    ],
)
def test_value_out_of_range_names_section_and_key(
    tmp_path: Path, key: str, value: object, message: str
) -> None:
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
    place = params
    for part in path:
        place = place[part]
    place[last] = value
    stage = "train" if path[0] == "recipes" else str(path[0])
    params["train"]["recipe"] = key.split(".")[1] if path[0] == "recipes" else "original"
    YAML(typ="safe").dump(params, tmp_path / "params.yaml")
    module = importlib.import_module(f"pipeline.stages.{stage}")
    section = getattr(module, f"{stage.capitalize()}Params")
    with pytest.raises(PipelineError, match=f"params.yaml: {key}: .*{message}") as caught:
        load_section(stage, section, tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amateur", r"train\.recipe: expected the name of a recipe \(2024, null, plain\)"),
        (None, r"train\.recipe: expected the name of a recipe .*, found None"),
        (["plain"], r"train\.recipe: expected the name of a recipe .*, found \['plain'\]"),
    ],
)
def test_recipe_that_cannot_be_had_is_named(tmp_path: Path, name: object, message: str) -> None:
    path = tmp_path / "params.yaml"
    recipes: dict[object, object] = {2024: {}, "null": {}, "plain": {"epochs": 3}}
    YAML(typ="safe").dump({"train": {"recipe": name}, "recipes": recipes}, path)
    with pytest.raises(PipelineError, match=f"params.yaml: {message}"):
        read_params("train", path)


def test_recipe_stands_in_place_of_its_name_and_changes_come_first(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {recipe: a, seed: 1}\nrecipes: {a: {epochs: 3}, b: {epochs: 4}}")
    assert read_params("train", path) == {"recipe": {"epochs": 3}, "seed": 1}
    assert read_params("train", path, recipe="b", seed=2) == {"recipe": {"epochs": 4}, "seed": 2}
    assert read_params("train", path, recipe={"epochs": 5})["recipe"] == {"epochs": 5}


def test_every_value_of_the_parameters_is_commented() -> None:
    for line in (ROOT / "params.yaml").read_text().splitlines():
        key, _, value = line.partition(":")
        is_value = value.strip() and not key.strip().startswith(("#", "-"))
        if is_value and key.strip() not in {"name", "sha256"}:
            assert "#" in value, line
