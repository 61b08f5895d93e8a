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


@settings(max_examples=40)
@given(PAIRS)
def test_figures_equal_scikit_learns_report(pairs: list[tuple[int, int]]) -> None:
    predictions = table(pairs)
    expected = (predictions["actual"], predictions["predicted"])
    # Of the classes that occur or are predicted, and no others.
    report = classification_report(*expected, output_dict=True, zero_division=0)
    by_class = class_table(predictions)
    assert by_class["class"].tolist() == sorted({label for pair in pairs for label in pair})
    for label, *figures in by_class.itertuples(index=False, name=None):
        names = ("precision", "recall", "f1-score", "support")
        assert figures == [report[str(label)][name] for name in names]
    metrics = classification_metrics(predictions)
    assert metrics["accuracy"] == accuracy_score(*expected)
    assert metrics["errors"] == sum(actual != predicted for actual, predicted in pairs)
    assert np.isclose(metrics["macro_f1"], f1_score(*expected, average="macro", zero_division=0))


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
    interval = classification_metrics(table(pairs))["accuracy_interval"]
    assert round(interval["low"], 4) == low
    assert round(interval["high"], 4) == high


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_interval_of_a_share_is_that_of_statsmodels(correct: int, more: int) -> None:
    expected = proportion_confint(correct, correct + more, 0.05, method="wilson")
    assert wilson_interval(correct, correct + more) == pytest.approx(expected, abs=1e-9)
