import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from pipeline.stage import PipelineError
from pipeline.stages.evaluate import classification_metrics, metrics_text


def table(pairs: list[tuple[int, int]]) -> pd.DataFrame:
    return pd.DataFrame(pairs, columns=["actual", "predicted"])


PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)


@given(PAIRS)
def test_figures_by_class_equal_their_definitions(pairs: list[tuple[int, int]]) -> None:
    by_class = classification_metrics(table(pairs), classes=4)["by_class"]
    assert list(by_class) == ["0", "1", "2", "3"]
    for label in range(4):
        hits = sum(a == p == label for a, p in pairs)
        predicted = sum(p == label for _, p in pairs)
        actual = sum(a == label for a, _ in pairs)
        figures = by_class[str(label)]
        assert np.isclose(figures["precision"], hits / predicted if predicted else 0)
        assert np.isclose(figures["recall"], hits / actual if actual else 0)
        assert np.isclose(
            figures["f1"], 2 * hits / (predicted + actual) if predicted + actual else 0
        )


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_metric_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(PipelineError, match=r"metric by_class\.0\.recall is not a finite number"):
        metrics_text({"accuracy": 0.5, "by_class": {"0": {"recall": value}}})
