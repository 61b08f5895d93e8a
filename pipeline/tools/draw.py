"""Open a page to draw digits on, which has a trained network inside and needs no internet.

Without --model it is the committed page of the study's champion, studies/champion/draw.html. With
--model FOLDER, such as data/model after `dvc repro`, the page is written there, with the network
of the model.onnx in that folder.

Examples:
  python -m pipeline draw
  python -m pipeline draw --model data/model

Exit codes: 0 done, 2 error.
"""

import webbrowser
from pathlib import Path

from pipeline.export.draw_page import draw_page
from pipeline.reading.reader import CHAMPION, PROJECT, Reader
from pipeline.runtime.atomic import write_text
from pipeline.runtime.errors import UNREADABLE, PipelineError
from pipeline.tools.browser import has_screen
from pipeline.tools.command_line import run_tool, tool_parser

PAGE = "draw.html"
ROOM = PROJECT / "pipeline" / "export"


def written(model: Path) -> Path:
    """Write the page of the network in a folder there, and return its path.

    Raises:
        PipelineError: There is no such network.
        OSError: The page cannot be written.
    """
    network = Reader(model).network
    page = model / PAGE
    texts = [(ROOM / name).read_text(encoding="utf-8") for name in ("draw.html", "draw.js")]
    try:
        html = draw_page(network, *texts)
    except UNREADABLE as error:
        raise PipelineError(f"{model}: what the network tells of itself is nonsense") from error
    write_text(page, html)
    return page


def main() -> int:
    """Parse the command line, open the page where there is a screen, return the exit code."""
    parser = tool_parser("draw", __doc__, formats=False)
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="with a model.onnx")
    parser.add_argument("--no-open", action="store_true", help="open no browser")
    given = parser.parse_args()
    page = (written(given.model) if given.model else CHAMPION / PAGE).resolve()
    print(page)
    if not given.no_open and has_screen():
        webbrowser.open(page.as_uri())
    return 0


if __name__ == "__main__":
    run_tool("draw", main)
