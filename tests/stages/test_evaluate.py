from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.calibration import reliability_table
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.stages.evaluate import check_agreement, check_fit, reliability_tables


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20)
)
def test_reliability_is_that_before_and_that_after_calibration(
    answers: list[tuple[bool, float, float]],
) -> None:
    correct, before, after = map(np.array, zip(*answers, strict=True))
    predictions = pd.DataFrame(
        {
            "actual": 1,
            "predicted": correct.astype(int),
            "confidence": before,
            "calibrated_confidence": after,
        }
    )
    tables = reliability_tables(predictions)
    assert list(tables["calibration"].unique()) == ["before", "after"]
    for name, confidence in (("before", before), ("after", after)):
        found = tables[tables["calibration"] == name].drop(columns="calibration")
        pd.testing.assert_frame_equal(found, reliability_table(confidence, correct))


@pytest.mark.parametrize(
    ("images", "apart"), [(10_000, 0), (10_000, 9), (100, 1), (1, 1), (1_000, 1)]
)
def test_few_images_more_or_less_right_are_taken_for_ties(images: int, apart: int) -> None:
    correct = np.arange(images) >= apart
    check_agreement(1.0, correct)


@pytest.mark.parametrize(("images", "apart"), [(10_000, 11), (100, 2), (1_000, 2)])
@pytest.mark.parametrize("better", [True, False])
def test_evaluate_and_predict_that_disagree_are_an_error(
    images: int, apart: int, *, better: bool
) -> None:
    right = images // 2
    correct = np.arange(images) < right
    accuracy = (right + (apart if better else -apart)) / images
    with pytest.raises(PipelineError, match=rf"accuracy of {accuracy}, its predict\(\) one of 0.5"):
        check_agreement(accuracy, correct)


def examples(pixels: int, labels: list[int]) -> Examples:
    return Examples(np.zeros((len(labels), pixels), np.float32), np.array(labels, np.int32))


@pytest.mark.parametrize(
    ("pixels", "labels", "fact"),
    [
        (4, [0, 3], r"model knows the classes 0 to 2, the labels of images are 0 to 3"),
        (4, [-1, 2], r"model knows the classes 0 to 2, the labels of images are -1 to 2"),
        (9, [0, 2], r"model expects images of \(4,\) pixels, images has \(9,\)"),
        (4, [], r"images: expected images, found none"),
    ],
)
def test_images_that_the_network_is_not_made_for_are_refused(
    pixels: int, labels: list[int], fact: str
) -> None:
    model = SimpleNamespace(input_shape=(None, 4), output_shape=(None, 3))
    check_fit(model, "model", examples(4, [0, 1, 2]), "images")
    with pytest.raises(PipelineError, match=fact):
        check_fit(model, "model", examples(pixels, labels), "images")
