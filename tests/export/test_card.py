"""The model card as Markdown's readers see it, with facts that are seldom."""

import json
from typing import Any

from conftest import ROOT
from scripts import tables

from pipeline.export.card import model_card

STUDIES = ROOT / "studies"
DASH = "\N{EN DASH}"
TEMPLATE = (ROOT / "pipeline/export/model_card.md").read_text()


def card(**changes: Any) -> str:
    run = json.loads((STUDIES / "runs/champion-0.json").read_text())
    facts = {
        "recipe_name": "champion",
        "seed": "0",
        "network_file": "model.onnx",
        "points_file": "operating_points.json",
        "input": "pixels",
        "side": 28,
        "names": ["0", "1"],
        "shape": "784-2",
        "recipe": "epochs 2",
        "run": run,
        "points": run["operating_points"],
        "all_runs": json.loads((STUDIES / "summary.json").read_text())["champion"],
        "trained": 55_000,
        "files": [{"name": "a_b.gz", "sha256": "0" * 64}],
        "by_class": [{"name": "0", "images": 4, "right": 3}],
        "perturbed": [
            {"perturbation": "shift", "unit": "pixels", "strength": 1.0, "accuracy": 0.5}
        ],
    }
    return model_card(TEMPLATE, **(facts | changes))


def test_figures_are_those_of_the_run() -> None:
    run = json.loads((STUDIES / "runs/champion-0.json").read_text())
    shown = card()
    assert f"**{run['test_accuracy']:.2%}** of 10,000 test images" in " ".join(shown.split())
    rows = tables(shown)["Intended use"][1:]
    for (target, threshold, decided, wrong), (goal, found) in zip(
        rows, run["rejection"].items(), strict=True
    ):
        assert target == f"{100 * float(goal):g}%"
        assert float(threshold) == run["operating_points"]["thresholds"][goal]
        assert decided == f"{found['coverage']:.2%}"
        assert wrong.startswith(f"{found['risk']:.3%} (")
    assert tables(shown)["Results by class"][1] == ["0", "4", "75.00% (30.06% to 95.44%)"]


def test_names_mean_themselves() -> None:
    name = "a|b_*c*"
    shown = card(by_class=[{"name": name, "images": 1, "right": 1}], recipe_name="_x_")
    assert tables(shown)["Results by class"][1][0] == r"a|b\_\*c\*"
    assert "# Model card: \\_x\\_, seed 0" in shown


def test_what_does_not_exist_has_a_word_or_a_dash() -> None:
    run = json.loads((STUDIES / "runs/champion-0.json").read_text())
    run["operating_points"]["thresholds"]["0.001"] = None
    run["rejection"]["0.001"] = {"coverage": 0.0, "errors": 0, "risk": None, "risk_interval": None}
    shown = card(
        run=run,
        points=run["operating_points"],
        by_class=[{"name": "0", "images": 0, "right": 0}],
    )
    last = ["0.1%", "none is sure to reach it", "0.00%", DASH]
    assert tables(shown)["Intended use"][-1] == last
    assert tables(shown)["Results by class"][1] == ["0", "0", DASH]
