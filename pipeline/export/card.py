"""The model card of a network: what it is for, what it was trained with, how good it is."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.evaluation.statistics import wilson_interval
from pipeline.evaluation.wording import in_markdown

TEMPLATE = Path(__file__).with_name("model_card.md")


def model_card(**facts: Any) -> str:
    """Return the model card as Markdown, after Mitchell et al. (2019).

    Args:
        facts: What the template, ``model_card.md`` in this folder, names.
    """
    jinja = Environment(
        autoescape=False,  # noqa: S701 (it is not HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters["in_markdown"] = in_markdown
    template = jinja.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(percent=percent, interval=interval, **facts)


def percent(share: float, digits: int = 2) -> str:
    """Return a share as a percentage."""
    return f"{share:.{digits}%}"


def interval(share: float, images: int) -> str:
    """Return the 95% interval of a share of so many images."""
    low, high = wilson_interval(round(share * images), images)
    return f"{percent(low)} to {percent(high)}"
