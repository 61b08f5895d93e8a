"""Batches of an epoch, cut in the same way for TensorFlow and JAX."""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from pipeline.runtime.examples import Examples
from pipeline.training.distortion import Coefficients, Source, Strength, prepare

Logs = dict[str, Any]
# A compiled epoch. Its arguments are the order of the examples, int32 (n,), and, where they are
# distorted, the coefficients for each. It returns Keras's logs of training and of
# validation.
RunEpoch = Callable[[Sequence[NDArray[Any]]], tuple[Logs, Logs]]


def tensors_of(examples: Examples, distortion: Strength | None) -> tuple[Any, ...]:
    """Return what batches are cut from: labels, then images or the source of distorted ones."""
    if distortion is None:
        return examples.labels, examples.images
    return examples.labels, *prepare(examples.images, distortion.smoothness)


def cut_batch(
    tensors: Sequence[Any],
    shown: Sequence[Any],
    gather: Callable[..., Any],
    distort: Callable[..., Any],
) -> tuple[Any, Any]:
    """Return a batch's images and labels.

    Args:
        tensors: As ``tensors_of`` returns them.
        shown: Numbers of the examples, shape (n,), then the coefficients of their distortions.
        gather: The backend's own function for it.
        distort: That of ``pipeline.training.distortion``, compiled or not.
    """
    labels, *images = tensors
    order, *coefficients = shown
    if coefficients:
        pixels = distort(Source(*images), order, Coefficients(*coefficients))
    else:
        pixels = gather(images[0], order)
    return pixels, gather(labels, order)
