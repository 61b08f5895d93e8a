"""Recipes compared by several runs each."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError
from pipeline.tools.compare.recipes import RecipeSide, compare_recipes, recipe_facts, recipe_page
from pipeline.tools.page import as_markdown, as_text


def side(correct: NDArray[np.bool_], name: str = "plain", label: int = 1) -> RecipeSide:
    (wrong,) = np.nonzero(~correct.all(axis=0))
    return RecipeSide(name, correct, pd.Series(label, index=wrong), [])


def runs(accuracy: float, seeds: int = 10, images: int = 2000, seed: int = 0) -> RecipeSide:
    return side(np.random.default_rng(seed).random((seeds, images)) < accuracy)


def test_clearly_better_recipe_is_better_and_the_other_way_round_worse() -> None:
    good, bad = runs(0.99, seed=1), runs(0.95, seed=2)
    assert compare_recipes(bad, good, 0.2).verdict == "better"
    assert compare_recipes(good, bad, 0.2).verdict == "worse"
    assert not compare_recipes(good, bad, 0.2).is_no_worse


def test_small_loss_within_a_wide_margin_is_worse_but_no_worse_than_the_margin() -> None:
    comparison = compare_recipes(runs(0.99, seed=1), runs(0.95, seed=2), 50)
    assert comparison.is_no_worse
    assert comparison.sentence.startswith("Worse, though by less than the margin of 50 points: ")


def test_equal_recipes_are_within_noise_or_no_worse() -> None:
    comparison = compare_recipes(runs(0.98, seed=1), runs(0.98, seed=2), 0)
    assert comparison.verdict == "within noise"
    assert compare_recipes(runs(0.98, seed=1), runs(0.98, seed=2), 5).verdict == (
        "no worse than the margin"
    )


def test_luck_with_one_seed_does_not_make_a_recipe_better() -> None:
    base = np.ones((10, 1000), bool)
    base[:, :30] = False
    lucky = base.copy()
    lucky[0] = True  # one run without an error, nine like the base
    assert compare_recipes(side(base), side(lucky), 0.2).low <= 0


def test_sentence_and_facts_say_the_same() -> None:
    sides = runs(0.95, seeds=4, seed=1), runs(0.99, seeds=6, seed=2)
    comparison = compare_recipes(*sides, 0.2)
    facts = recipe_facts(sides, comparison)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    difference = facts["difference_points"]
    assert f"+{difference:.2f} points" in facts["sentence"]
    assert difference == pytest.approx(
        100 * (np.mean(facts["recipe"]["accuracies"]) - np.mean(facts["base"]["accuracies"]))
    )
    assert "4 and 6 runs on 2,000 images" in facts["sentence"]
    low, high = facts["interval_points"].values()
    assert low < difference < high


def test_page_has_a_row_a_recipe() -> None:
    old = runs(0.95, seed=1)
    new = replace(runs(0.99, seed=2), name="main:fancy", outdated=["code.py"])
    comparison = compare_recipes(old, new, 0.2)
    page = recipe_page((old, new), comparison)
    assert "Out of date: code.py changed after the runs of main:fancy were made" in as_text(page)
    assert comparison.sentence in as_text(page)
    rows = [line for line in as_markdown(page).splitlines() if line.startswith("| main:fancy")]
    assert f"{comparison.recipe.mean():.2%}" in rows[0]


def test_other_images_and_single_runs_are_refused() -> None:
    with pytest.raises(PipelineError, match="not the same test set: 2,000 images there, 50 here"):
        compare_recipes(runs(0.9), runs(0.9, images=50), 0.2)
    with pytest.raises(PipelineError, match=r"test set: \d+ of \d+ images are of another class"):
        compare_recipes(runs(0.9), side(runs(0.9, seed=1).correct, label=2), 0.2)
    with pytest.raises(PipelineError, match="two runs each or more"):
        compare_recipes(runs(0.9), runs(0.9, seeds=1), 0.2)
