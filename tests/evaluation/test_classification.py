import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, classification_report, f1_score
from statsmodels.stats.proportion import proportion_confint

from pipeline.evaluation.classification import class_table, classification_metrics
from pipeline.evaluation.statistics import wilson_interval


def table(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["actual", "predicted"])


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)


@settings(deadline=None)
@given(PAIRS)
def test_figures_by_class_equal_their_definitions(pairs: list[tuple[int, int]]) -> None:
    by_class = class_table(table(pairs), classes=4)
    assert by_class["class"].tolist() == [0, 1, 2, 3]
    for label, precision, recall, f1, support in by_class.itertuples(index=False):
        hits = sum(a == p == label for a, p in pairs)
        predicted = sum(p == label for _, p in pairs)
        actual = sum(a == label for a, _ in pairs)
        assert support == actual
        assert np.isclose(precision, hits / predicted if predicted else 0)
        assert np.isclose(recall, hits / actual if actual else 0)
        assert np.isclose(f1, 2 * hits / (predicted + actual) if predicted + actual else 0)


@settings(deadline=None)
@given(PAIRS)
def test_figures_by_class_equal_scikit_learns_report(pairs: list[tuple[int, int]]) -> None:
    predictions = table(pairs)
    report = classification_report(
        predictions["actual"],
        predictions["predicted"],
        labels=range(4),
        output_dict=True,
        zero_division=0,
    )
    for row in class_table(predictions, classes=4).to_dict("records"):
        figures = report[str(row["class"])]
        assert row == {
            "class": row["class"],
            "precision": figures["precision"],
            "recall": figures["recall"],
            "f1": figures["f1-score"],
            "support": figures["support"],
        }


@settings(deadline=None)
@given(PAIRS)
def test_totals_equal_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predictions = table(pairs)
    metrics = classification_metrics(predictions, classes=4)
    expected = (predictions["actual"], predictions["predicted"])
    assert metrics["accuracy"] == accuracy_score(*expected)
    assert metrics["errors"] == accuracy_score(*expected, normalize=False) * -1 + len(pairs)
    assert np.isclose(
        metrics["macro_f1"], f1_score(*expected, labels=range(4), average="macro", zero_division=0)
    )


@pytest.mark.parametrize(
    ("correct", "count", "low", "high"),
    [
        # Newcombe (1998), Statistics in Medicine 17, table I, method 3 (Wilson's, no correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_interval_equals_published_examples(
    correct: int, count: int, low: float, high: float
) -> None:
    pairs = [(0, 0)] * correct + [(0, 1)] * (count - correct)
    interval = classification_metrics(table(pairs), classes=2)["accuracy_interval"]
    assert round(interval["low"], 4) == low
    assert round(interval["high"], 4) == high


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_interval_of_a_share_is_that_of_statsmodels(correct: int, more: int) -> None:
    expected = proportion_confint(correct, correct + more, 0.05, method="wilson")
    assert wilson_interval(correct, correct + more) == pytest.approx(expected, abs=1e-9)


def test_class_that_is_missing_counts_as_zero() -> None:
    by_class = class_table(table([(0, 0), (1, 1), (1, 2)]), classes=4)
    assert by_class["support"].tolist() == [1, 2, 0, 0]
    assert by_class["precision"].tolist() == [1, 1, 0, 0]
    assert by_class["recall"].tolist() == [1, 0.5, 0, 0]
    assert not by_class.isna().any(axis=None)
