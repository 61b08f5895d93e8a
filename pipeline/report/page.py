"""The page of a run: one HTML file that needs no network and no other file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from pipeline.evaluation.predictions import confused_pairs, most_confident_errors
from pipeline.evaluation.wording import rejection_sentence, setting
from pipeline.report.charts import charts, robustness_charts
from pipeline.report.figures import CLASSES_WITH_COUNTS, confusion_counts, percentage
from pipeline.report.pictures import sprite
from pipeline.report.run import Run

IMAGES_PER_CELL = 24  # of the confusion matrix, at most
PAIRS, PAIRS_WITHOUT_MATRIX = 10, 50


def run_page(run: Run, template: str, gallery_size: int) -> str:
    """Return the page, the same text for the same run.

    Args:
        run: What it shows.
        template: What it looks like, in the language of Jinja.
        gallery_size: How many of the most confident errors it shows, at most.
    """
    is_small = len(confusion_counts(run.predictions)) <= CLASSES_WITH_COUNTS
    matrix = _matrix(run.predictions) if is_small else []
    errors = most_confident_errors(run.predictions)
    gallery = errors.index[:gallery_size]
    shown = sorted(
        {*gallery, *(index for row in matrix for cell in row for index in cell["images"])}
    )
    places = {index: place for place, index in enumerate(shown)}

    actual, predicted = run.predictions["actual"], run.predictions["predicted"]
    confidence = run.predictions["calibrated_confidence"]

    def image(index: int) -> dict[str, Any]:
        return {
            "place": places[index],
            "index": index,
            "actual": run.name(actual[index]),
            "predicted": run.name(predicted[index]),
            "confidence": percentage(float(confidence[index])),
        }

    images = {
        f"{cell['actual']} {cell['predicted']}": [image(index) for index in cell["images"]]
        for row in matrix
        for cell in row
        if cell["images"]
    }
    pairs = confused_pairs(run.predictions)
    by_class = run.by_class if is_small else run.by_class.sort_values("f1", kind="stable")
    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return jinja.from_string(template).render(
        run=run,
        decisions=list(_decisions(run)),
        charts=charts(run),
        matrix=matrix,
        pairs=pairs.head(PAIRS if is_small else PAIRS_WITHOUT_MATRIX).to_dict("records"),
        by_class=by_class.to_dict("records"),
        gallery=[image(index) for index in gallery],
        errors=len(errors),
        sprite=sprite(run.images[shown]),
        # No name of a class may end the element that it stands in.
        images=json.dumps(images, ensure_ascii=False).replace("<", "\\u003c"),
        robustness=robustness_charts(run.robustness),
        parameters=list(_flat(run.parameters)),
        environment=list(_flat(run.environment)),
    )


def _matrix(predictions: pd.DataFrame) -> list[list[dict[str, Any]]]:
    """Return the confusion matrix: of each cell its count, and which images it shows.

    Wrong ones are shown with the most confident first, right ones with the least confident first.
    """
    counts = confusion_counts(predictions)
    ranked = predictions.sort_values("calibrated_confidence", ascending=False, kind="stable")
    groups = ranked.groupby(["actual", "predicted"]).groups
    most_wrong = max(1, int((counts - np.diag(np.diag(counts))).max()))
    rows = []
    for actual, row in enumerate(counts.tolist()):
        cells = []
        for predicted, count in enumerate(row):
            images = [int(index) for index in groups.get((actual, predicted), [])]
            right = actual == predicted
            cells.append(
                {
                    "actual": actual,
                    "predicted": predicted,
                    "count": count,
                    # The square root keeps small counts apart from none.
                    "depth": (count / (sum(row) if right else most_wrong)) ** 0.5 if count else 0,
                    "images": (images[::-1] if right else images)[:IMAGES_PER_CELL],
                }
            )
        rows.append(cells)
    return rows


def _decisions(run: Run) -> Iterator[dict[str, Any]]:
    for target, found in run.metrics["rejection"].items():
        yield {
            "goal": f"{100 * float(target):g}%",
            "sentence": rejection_sentence(target, found, run.points),
            "threshold": run.points["thresholds"][target],
            "missed": found.get("risk", 0) > float(target),
            **found,
        }


def _flat(tree: Mapping[str, Any], prefix: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield the leaves of a tree of settings, each with its path."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, (*prefix, str(key)))
        else:
            yield ".".join((*prefix, str(key))), value if isinstance(value, str) else setting(value)
