from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from pipeline.evaluation.calibration import reliability_table
from pipeline.evaluation.rejection import decide, decided_facts, risk_coverage
from pipeline.report.evaluation_figures import (
    reliability_figure,
    risk_coverage_figure,
    robustness_figure,
)
from pipeline.report.figures import save_figure

# Two of them are decided wrongly, one of them with some confidence.
CONFIDENCE = np.array([0.3, 0.42, 0.55, 0.6, 0.77, 0.81, 0.93, 0.97, 0.99, 1.0])
CORRECT = np.array([False, True, True, True, True, False, True, True, True, True])
RISK_COVERAGE = risk_coverage(CONFIDENCE, CORRECT)
ROBUSTNESS = pd.DataFrame({"strength": [-1.0, -0.5, 0, 0.5], "accuracy": [0.25, 0.9, 1, 0.75]})


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the table as ``evaluate`` writes it, from twice as cold to as it is."""
    tables = {"before": confidence / 2, "after": confidence}
    return pd.concat(
        reliability_table(values, correct).assign(calibration=name)
        for name, values in tables.items()
    )


def operating_points(thresholds: Mapping[str, float | None]) -> dict[str, Any]:
    return {
        target: decided_facts(decide(CONFIDENCE, CORRECT, threshold))
        for target, threshold in thresholds.items()
    }


REJECTION = operating_points({"0.05": 0.9, "0.001": None})


def only_axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def operating_points_drawn(axes: Axes) -> list[tuple[float, float]]:
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    return [(float(x), float(y)) for dot in dots for x, y in np.asarray(dot.get_xydata())]


def curve_drawn(axes: Axes) -> Line2D:
    (curve,) = (line for line in axes.lines if line.get_label() == "errors among them")
    return curve


def bars(axes: Axes) -> dict[str, ErrorbarContainer]:
    found = [each for each in axes.containers if isinstance(each, ErrorbarContainer)]
    return {str(each.get_label()): each for each in found}


def test_reliability_shows_the_points_and_intervals_of_the_table() -> None:
    table = reliability(CONFIDENCE, CORRECT)
    drawn = bars(only_axes(reliability_figure(table)))
    assert list(drawn) == ["before calibration", "after calibration"]
    for name, container in drawn.items():
        mine = table[table["calibration"] == name.split()[0]]
        points, _, (reach,) = container.lines
        assert points is not None
        np.testing.assert_array_equal(points.get_xydata(), mine[["confidence", "accuracy"]])
        ends = np.array(reach.get_segments())
        np.testing.assert_allclose(ends[:, :, 0].T, [mine["confidence"]] * 2)
        np.testing.assert_allclose(ends[:, :, 1], mine[["low", "high"]])


@settings(max_examples=8)
@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=30))
def test_error_bars_are_never_negative(answers: list[tuple[bool, float]]) -> None:
    correct, confidence = map(np.array, zip(*answers, strict=True))
    table = reliability(confidence, correct)
    # As read back from CSV, where the interval's ends lose their last digits.
    rounded = table.round({"accuracy": 9, "low": 9, "high": 9})
    for container in bars(only_axes(reliability_figure(rounded))).values():
        points, _, (reach,) = container.lines
        assert points is not None
        ends = np.array(reach.get_segments())[:, :, 1]
        accuracy = np.asarray(points.get_ydata(), float)
        assert (ends[:, 0] <= accuracy).all()
        assert (accuracy <= ends[:, 1]).all()


def test_line_of_perfect_calibration_runs_from_corner_to_corner() -> None:
    axes = only_axes(reliability_figure(reliability(CONFIDENCE, CORRECT)))
    (line,) = (line for line in axes.lines if line.get_label() == "as it should be")
    np.testing.assert_array_equal(line.get_xydata(), [[0, 0], [1, 1]])


def test_risk_coverage_shows_the_curve_its_band_and_the_targets() -> None:
    axes = only_axes(risk_coverage_figure(RISK_COVERAGE, REJECTION))
    np.testing.assert_array_equal(
        curve_drawn(axes).get_xydata(), RISK_COVERAGE[["coverage", "risk"]]
    )
    (band,) = axes.collections
    corners = {(float(x), float(y)) for x, y in np.asarray(band.get_paths()[0].vertices)}
    for edge in ("low", "high"):
        assert set(zip(RISK_COVERAGE["coverage"], RISK_COVERAGE[edge], strict=True)) <= corners
    targets = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert [line.get_ydata() for line in targets] == [[0.05, 0.05], [0.001, 0.001]]
    assert [text.get_text() for text in axes.texts] == ["5%", "0.1%"]


def test_operating_points_lie_on_the_curve_and_only_where_something_is_decided() -> None:
    axes = only_axes(risk_coverage_figure(RISK_COVERAGE, REJECTION))
    assert operating_points_drawn(axes) == [(0.4, 0.0)]
    assert (0.4, 0.0) in set(zip(RISK_COVERAGE["coverage"], RISK_COVERAGE["risk"], strict=True))


@pytest.mark.parametrize("thresholds", [{"0.05": 0.9, "0.1": 0.5, "0.001": None}, {"0.0001": None}])
def test_everything_lies_within_the_axes(thresholds: dict[str, float | None]) -> None:
    rejection = operating_points(thresholds)
    axes = only_axes(risk_coverage_figure(RISK_COVERAGE, rejection))
    low, high = axes.get_ylim()
    values = [*RISK_COVERAGE["risk"], *map(float, rejection), 0]
    assert low < min(values)
    assert max(values) < high
    assert all(low <= tick <= high for tick in axes.get_yticks())
    assert len(axes.get_yticks()) >= 2


def test_perfect_predictor_has_no_risk_anywhere(tmp_path: Path) -> None:
    curve = risk_coverage(CONFIDENCE, np.ones(10, bool))
    points = {"0.005": decided_facts(decide(CONFIDENCE, np.ones(10, bool), 0.3))}
    figure = risk_coverage_figure(curve, points)
    save_figure(figure, tmp_path / "picture.png", 50)
    axes = only_axes(figure)
    assert set(np.asarray(curve_drawn(axes).get_ydata(), float)) == {0.0}
    assert operating_points_drawn(axes) == [(1.0, 0.0)]
    assert axes.get_ylim()[0] < 0


@pytest.mark.parametrize("correct", [True, False])
def test_tables_of_one_row_can_be_drawn(tmp_path: Path, *, correct: bool) -> None:
    confidence, answers = np.full(10, 0.5), np.full(10, correct)
    tables = reliability(confidence, answers)
    assert len(tables) == 2
    curve = risk_coverage(confidence, answers)
    assert len(curve) == 1
    figures = [
        reliability_figure(tables),
        risk_coverage_figure(curve, {"0.005": {"coverage": 0.0, "errors": 0}}),
        robustness_figure(pd.DataFrame({"strength": [0.0], "accuracy": [1.0]}), "pixels"),
    ]
    for figure in figures:
        save_figure(figure, tmp_path / "picture.png", 50)
    assert curve_drawn(only_axes(figures[1])).get_marker() == "o"


def test_robustness_shows_every_strength_and_its_unit() -> None:
    axes = only_axes(robustness_figure(ROBUSTNESS, "pixels on each side"))
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), ROBUSTNESS)
    np.testing.assert_array_equal(axes.get_xticks(), ROBUSTNESS["strength"])
    assert axes.get_xlabel() == "pixels on each side"
    assert axes.get_ylim()[0] == 0
