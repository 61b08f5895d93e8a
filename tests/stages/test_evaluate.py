import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hdf5_arrays import with_group_in_itself
from test_model_file import LABELS, PIXELS, trained_network

from pipeline.evaluation.calibration import reliability_table
from pipeline.model.file import save_model
from pipeline.runtime.errors import PipelineError
from pipeline.stages.evaluate import check_agreement, reliability_tables


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


def test_model_that_ends_the_process_which_reads_it_is_told_of_in_one_line(
    project: Project,
) -> None:
    if sys.platform != "linux":
        pytest.skip("a process ends in other words there; would show that the command's goes on")
    model, data = project.folder / "data/model/model.keras", project.folder / "data/processed"
    model.parent.mkdir(parents=True)
    data.mkdir()
    for part in ("validation", "test"):
        np.save(data / f"{part}_images.npy", PIXELS)
        np.save(data / f"{part}_labels.npy", LABELS.astype(np.int32))
    save_model(trained_network(), model)
    with zipfile.ZipFile(model) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = with_group_in_itself(members["model.weights.h5"])
    with zipfile.ZipFile(model, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    lines = project.stage("evaluate", status=1).splitlines()
    assert lines[-1] == (
        "evaluate: data/model/model.keras: not a model of this pipeline: model.weights.h5: "
        "HDF5 could not go on reading it: Segmentation fault"
    )
    assert not any("Traceback" in line for line in lines)
