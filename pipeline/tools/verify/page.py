"""A reproduction, as a page for people and as JSON types for scripts."""

from typing import Any

from pipeline.evaluation.wording import setting
from pipeline.history.revisions import Revision
from pipeline.tools.compare.page import difference_facts
from pipeline.tools.page import Headline, Page, Table
from pipeline.tools.verify.reproduction import CONSISTENT, REPRODUCED, Reproduction


def reproduction_page(revision: Revision, reproduction: Reproduction) -> Page:
    """Return a reproduction for people: the verdict first, every output last."""
    mood = {REPRODUCED: "good", CONSISTENT: "neutral"}.get(reproduction.verdict, "bad")
    return [
        Headline(f"{revision}: {reproduction.sentence}", mood),
        *_reasons(reproduction),
        Table(
            "Outputs, by their MD5",
            ["stage", "output", "locked", "reproduced", "same"],
            [
                [
                    output.stage,
                    output.path,
                    output.locked[:8],
                    output.reproduced[:8],
                    "yes" if output.is_same else "NO",
                ]
                for output in reproduction.outputs
            ],
        ),
    ]


def _reasons(reproduction: Reproduction) -> Page:
    """Return the predictions and the environment of a reproduction with other bytes."""
    if reproduction.verdict == REPRODUCED:
        return []
    environment = [
        [change.key, setting(change.old), setting(change.new)]
        for change in reproduction.environment
    ]
    comparison = reproduction.comparison
    return [
        f"Predictions, committed → reproduced. {comparison.sentence}"
        if comparison
        else "The predictions cannot be compared.",
        Table("The environment", ["entry", "locked", "now"], environment)
        if environment
        else "The environment is the same.",
    ]


def reproduction_facts(revision: Revision, reproduction: Reproduction) -> dict[str, Any]:
    """Return a reproduction as JSON types, its arguments those of ``reproduction_page``."""
    comparison = reproduction.comparison
    return {
        "verdict": reproduction.verdict,
        "sentence": reproduction.sentence,
        "revision": {"name": revision.name, "commit": revision.commit},
        "first_difference": reproduction.first_difference,
        "changed_meanwhile": reproduction.changed_meanwhile,
        "outputs": [output._asdict() | {"same": output.is_same} for output in reproduction.outputs],
        "environment": [change._asdict() for change in reproduction.environment],
        "predictions": comparison
        and {
            "verdict": comparison.verdict,
            "equivalent": comparison.is_equivalent,
            **difference_facts(comparison),
        },
    }
