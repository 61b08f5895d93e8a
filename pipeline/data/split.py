"""Choose a validation set with the same mix of classes as all images."""

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import PipelineError


def stratified_choice(
    labels: NDArray[np.uint8], size: int, classes: int, seed: int
) -> NDArray[np.bool_]:
    """Return a mask of shape (n,) that chooses ``size`` images, each class by its share.

    The shares are rounded by the largest-remainder method (Hamilton's), the first class
    winning a tie, so that no class is more than one image off its exact share. scikit-learn's
    ``train_test_split(stratify=...)`` would choose other images with the same seed, and all
    published results would change.

    Raises:
        PipelineError: There are too few images, or a class would be missing on either side.
    """
    if size >= len(labels):
        raise PipelineError(
            f"preprocess.validation_size: {size} is not smaller than "
            f"the {len(labels)} training images"
        )
    available = np.bincount(labels, minlength=classes)
    chosen, remainder = np.divmod(available * size, len(labels))
    chosen[np.argsort(-remainder, kind="stable")[: size - chosen.sum()]] += 1
    one_sided = np.flatnonzero((chosen == 0) | (chosen == available))
    if one_sided.size:
        worst = one_sided[0]
        raise PipelineError(
            f"preprocess.validation_size: class {worst} has {available[worst]} of the "
            f"{len(labels)} training images; with {size} held out, one side would have none of them"
        )
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        mask[random.permutation(members)[: chosen[label]]] = True
    return mask
