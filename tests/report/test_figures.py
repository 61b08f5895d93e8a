from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from pipeline.report.figures import (
    confusion_counts,
    confusion_figure,
    gallery_figure,
    learning_curve_figure,
    learning_curves_figure,
    percentage,
    save_figure,
)


def predictions(
    actual: list[int], predicted: list[int], confidence: list[float] | None = None
) -> pd.DataFrame:
    confidence = confidence or [0.5] * len(actual)
    return pd.DataFrame(
        {
            "actual": actual,
            "predicted": predicted,
            "confidence": 0.5,
            "calibrated_confidence": confidence,
        }
    )


EXAMPLE = predictions([0, 1, 2, 2, 1, 0], [0, 2, 2, 1, 1, 2], [0.9, 0.6, 1.0, 0.999999, 0.7, 0.8])
CURVES = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "loss": [1.0, 0.5, 0.2],
        "accuracy": [0.5, 0.8, 0.9],
        "val_loss": [1.1, 0.7, 0.6],
        "val_accuracy": [0.4, 0.7, 0.75],
    }
)
IMAGES = np.linspace(0, 1, 6 * 16, dtype=np.float32).reshape(6, 4, 4)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_counts_equal_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    actual, predicted = (list(column) for column in zip(*pairs, strict=True))
    counts = confusion_counts(predictions(actual, predicted))
    expected = confusion_matrix(actual, predicted, labels=range(10))
    np.testing.assert_array_equal(np.pad(counts, (0, 10 - len(counts))), expected)


def test_confusion_matrix_shows_every_count_in_its_cell() -> None:
    axes = confusion_figure(EXAMPLE).axes[0]
    shown = {text.get_position(): int(text.get_text()) for text in axes.texts}
    counts = confusion_counts(EXAMPLE)
    assert shown == {(column, row): count for (row, column), count in np.ndenumerate(counts)}
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel() == "actual"
    assert axes.get_title() == "3 of 6 test images classified correctly"


def test_confusion_matrix_is_coloured_by_share_of_row() -> None:
    image = confusion_figure(EXAMPLE).axes[0].images[0]
    shares = np.asarray(image.get_array())
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[0, 0] == 0.5


def test_gallery_shows_the_most_confident_errors_first() -> None:
    figure = gallery_figure(IMAGES, EXAMPLE, size=2)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["2 → 1", "0 → 2"]
    assert [axes.get_xlabel() for axes in shown] == ["> 99.99%\n#3", "80.00%\n#5"]
    np.testing.assert_array_equal(np.asarray(shown[0].images[0].get_array()), IMAGES[3])
    assert figure.get_suptitle().startswith("The 2 most confident of 3 errors")


@pytest.mark.parametrize("length", [1, 2, 3, 4, 9, 14, 15, 40])
def test_names_above_the_images_of_the_gallery_do_not_touch(length: int) -> None:
    count = 24
    wrong = predictions([0] * count, [1] * count, [0.9] * count)
    images = np.zeros((count, 4, 4), np.float32)
    figure = gallery_figure(images, wrong, count, lambda _: "W" * length)
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.images]
    assert len(boxes) == count
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)


def test_gallery_without_errors_can_be_drawn(tmp_path: Path) -> None:
    figure = gallery_figure(IMAGES, predictions([1] * 6, [1] * 6), size=24)
    save_figure(figure, tmp_path / "errors.png", 50)
    assert not any(axes.images for axes in figure.axes)


def test_learning_curves_show_training_and_validation_on_the_same_axes() -> None:
    loss, accuracy = learning_curves_figure(CURVES).axes
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        lines = {line.get_label(): line.get_ydata() for line in axes.lines}
        np.testing.assert_array_equal(lines["training"], CURVES[quantity])
        np.testing.assert_array_equal(lines["validation"], CURVES[f"val_{quantity}"])


@pytest.mark.parametrize("quantity", ["loss", "accuracy"])
def test_curve_on_its_own_is_the_same_as_beside_the_other(quantity: str) -> None:
    (alone,) = learning_curve_figure(CURVES, quantity).axes
    together = learning_curves_figure(CURVES).axes[["loss", "accuracy"].index(quantity)]
    for line, other in zip(alone.lines, together.lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), other.get_xydata())
        for read in ("get_label", "get_color", "get_linestyle"):
            assert getattr(line, read)() == getattr(other, read)()
    for read in ("get_xlabel", "get_ylabel", "get_yscale"):
        assert getattr(alone, read)() == getattr(together, read)()


def test_single_epoch_is_drawn_as_a_point() -> None:
    figures = [
        learning_curves_figure(CURVES[:1]),
        learning_curve_figure(CURVES[:1], "loss"),
        learning_curve_figure(CURVES[:1], "accuracy"),
    ]
    lines = [line for figure in figures for axes in figure.axes for line in axes.lines]
    assert len(lines) == 8
    assert all(line.get_marker() == "o" for line in lines)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.5, "50.00%"), (0.9999, "99.99%"), (0.99999, "> 99.99%"), (1.0, "> 99.99%")],
)
def test_percentage_is_never_rounded_up_to_a_certainty(share: float, text: str) -> None:
    assert percentage(share) == text
