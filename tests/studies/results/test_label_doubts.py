import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.studies.results.label_doubts import COLUMNS, estimated_label_errors, label_doubts


def answers(
    images: int, planted: int, classes: int = 10, seed: int = 0
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Return labels, good probabilities of what is really shown, and which labels are wrong."""
    random = np.random.default_rng(seed)
    shown = random.integers(0, classes, images)
    sums = random.normal(0, 1, (images, classes))
    sums[np.arange(images), shown] += 8
    probabilities = np.exp(sums) / np.exp(sums).sum(axis=1, keepdims=True)
    wrong = np.sort(random.choice(images, planted, replace=False))
    labels = shown.copy()
    labels[wrong] = (labels[wrong] + random.integers(1, classes, planted)) % classes
    return labels.astype(np.int32), probabilities.astype(np.float32), wrong


def margins(labels: NDArray[np.int32], probabilities: NDArray[np.float32]) -> list[float]:
    """Return how much more probable the label is than the most probable other class."""
    found = []
    for label, row in zip(labels, probabilities.astype(np.float64), strict=True):
        others = [value for place, value in enumerate(row) if place != label]
        found.append(row[label] - max(others))
    return found


def test_planted_wrong_labels_come_out_on_top() -> None:
    labels, probabilities, wrong = answers(2000, 40)
    doubts = label_doubts(labels, probabilities, 40)
    assert list(doubts.columns) == COLUMNS
    assert sorted(doubts["image"]) == wrong.tolist()


def test_ranking_is_that_of_the_normalised_margin() -> None:
    labels, probabilities, _ = answers(500, 60, classes=4, seed=1)
    margin = np.array(margins(labels, probabilities))
    doubts = label_doubts(labels, probabilities, 500)
    found = margin[doubts["image"]]
    assert (np.diff(found) >= 0).all()
    assert set(doubts["image"]) == set(np.flatnonzero(margin < 0))
    np.testing.assert_allclose(
        doubts["label_probability"] - doubts["suggestion_probability"], found, atol=1e-6
    )


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(1, 30))
def test_list_says_of_every_image_what_the_network_sees(seed: int, listed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(3), 50).astype(np.float32)
    labels = random.integers(0, 3, 50).astype(np.int32)
    labels[:3] = range(3)
    doubts = label_doubts(labels, probabilities, listed)
    assert len(doubts) == min(listed, int((probabilities.argmax(axis=1) != labels).sum()))
    image, label = doubts["image"].to_numpy(), doubts["label"].to_numpy()
    np.testing.assert_array_equal(label, labels[image])
    assert (doubts["suggestion"] != label).all()
    np.testing.assert_array_equal(doubts["suggestion"], probabilities[image].argmax(axis=1))
    np.testing.assert_array_equal(doubts["label_probability"], probabilities[image, label])
    np.testing.assert_array_equal(
        doubts["suggestion_probability"], probabilities[image].max(axis=1)
    )


def test_images_of_equal_margin_stay_in_their_order() -> None:
    probabilities = np.tile(np.array([[0.75, 0.25], [0.25, 0.75]], np.float32), (20, 1))
    labels = np.tile(np.array([1, 1], np.int32), 20)
    labels[1] = 0  # both classes occur among the wrong ones
    doubts = label_doubts(labels, probabilities, 100)
    assert doubts["image"].tolist() == sorted([*range(0, 40, 2), 1])


def test_perfect_network_doubts_nothing() -> None:
    labels, probabilities, _ = answers(500, 0)
    assert probabilities.argmax(axis=1).tolist() == labels.tolist()
    doubts = label_doubts(labels, probabilities, 100)
    assert doubts.empty
    assert list(doubts.columns) == COLUMNS
    assert estimated_label_errors(labels, probabilities) == 0


@pytest.mark.parametrize("planted", [20, 100, 200])
def test_estimate_is_near_the_number_planted(planted: int) -> None:
    labels, probabilities, _ = answers(2000, planted)
    assert abs(estimated_label_errors(labels, probabilities) - planted) <= 0.25 * planted
