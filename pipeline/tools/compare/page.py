"""A comparison of two revisions, as a page for people and as JSON types for scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.wording import setting
from pipeline.history.changes import Change
from pipeline.history.revisions import Revision
from pipeline.runtime.lock import LOCK_FILE
from pipeline.tools.compare.comparison import (
    BETTER,
    WORSE,
    Comparison,
    interval_facts,
    points,
)
from pipeline.tools.page import Headline, Page, Table

# Of a confusion matrix that can be read as one, and of a list in its place.
MOST_CLASSES, MOST_CELLS = 20, 30
MOODS = {BETTER: "good", WORSE: "bad"}


@dataclass(frozen=True)
class Side:
    """One of the two revisions.

    Attributes:
        revision: Where its predictions come from.
        outdated: Files and folders that have changed since they were made.
    """

    revision: Revision
    outdated: Sequence[str]


def comparison_page(
    sides: Sequence[Side], comparison: Comparison, differing: Mapping[str, Sequence[Change]]
) -> Page:
    """Return a comparison for people: the verdict first, possible explanations last.

    Args:
        sides: The base, then the revision.
        comparison: Of their predictions.
        differing: The other changes between them, by the file that they are in.
    """
    return [
        comparison_headline(comparison),
        *(
            f"Out of date: {', '.join(side.outdated)} changed after the predictions of "
            f"{side.revision} were made. `dvc repro` brings them up to date."
            for side in sides
            if side.outdated
        ),
        _accuracy_table(sides, comparison),
        difference_table(comparison),
        class_table(comparison),
        confusion_table(comparison),
        changes_table(differing),
    ]


def comparison_headline(comparison: Comparison) -> Headline:
    """Return the verdict."""
    return Headline(comparison.sentence, MOODS.get(comparison.verdict, "neutral"))


def _accuracy_table(sides: Sequence[Side], comparison: Comparison) -> Table:
    return Table(
        "Accuracy",
        ["revision", "correct", "accuracy", "95% interval (Wilson)"],
        [
            [
                str(side.revision),
                f"{accuracy.correct:,}",
                f"{accuracy.share:.2%}",
                f"{accuracy.low:.2%} to {accuracy.high:.2%}",
            ]
            for side, accuracy in zip(sides, (comparison.base, comparison.revision), strict=True)
        ],
        numeric=[1, 2],
    )


def difference_table(comparison: Comparison) -> Table:
    """Return the difference in accuracy with its interval and tests."""
    low, high = (points(bound, signed=True) for bound in (comparison.low, comparison.high))
    least = comparison.smallest_significant
    significant = "none" if least is None else f"{points(least)} points"
    return Table(
        "Difference",
        ["figure", "value"],
        [
            ["accuracy", f"{points(comparison.difference, signed=True)} points"],
            ["95% interval (paired bootstrap)", f"{low} to {high} points"],
            ["newly right", f"{comparison.newly_right} images"],
            ["newly wrong", f"{comparison.newly_wrong} images"],
            ["McNemar's test, exact", f"p {_p_value(comparison.exact_p)}"],
            ["McNemar's test, mid-p", f"p {_p_value(comparison.mid_p)}"],
            ["smallest significant difference", significant],
            ["margin", f"{comparison.margin:g} points"],
        ],
    )


def class_table(comparison: Comparison) -> Table:
    """Return the images of each class that only one of the two gets right.

    Of more than ``MOST_CLASSES`` classes, only those are shown in which there are any.
    """
    rows = [
        [comparison.name(label), str(images), str(right), str(wrong), _signed(right - wrong)]
        for label, images, right, wrong in comparison.by_class.itertuples(index=False)
        if right or wrong or len(comparison.by_class) <= MOST_CLASSES
    ]
    columns = ["class", "images", "newly right", "newly wrong", "net"]
    return Table("By class", columns, rows, numeric=range(1 if comparison.class_names else 0, 5))


def confusion_table(comparison: Comparison) -> Table | str:
    """Return the cells of the confusion matrix, after minus before.

    Of more than ``MOST_CLASSES`` classes, only the cells are shown that have changed most.
    """
    change, name = comparison.confusion_change, comparison.name
    if not change.any():
        return "The confusion matrix has not changed."
    if len(change) > MOST_CLASSES:
        cells = [(*map(int, cell), int(change[tuple(cell)])) for cell in np.argwhere(change)]
        most = sorted(cells, key=lambda cell: -abs(cell[2]))[:MOST_CELLS]
        return Table(
            f"The {len(most)} largest of {len(cells)} changes of the confusion matrix",
            ["actual", "predicted", "change"],
            [[name(actual), name(predicted), _signed(count)] for actual, predicted, count in most],
            numeric=[2],
        )
    return Table(
        "Change of the confusion matrix (rows: actual, columns: predicted)",
        ["", *map(name, range(len(change)))],
        [[name(label), *map(_signed, row)] for label, row in enumerate(change.tolist())],
        numeric=range(1 if comparison.class_names else 0, len(change) + 1),
    )


def changes_table(differing: Mapping[str, Sequence[Change]]) -> Table | str:
    """Return the other changes between two revisions, by the file that they are in."""
    rows = [
        [file, change.key, _value(file, change.old), _value(file, change.new)]
        for file, found in differing.items()
        for change in found
    ]
    if not rows:
        return f"Nothing differs in {', '.join(differing)} that could explain a difference."
    return Table("What else differs", ["file", "entry", "old", "new"], rows)


def _signed(count: int) -> str:
    return f"{count:+d}".replace("-", "−") if count else "·"


def _p_value(value: float) -> str:
    return f"= {value:.3f}" if value >= 0.001 else "< 0.001"  # noqa: PLR2004 (three decimals)


def _value(file: str, value: Any) -> str:
    # The first digits of an MD5 tell it from others.
    return str(value)[:8] if value and file == LOCK_FILE else setting(value)


def difference_facts(comparison: Comparison) -> dict[str, Any]:
    """Return the difference as JSON types, with the smallest that would be significant."""
    least = comparison.smallest_significant
    return {
        **interval_facts(comparison.difference, comparison.low, comparison.high),
        "margin_points": comparison.margin,
        "smallest_provable_points": None if least is None else round(100 * least, 9),
    }


def comparison_facts(
    sides: Sequence[Side], comparison: Comparison, differing: Mapping[str, Sequence[Change]]
) -> dict[str, Any]:
    """Return a comparison as JSON types, its arguments those of ``comparison_page``."""
    return {
        "verdict": comparison.verdict,
        "no_worse_than_margin": comparison.is_no_worse,
        "sentence": comparison.sentence,
        **{
            name: {
                "name": side.revision.name,
                "commit": side.revision.commit,
                "outdated": list(side.outdated),
                "accuracy": asdict(accuracy),
            }
            for name, side, accuracy in zip(
                ("base", "revision"), sides, (comparison.base, comparison.revision), strict=True
            )
        },
        "images": comparison.images,
        **difference_facts(comparison),
        "newly_right": comparison.newly_right,
        "newly_wrong": comparison.newly_wrong,
        "mcnemar": {"exact_p": comparison.exact_p, "mid_p": comparison.mid_p},
        "by_class": comparison.by_class.to_dict("records"),
        "confusion_change": comparison.confusion_change.tolist(),
        "differing": {
            file: [change._asdict() for change in found] for file, found in differing.items()
        },
    }
