"""The study as it was run on MNIST and committed, and what README and docs say of it."""

import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from pipeline.runtime.params import load_section
from pipeline.studies.results.study import StudyParams
from pipeline.studies.search import as_row
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
# Of the training file and of the test set, from 0: how many images there are.
IMAGES = {"train": 60_000, "test": 10_000}
TOP = 50
PAGES = "\n".join(
    page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))
)


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


def test_rejection_has_a_row_for_each_run_and_target() -> None:
    table = pd.read_csv(STUDIES / "rejection.csv")
    found = table[["recipe", "seed", "target_error"]].to_numpy().tolist()
    assert found == [
        [recipe, seed, float(target)]
        for recipe in PARAMS["study"]["recipes"]
        for seed in PARAMS["study"]["seeds"]
        for target in TARGETS
    ]


def test_rejection_is_what_the_runs_say() -> None:
    table = pd.read_csv(STUDIES / "rejection.csv")
    rows = {
        (row["recipe"], row["seed"], row["target_error"]): row for row in table.to_dict("records")
    }
    assert len(rows) == len(table) == len(RUNS) * len(TARGETS)
    for run in RUNS:
        for target in TARGETS:
            found = run["rejection"][target]
            wanted = {
                "threshold": run["operating_points"]["thresholds"][target],
                **{key: found.get(key) for key in ("coverage", "errors", "risk")},
            }
            row = rows[run["recipe"], run["seed"], float(target)]
            for key, value in wanted.items():
                expected = math.nan if value is None else value
                assert row[key] == pytest.approx(expected, nan_ok=True, rel=1e-8)


def test_decisions_of_a_run_are_whole_images_and_their_errors_some_of_its_errors() -> None:
    table = pd.read_csv(STUDIES / "rejection.csv")
    decided = table["coverage"] * IMAGES["test"]
    np.testing.assert_allclose(decided, decided.round(), atol=1e-4)
    np.testing.assert_allclose((table["risk"] * decided).fillna(0), table["errors"], atol=1e-4)
    accuracies = {(run["recipe"], run["seed"]): run["test_accuracy"] for run in RUNS}
    wrong = [
        round((1 - accuracies[recipe, seed]) * IMAGES["test"])
        for recipe, seed in zip(table["recipe"], table["seed"], strict=True)
    ]
    assert (table["errors"] <= wrong).all()
    assert (table["coverage"][table["threshold"].isna()] == 0).all()


def test_summary_of_the_rejection_follows_from_its_table() -> None:
    runs = defaultdict(list)
    table = pd.read_csv(STUDIES / "rejection.csv")
    for row in table.to_dict("records"):
        runs[row["recipe"], f"{row['target_error']:g}"].append(row)
    for recipe, summary in SUMMARY.items():
        assert list(summary["rejection"]) == TARGETS
        for target, found in summary["rejection"].items():
            mine = runs[recipe, target]
            coverages = [row["coverage"] for row in mine]
            decided = round(sum(coverages) * IMAGES["test"])
            expected = {
                "runs_with_threshold": sum(not math.isnan(row["threshold"]) for row in mine),
                "mean_coverage": sum(coverages) / len(mine),
                "minimum_coverage": min(coverages),
                "maximum_coverage": max(coverages),
            }
            if decided:
                expected["risk"] = sum(row["errors"] for row in mine) / decided
                expected["highest_risk"] = max(
                    row["errors"] / (row["coverage"] * IMAGES["test"])
                    for row in mine
                    if row["coverage"]
                )
            assert found == pytest.approx(expected, rel=1e-6)


def test_summary_of_the_calibration_is_the_mean_of_the_runs() -> None:
    for recipe, summary in SUMMARY.items():
        mine = [run for run in RUNS if run["recipe"] == recipe]
        expected = {
            "temperature": np.mean([run["operating_points"]["temperature"] for run in mine]),
            **{
                f"calibration_error_{when}": np.mean(
                    [run["calibration"][when]["expected_calibration_error"] for run in mine]
                )
                for when in ("before", "after")
            },
        }
        assert summary["calibration"] == pytest.approx(expected)


def test_operating_points_are_set_on_the_validation_images() -> None:
    held_out = YAML(typ="safe").load(ROOT / "params.yaml")["preprocess"]["validation_size"]
    assert {run["operating_points"]["validation_images"] for run in RUNS} == {held_out}
    doubts = json.loads((STUDIES / "label_doubts.json").read_text())
    assert doubts["operating_points"]["validation_images"] == IMAGES["train"]
    assert list(doubts["operating_points"]["thresholds"]) == TARGETS
    assert list(doubts["rejection"]) == TARGETS


@pytest.mark.parametrize("part", IMAGES)
def test_doubts_are_ranked_and_of_images_that_exist(part: str) -> None:
    facts = json.loads((STUDIES / "label_doubts.json").read_text())[part]
    table = pd.read_csv(STUDIES / "label_doubts.csv")
    mine = table[table["part"] == part]
    assert facts["images"] == IMAGES[part]
    assert len(mine) == min(PARAMS["find_label_doubts"]["listed"], facts["disagreements"])
    assert mine["image"].between(0, IMAGES[part] - 1).all()
    assert mine["image"].is_unique
    assert mine[["label", "suggestion"]].isin(range(10)).all(axis=None)
    assert (mine["label"] != mine["suggestion"]).all()
    margin = mine["label_probability"] - mine["suggestion_probability"]
    assert (margin < 0).all()
    assert (margin.diff().dropna() > -1e-5).all()
    assert 0 <= facts["estimated_label_errors"] < 0.02 * facts["images"]


def test_doubted_test_images_have_the_labels_that_the_runs_errors_tell() -> None:
    errors = pd.read_csv(STUDIES / "errors.csv")
    labels = dict(zip(errors["image"], errors["actual"], strict=True))
    table = pd.read_csv(STUDIES / "label_doubts.csv")
    tested = table[table["part"] == "test"]
    known = [
        (row_label, labels[image])
        for image, row_label in zip(tested["image"], tested["label"], strict=True)
        if image in labels
    ]
    # What the networks of the folds take for something else, most often some of the runs do too.
    assert len(known) > 0.8 * len(tested)
    assert all(one == other for one, other in known)


def test_known_label_errors_are_counted_among_the_first_of_the_list() -> None:
    facts = json.loads((STUDIES / "label_doubts.json").read_text())["test"]
    table = pd.read_csv(STUDIES / "label_doubts.csv")
    first = table[table["part"] == "test"]["image"].head(TOP)
    known = PARAMS["find_label_doubts"]["known_test_errors"]
    assert facts["known_label_errors"] == len(known) == 15
    assert facts[f"known_in_top_{TOP}"] == sum(image in set(first) for image in known)


def test_pages_say_how_many_labels_are_doubted() -> None:
    facts = json.loads((STUDIES / "label_doubts.json").read_text())
    table = pd.read_csv(STUDIES / "label_doubts.csv")
    doubted = table[table["part"] == "test"]["image"]
    assert len(doubted) == facts["test"]["disagreements"]
    known = len(set(doubted) & set(PARAMS["find_label_doubts"]["known_test_errors"]))
    text = " ".join(PAGES.split())
    for sentence in (
        f"disagree with {facts['train']['disagreements']} of the 60,000 training labels",
        f"estimates that {facts['train']['estimated_label_errors']} of them are wrong",
        f"disagree with {len(doubted)} of the 10,000 test labels",
        f"{known} of these are among the {len(doubted)}",
    ):
        assert sentence in text
