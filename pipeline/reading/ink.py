"""Find the ink of a picture: which of dark and light it is, and where, in uneven light."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.export.construction import stroke_width
from pipeline.export.resampling import averaged, resized

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, of red, green and blue
LEAST_CONTRAST = 0.06  # of ink against paper, where black and white are 1 apart
# Light is uneven if the paper's brightness changes by more than this, as a share of the ink's.
UNEVEN = 0.12
MORE_INK = 1.3  # times the ink; with more of it the strokes were hollow before
LARGEST_GRAIN = 40  # pixels; what is smaller may be noise
DENSE = 0.15  # of the picture
MOST_LEVELS = 3
CLEAR = 0.95  # separability of what needs no correction of the light


def find_ink(colours: Grey) -> Grey:
    """Return how sure each pixel is ink: above 0.5 it is, shape (height, width), from 0 to 1.

    A picture whose contrast is too low has no ink.

    Args:
        colours: Shape (height, width, 3), from 0 to 1.
    """
    grey = colours @ LUMA
    dark = ink_is_dark(grey)
    chosen = clearest([grey, *np.moveaxis(colours, 2, 0)], dark=dark)
    ink = above_paper(1 - chosen if dark else chosen, dark=dark)
    level = threshold(ink)
    if level < LEAST_CONTRAST / 2:
        return np.zeros_like(ink)
    return np.asarray(np.clip(ink / (2 * level), 0, 1))


def ink_is_dark(grey: Grey) -> bool:
    """Return whether a picture is written in dark on light.

    Three things vote. The border shows paper; most of the picture is paper; and what differs most
    from its surroundings, two thirds of the picture's shorter side wide, is ink, in a shadow too.
    """
    level = otsu(grey)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    small = averaged(grey, max(1, round(min(grey.shape) / 100)))
    window = max(3, int(min(small.shape) / 1.5) | 1)
    difference = small - ndimage.uniform_filter(small, window, mode="reflect")
    skewness = (difference**3).mean() / ((difference**2).mean() ** 1.5 + 1e-9)
    votes = 1.5 * _balance(border > level) + _balance(grey > level) - 2 * np.tanh(skewness)
    return bool(votes > 0)


def _balance(bright: Mask) -> float:
    return 2 * float(bright.mean()) - 1


def clearest(channels: list[Grey], *, dark: bool) -> Grey:
    """Return the channel in which ink and paper are farthest apart, as a multiple of their spread.

    Yellow on white is seen in blue alone. The first channel, the brightness, is preferred a little.
    """

    def distance(grey: Grey) -> float:
        level = otsu(grey)
        ink = grey < level if dark else grey > level
        if not 1e-5 < ink.mean() < 0.6:  # noqa: PLR2004 (more than that is no writing)
            return 0.0
        ink_values, paper = grey[ink], grey[~ink]
        spread = ink_values.std() + paper.std() + 0.02
        return float(abs(ink_values.mean() - paper.mean()) / spread)

    preference = [1.15, *[1.0] * (len(channels) - 1)]
    distances = [weight * distance(one) for weight, one in zip(preference, channels, strict=True)]
    return channels[int(np.argmax(distances))]


def above_paper(bright: Grey, *, dark: bool) -> Grey:
    """Return how much brighter than the paper each pixel is, with uneven light taken out.

    Args:
        bright: The picture, with the ink bright; negative if the ink is dark.
        dark: Whether the ink is dark: where there is less light, it has less contrast.
    """
    flat = np.asarray(np.clip(bright - np.median(bright), 0, None))
    # Of few pixels, or clearly of two brightnesses: drawn, not photographed.
    if min(bright.shape) < 40 or separability(bright) > CLEAR:  # noqa: PLR2004
        return flat
    paper = paper_of(bright)
    low, high = np.percentile(paper, [3, 97])
    if high - low <= UNEVEN * (np.percentile(bright, 99.8) - np.median(bright)):
        return flat
    ink = np.clip(bright - paper, 0, None)
    return np.asarray(ink / np.maximum(1 - paper, 0.15)) if dark else ink


def paper_of(bright: Grey) -> Grey:
    """Return the brightness of the paper everywhere: what is left without anything narrow.

    Method: grey opening, whose window grows until it is wider than the strokes. In a narrower one
    strokes are hollow, and look thin: then the next one shows more ink.
    """
    narrower, shown = None, 0.0
    for share in (30, 18, 10, 5):
        window = max(15, min(bright.shape) // share)
        factor = max(1, window // 15)
        small = averaged(bright, factor)
        size = max(3, round(window / factor) | 1)
        opened = ndimage.grey_opening(
            ndimage.gaussian_filter(small, 0.7), (size, size), mode="nearest"
        )
        paper = resized(ndimage.gaussian_filter(opened, size / 4, mode="nearest"), bright.shape)
        ink = bright - paper
        strokes = ink > max(otsu(ink), 0.4 * float(np.percentile(ink, 99.5)))
        if narrower is not None and strokes.mean() < MORE_INK * shown:
            return narrower
        wide = window > 3.5 * stroke_width(strokes) + 4
        narrower, shown = (paper if wide else None), float(strokes.mean())
    return paper


def threshold(ink: Grey) -> float:
    """Return from which value on a pixel is ink: Otsu's, but at least 0.38 of the ink's own level.

    Where ink is rare, Otsu's threshold lies too close to the paper; in its noise if that is
    strong. Ink hangs together and noise does not: so it is applied again to what lies above.
    """
    level = otsu(ink)
    for _ in range(MOST_LEVELS):
        inked = ink[ink > level]
        if not inked.size or hangs_together(ink > level):
            break
        level = otsu(inked)
    inked = ink[ink > level]
    return max(level, 0.38 * float(np.percentile(inked, 75))) if inked.size else level


def hangs_together(mask: Mask) -> bool:
    """Return whether most of it is solid; or, where there is little, in parts larger than noise."""
    grain = min(LARGEST_GRAIN, mask.size // 5000)
    if not grain:  # of so few pixels that strokes are as thin as noise
        return True
    if mask.mean() > DENSE:  # even grains of noise touch each other
        return bool(ndimage.binary_opening(mask, np.ones((3, 3))).sum() > 0.5 * mask.sum())
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels[mask])
    return bool(areas[areas >= grain].sum() > 0.5 * mask.sum())


def separability(values: Grey) -> float:
    """Return which share of the variance is that between ink and paper (Otsu, 1979)."""
    above = values > otsu(values)
    share, variance = float(above.mean()), float(values.var())
    if variance == 0 or share in (0, 1):
        return 0.0
    distance = float(values[above].mean() - values[~above].mean())
    return share * (1 - share) * distance**2 / variance


def otsu(values: Grey) -> float:
    """Return the threshold that leaves two classes with the least variance within (Otsu, 1979)."""
    if np.ptp(values) < 1e-5:  # noqa: PLR2004 (less than floats tell apart reliably)
        return float(values.max())
    counts, edges = np.histogram(values, bins=256)
    centres = (edges[:-1] + edges[1:]) / 2
    share = np.cumsum(counts / counts.sum())
    mean = np.cumsum(centres * counts / counts.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        between = np.nan_to_num((mean[-1] * share - mean) ** 2 / (share * (1 - share)))
    return float(centres[between >= between.max() - 1e-12].mean())
