"""The model card of a network: what it is for, what it was trained with, how good it is."""

from typing import Any

from jinja2 import Environment, StrictUndefined

from pipeline.evaluation.statistics import wilson_interval
from pipeline.evaluation.wording import in_markdown


def model_card(template: str, **facts: Any) -> str:
    """Return the model card as Markdown, after Mitchell et al. (2019).

    Args:
        template: What it says, in the language of Jinja: ``model_card.md`` in this folder.
        facts: What the template names.
    """
    jinja = Environment(
        autoescape=False,  # noqa: S701 (it is not HTML)
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    jinja.filters["in_markdown"] = in_markdown
    return jinja.from_string(template).render(percent=percent, interval=interval, **facts)


def percent(share: float, digits: int = 2) -> str:
    """Return a share as a percentage."""
    return f"{share:.{digits}%}"


def interval(share: float, images: int) -> str:
    """Return the 95% interval of a share of so many images."""
    low, high = wilson_interval(round(share * images), images)
    return f"{percent(low)} to {percent(high)}"
