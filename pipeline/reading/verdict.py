"""What a picture says, how sure that is, and whether a person has to look."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

UNSURE = "not sure enough"
UNKNOWN = "?"  # stands in a text for what is no digit


class Verdict(StrEnum):
    """What to do with a digit or a field."""

    DECIDED = "decided"
    ASK = "ask a person"
    NO_DIGIT = "not a digit"


class Digit(NamedTuple):
    """A digit that was found in a picture.

    Attributes:
        text: The name of its class, "?" if it is none.
        confidence: The probability of the most probable class, calibrated on MNIST; of one that
            is no digit too.
        verdict: Whether it may be used without a look.
        reason: Why not; empty if it may.
        others: The next probable classes with their probabilities, if it is not decided.
        box: Left, top, right and bottom, as shares of the picture's width and height.
        image: What the network has seen, shape (28, 28), from 0 to 1.
    """

    text: str
    confidence: float
    verdict: Verdict
    reason: str
    others: Sequence[tuple[str, float]]
    box: tuple[float, float, float, float]
    image: NDArray[np.float32]


class Reading(NamedTuple):
    """What a picture says: a field of digits, or one digit.

    Attributes:
        text: The digits, line by line.
        confidence: That of the least sure digit, 0 if there is none.
        verdict: Decided only if all digits are, and there are as many as expected.
        reason: Why it is not decided; empty if it is.
        digits: In reading order.
        doubted: Whether a person has to look, whatever the digits are.
    """

    text: str
    confidence: float
    verdict: Verdict
    reason: str
    digits: Sequence[Digit]
    doubted: bool = False

    @property
    def is_decidable(self) -> bool:
        """Whether a lower threshold would decide it, where it is not decided."""
        return (
            bool(self.digits)
            and not self.doubted
            and all(one.verdict is Verdict.DECIDED or one.reason == UNSURE for one in self.digits)
        )


def of_field(digits: Sequence[Digit], doubt: str) -> Reading:
    """Return the reading of a field: as sure as its least sure digit.

    Args:
        digits: In reading order.
        doubt: Why a person has to look, whatever the digits are; empty if there is no reason.
    """
    text = "".join(digit.text for digit in digits)
    confidence = min((digit.confidence for digit in digits), default=0.0)
    if not digits:
        return Reading(text, 0.0, Verdict.NO_DIGIT, "nothing is written", digits)
    if all(digit.verdict is Verdict.NO_DIGIT for digit in digits):
        return Reading(text, confidence, Verdict.NO_DIGIT, digits[0].reason, digits)
    if doubt:
        return Reading(text, confidence, Verdict.ASK, doubt, digits, doubted=True)
    unsure = [digit for digit in digits if digit.verdict is not Verdict.DECIDED]
    if not unsure:
        return Reading(text, confidence, Verdict.DECIDED, "", digits)
    worst = min(unsure, key=lambda digit: digit.confidence)
    place = f"digit {digits.index(worst) + 1}: " if len(digits) > 1 else ""
    more = f", and {len(unsure) - 1} more" if len(unsure) > 1 else ""
    return Reading(text, confidence, Verdict.ASK, place + worst.reason + more, digits)
