"""The study as it was run on MNIST and committed, and what README says of it."""

import json

import pandas as pd
import pytest
from conftest import ROOT

from pipeline.stage import load_section
from pipeline.studies.search import as_row
from pipeline.training import TrainParams

STUDIES = ROOT / "studies"
SUMMARY = json.loads((STUDIES / "summary.json").read_text())
RUNS = [json.loads(path.read_text()) for path in sorted((STUDIES / "runs").glob("*.json"))]


def test_every_recipe_has_ten_seeds_and_none_is_left_out() -> None:
    seeds = [(run["recipe"], run["seed"]) for run in RUNS]
    assert sorted(seeds) == [(recipe, n) for recipe in ("champion", "original") for n in range(10)]
    assert [found["seeds"] for found in SUMMARY.values()] == [10, 10]


def test_all_runs_are_of_the_same_network_on_the_same_images() -> None:
    assert {run["parameters"] for run in RUNS} == {109_946}
    assert {run["test_images"] for run in RUNS} == {10_000}
    assert len({json.dumps(run["environment"]) for run in RUNS}) == 1


def test_recipes_reach_what_is_asked_of_them() -> None:
    assert SUMMARY["champion"]["test"]["mean"] >= 0.993
    assert 0.975 <= SUMMARY["original"]["test"]["mean"] <= 0.978


def test_committed_run_is_the_studys_first() -> None:
    metrics = json.loads((ROOT / "reports/metrics.json").read_text())
    (first,) = (run for run in RUNS if (run["recipe"], run["seed"]) == ("original", 0))
    environment = json.loads((ROOT / "reports/environment.json").read_text())
    if environment != first["environment"]:
        pytest.skip("reports/ are of another environment than the study: other last bits")
    assert metrics["accuracy"] == first["test_accuracy"]


@pytest.mark.parametrize("recipe", SUMMARY)
def test_readme_says_what_the_study_found(recipe: str) -> None:
    test, validation = SUMMARY[recipe]["test"], SUMMARY[recipe]["validation"]
    low, high = test["mean_interval"].values()
    cells = [
        f"**{recipe}**",
        f"**{test['mean']:.2%}** ± {100 * test['standard_deviation']:.2f}",
        f"{low:.2%} to {high:.2%}",
        f"{test['minimum']:.2%} to {test['maximum']:.2%}",
        f"{validation['mean']:.2%}",
    ]
    assert f"| {' | '.join(cells)} |" in (ROOT / "README.md").read_text()


def test_champion_is_the_best_of_the_search_which_has_validation_scores_alone() -> None:
    table = pd.read_csv(STUDIES / "search.csv", dtype=str, keep_default_na=False)
    champion = as_row(
        load_section("train", TrainParams, ROOT / "params.yaml", recipe="champion", seed=0)
    )
    assert list(table) == [*champion, "val_loss", "val_accuracy"]
    settings = [name for name in champion if name != "seed"]
    means = table.astype({"val_loss": float}).groupby(settings)["val_loss"].mean()
    best = means.index[int(means.argmin())]
    assert list(best) == [champion[name] for name in settings]
