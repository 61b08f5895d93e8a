"""Read the digits in a picture with a network that this project has exported."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.special import softmax

from pipeline.export.construction import SIDE, mnist_image, mnist_images
from pipeline.export.network import answers
from pipeline.export.onnx_file import network_in
from pipeline.reading.finding import Found, found_alone, found_in_field
from pipeline.reading.ink import find_ink
from pipeline.reading.opening import open_picture, read_regular
from pipeline.reading.thresholds import Thresholds, checked, kind_of, thresholds_on_pictures
from pipeline.reading.verdict import UNKNOWN, UNSURE, Digit, Reading, Verdict, of_field
from pipeline.runtime.errors import UNREADABLE, PipelineError, reason

Grey = NDArray[np.float32]

PROJECT = Path(__file__).parents[2]
CHAMPION = PROJECT / "studies" / "champion"
MODEL_FILE = "model.onnx"
LARGEST_MODEL = 64 * 2**20  # bytes
OTHERS = 2  # classes named beside the most probable one
# How much being a digit at all counts beside being one class, where it is sought where to cut.
LIKE_A_DIGIT = 0.3
LEAST_PROBABLE = 0.01  # of a class that is named


class Bar(NamedTuple):
    """What a digit needs to be decided.

    Attributes:
        confidence: The least; None if none is enough.
        likeness: The least probability of being a digit at all.
    """

    confidence: float | None
    likeness: float


class Answer(NamedTuple):
    """What the network makes of a digit: the probability of each class, and of being a digit."""

    probabilities: Grey
    likeness: float


class Reader:
    """Reads digits in pictures, with the network in a folder.

    Attributes:
        network: With its weights.
        name: Of the network, such as "champion-0".
        names: Of its classes.
        fingerprint: SHA-256 of the network's file.
        thresholds: By which it decides, and where they come from.
    """

    def __init__(self, model: Path | str = CHAMPION, *, calibrated: bool = True) -> None:
        """Load the network.

        Args:
            model: A folder with a model.onnx: ``studies/champion`` or ``data/model``.
            calibrated: Whether thresholds that were set on pictures are used, if there are any.

        Raises:
            PipelineError: There is no model.onnx, it is damaged, or not of this project.
            OSError: It cannot be read.
        """
        path = Path(model) / MODEL_FILE
        try:
            content = read_regular(path, LARGEST_MODEL)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise PipelineError(
                f"no network in {model}: expected a folder with a {MODEL_FILE}, such as data/model "
                "after `dvc repro`"
            ) from error
        self.fingerprint = hashlib.sha256(content).hexdigest()
        try:
            self.network = network_in(content)
            facts = {key: json.loads(text) for key, text in self.network.metadata.items()}
            self.names, self.name = [str(name) for name in facts["classes"]], str(facts["run"])
            unlike, doubtful = (float(facts["digit_test"][key]) for key in ("unlike", "doubtful"))
            on_mnist = checked(facts["operating_points"]["thresholds"])
        except PipelineError as error:
            raise PipelineError(f"{path}: {error}") from error
        except UNREADABLE as error:
            raise PipelineError(f"{path}: damaged: {reason(error)}") from error
        pixels, classes = len(self.network.layers[0].kernel), len(self.network.layers[-1].bias)
        if pixels != SIDE * SIDE or classes != len(set(self.names)):
            raise PipelineError(f"{path}: expected a network for images of {SIDE} x {SIDE} pixels")
        if not (0 <= unlike <= doubtful <= 1 and "".join([self.name, *self.names]).isprintable()):
            raise PipelineError(f"{path}: damaged: what it tells of itself is nonsense")
        self._unlike, self._doubtful = unlike, doubtful
        on_pictures = thresholds_on_pictures(Path(model), self.fingerprint) if calibrated else {}
        self.thresholds = Thresholds(on_mnist, on_pictures)

    def read(
        self,
        image: Path | str | bytes | Image.Image | NDArray[np.generic],
        *,
        one: bool = False,
        digits: int | None = None,
        target: float | None = None,
    ) -> Reading:
        """Return what is written in a picture.

        Args:
            image: A file, its content, or a picture in memory: one of Pillow's, or an array of
                shape (height, width), or (height, width, 3 or 4), of bytes or from 0 to 1.
            one: Whether it shows one digit; else a field, line by line.
            digits: How many a field must have; any number if None.
            target: The highest share of errors among what is decided; the strictest if None.

        Raises:
            PipelineError: It is no picture, or there is no threshold for that target.
            OSError: The file cannot be read.
        """
        if one and digits is not None:
            raise PipelineError("`digits` is how many a field has; with `one` there is one")
        if digits is not None and digits < 1:
            raise PipelineError(f"expected at least one digit, found {digits}")
        threshold = self.thresholds.of(target, kind_of(one=one, counted=digits is not None))
        ink = find_ink(open_picture(image))
        found = found_alone(ink) if one else found_in_field(ink, self._scores, digits)
        # Where the number of digits is known, a sign among them shows as one too many.
        likeness = self._unlike if digits else self._doubtful
        return of_field(self._judged(found.digits, Bar(threshold, likeness)), found.doubt)

    def _scores(self, pieces: Sequence[Grey]) -> NDArray[np.float64]:
        """Return how probable it is that each piece is a digit, as a logarithm."""
        images = np.stack([mnist_image(piece) for piece in pieces]).reshape(len(pieces), -1)
        probabilities, likeness = answers(self.network, images)
        sure, like = (
            np.log(np.maximum(np.nan_to_num(one), 1e-9))
            for one in (probabilities.max(axis=1), likeness)
        )
        return np.asarray(sure + LIKE_A_DIGIT * like, np.float64)

    def _judged(self, found: Sequence[Found], bar: Bar) -> list[Digit]:
        """Return a verdict on each piece: by five renderings of it, together."""
        if not found:
            return []
        images = np.stack([mnist_images(one.ink) for one in found])
        by_image, like_a_digit = answers(self.network, images.reshape(-1, SIDE * SIDE))
        # The geometric mean: as of one network whose logits are the mean of the five.
        logarithms = np.log(np.maximum(by_image, np.finfo(np.float32).tiny))
        renderings = (len(found), images.shape[1], -1)
        probabilities = softmax(logarithms.reshape(renderings).mean(axis=1), axis=1)
        likeness = like_a_digit.reshape(renderings).mean(axis=(1, 2))
        # Of a file with absurd weights; what is no number is sure of nothing.
        probabilities, likeness = np.nan_to_num(probabilities), np.nan_to_num(likeness)
        return [
            self._digit(one, image, Answer(shares, float(like)), bar)
            for one, image, shares, like in zip(
                found, images[:, 0], probabilities, likeness, strict=True
            )
        ]

    def _digit(self, found: Found, image: Grey, answer: Answer, bar: Bar) -> Digit:
        probabilities = answer.probabilities
        order = np.argsort(-probabilities, kind="stable")
        confidence = round(float(probabilities[order[0]]), 9)
        verdict, why = Verdict.ASK, found.doubt
        if found.flaw or not answer.likeness >= self._unlike:
            verdict, why = Verdict.NO_DIGIT, found.flaw or "unlike a digit"
        elif not why and not answer.likeness >= bar.likeness:  # nor is what is no number
            why = "perhaps no digit"
        elif not why and (bar.confidence is None or not confidence >= bar.confidence):
            why = UNSURE
        elif not why:
            verdict = Verdict.DECIDED
        others = [
            (self.names[place], round(float(probabilities[place]), 4))
            for place in order[1 : 1 + OTHERS]
            if verdict is Verdict.ASK and probabilities[place] >= LEAST_PROBABLE
        ]
        text = UNKNOWN if verdict is Verdict.NO_DIGIT else self.names[order[0]]
        return Digit(text, confidence, verdict, why, others, found.box, image)
