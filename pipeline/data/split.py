"""Choose a validation set with the same mix of classes as all images."""

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError


def stratified_choice(
    labels: NDArray[np.uint8], size: int, classes: int, seed: int
) -> NDArray[np.bool_]:
    """Return a mask of shape (n,) that chooses ``size`` images, each class by its share.

    The shares are rounded by the largest-remainder method (Hamilton's), the first class
    winning a tie, so that no class is more than one image off its exact share. Then a class of
    two images or more gets at least one on either side, at the cost of the largest. scikit-learn's
    ``train_test_split(stratify=...)`` would choose other images with the same seed, and all
    published results would change.

    Args:
        labels: The class of each image, shape (n,).
        size: How many are chosen.
        classes: How many there may be; some may be absent.
        seed: Decides which images are chosen.

    Raises:
        PipelineError: There are too few images, or too few are to be chosen for all classes.
    """
    available = np.bincount(labels, minlength=classes)
    least, most = np.minimum(available // 2, 1), np.maximum(available - 1, 0)
    if not least.sum() <= size <= most.sum():
        raise PipelineError(
            f"preprocess.validation_size: expected {least.sum()} to {most.sum()} of the "
            f"{len(labels)} training images, so that each class is on either side, found {size}"
        )
    chosen, remainder = np.divmod(available * size, len(labels))
    chosen[np.argsort(-remainder, kind="stable")[: size - chosen.sum()]] += 1
    chosen = np.clip(chosen, least, most)
    while chosen.sum() > size:
        chosen[np.argmax(chosen - least)] -= 1
    while chosen.sum() < size:
        chosen[np.argmax(most - chosen)] += 1
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        mask[random.permutation(members)[: chosen[label]]] = True
    return mask
