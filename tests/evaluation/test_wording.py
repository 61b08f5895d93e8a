import pytest

from pipeline.evaluation.wording import accuracy_sentence, rejection_sentence


def sentence(target: str, threshold: float | None, **found: float) -> str:
    points = {
        "thresholds": {target: threshold},
        "validation_images": 5000,
        "certainty": 0.9,
        "temperature": 1.5,
    }
    return rejection_sentence(target, {"coverage": 0.0, "errors": 0} | found, points)


def test_accuracy_is_told_with_its_interval() -> None:
    metrics = {"accuracy": 0.9765, "accuracy_interval": {"low": 0.97334, "high": 0.97929}}
    assert accuracy_sentence(metrics, 10_000) == (
        "97.65% of 10,000 test images classified correctly (95% interval 97.33% to 97.93%)"
    )


@pytest.mark.parametrize(
    ("target", "goal"), [("0.005", "0.5%"), ("0.07", "7%"), ("0.1", "10%"), ("0.0025", "0.25%")]
)
def test_what_is_decided_is_told_with_its_errors(target: str, goal: str) -> None:
    assert sentence(target, 0.99, coverage=0.8968, errors=20, risk=20 / 8968) == (
        f"Target: at most {goal} wrong (90% sure): 89.68% decided, 0.223% of them wrong"
    )


@pytest.mark.parametrize(("target", "goal"), [("0.001", "0.1%"), ("0.0001", "0.01%")])
def test_more_errors_than_aimed_at_are_told_as_such(target: str, goal: str) -> None:
    assert sentence(target, 0.99, coverage=0.8968, errors=20, risk=20 / 8968) == (
        f"Target: at most {goal} wrong (90% sure): "
        "89.68% decided, 0.223% of them wrong, above the target"
    )


def test_decisions_without_errors_are_told_as_such() -> None:
    assert sentence("0.001", 0.5, coverage=1.0, risk=0.0) == (
        "Target: at most 0.1% wrong (90% sure): 100.00% decided, 0.000% of them wrong"
    )


def test_target_out_of_reach_is_told_with_the_images_that_there_were() -> None:
    assert sentence("0.001", None) == "No threshold is sure to reach 0.1% on 5,000 images"


def test_threshold_that_no_image_reaches_is_told() -> None:
    assert sentence("0.005", 1.0) == (
        "Target: at most 0.5% wrong: none of the images reaches the threshold"
    )
