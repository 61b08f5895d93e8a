"""A page to draw digits on, which has the network inside and needs nothing else."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from pipeline.evaluation.wording import setting
from pipeline.export.network import Layer, Network


def draw_page(network: Network, template: str, code: str) -> str:
    """Return the page as HTML.

    Args:
        network: With its metadata.
        template: ``draw.html`` of this folder.
        code: ``draw.js`` of this folder.
    """
    told = {name: json.loads(text) for name, text in network.metadata.items()}
    thresholds = list(told["operating_points"]["thresholds"].values())
    content = {
        "layers": [_encoded(layer) for layer in network.layers],
        "digitTest": _encoded(network.digit_test),
        "temperature": network.temperature,
        "classes": told["classes"],
        **{name: told["digit_test"][name] for name in ("unlike", "doubtful")},
        # The strictest, as `read` has it: none was set on pictures.
        "threshold": None if None in thresholds else max(thresholds, default=None),
        "facts": _facts(network, told),
    }
    text = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    return template.replace("{{ code }}", code).replace("{{ network }}", text)


def _encoded(layer: Layer) -> dict[str, str]:
    """Return a layer as text: its float32, row by row, in base 64."""
    arrays = {"kernel": layer.kernel, "bias": layer.bias}
    texts = {name: base64.b64encode(array.tobytes()).decode() for name, array in arrays.items()}
    return texts | {"activation": layer.activation}


def _facts(network: Network, told: Mapping[str, Any]) -> dict[str, str]:
    """Return what the page tells of the network, by name."""
    sides = [len(network.layers[0].kernel), *(len(layer.bias) for layer in network.layers)]
    low = told["operating_points"]["thresholds"]
    return {
        "Name": str(told["run"]),
        "Accuracy": f"{told['test_accuracy']:.2%} of MNIST's test images",
        "Layers": "-".join(map(str, sides)),
        "Recipe": ", ".join(f"{name} {setting(value)}" for name, value in told["recipe"].items()),
        "Decides": "from a confidence of "
        + ", ".join(f"{found} ({100 * float(target):g}% wrong)" for target, found in low.items())
        + ", set on MNIST; here the highest counts",
    }
