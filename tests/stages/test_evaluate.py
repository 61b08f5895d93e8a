from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.evaluation.calibration import reliability_table
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.stages.evaluate import check_fit, reliability_tables


def test_reliability_is_that_before_and_that_after_calibration() -> None:
    random = np.random.default_rng(0)
    correct, before, after = random.random(50) < 0.7, random.random(50), random.random(50)
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


def examples(pixels: int, labels: list[int]) -> Examples:
    return Examples(np.zeros((len(labels), pixels), np.float32), np.array(labels, np.int32))


@pytest.mark.parametrize(
    ("pixels", "labels", "fact"),
    [
        (4, [0, 3], r"model knows the classes 0 to 2, the labels of images are 0 to 3"),
        (4, [-1, 2], r"model knows the classes 0 to 2, the labels of images are -1 to 2"),
        (9, [0, 2], r"model expects images of \(4,\) pixels, images has \(9,\)"),
    ],
)
def test_images_that_the_network_is_not_made_for_are_refused(
    pixels: int, labels: list[int], fact: str
) -> None:
    model = SimpleNamespace(input_shape=(None, 4), output_shape=(None, 3))
    check_fit(model, "model", examples(4, [0, 1, 2]), "images")
    with pytest.raises(PipelineError, match=fact):
        check_fit(model, "model", examples(pixels, labels), "images")
