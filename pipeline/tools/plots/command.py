"""Write a page of the pipeline's plots that needs no network, and open it in the browser.

Reads what dvc.yaml lists under `plots`; with BASE, also from that revision, whose plots then
stand beside those of the workspace. Writes dvc_plots/index.html and pictures beside it, and
prints the page's path. The browser opens only where there is a screen.

Examples:
  python -m pipeline plots
  python -m pipeline plots main --no-open

Exit codes: 0 written, 2 error.
"""

import os
import tempfile
import webbrowser
from pathlib import Path

from pipeline.history.dvc_command import dvc_environment, run_dvc
from pipeline.history.revisions import PROJECT, resolve, without_repository
from pipeline.runtime.errors import PipelineError
from pipeline.tools.browser import has_screen
from pipeline.tools.command_line import run_tool, tool_parser
from pipeline.tools.plots.template import plots_template

FOLDER = "dvc_plots"  # as DVC calls it by default


def plots(base: str | None = None) -> Path:
    """Write the page of plots, with its pictures, and return its path.

    Args:
        base: The revision to show beside the workspace; none, if None.

    Raises:
        PipelineError: There is no such revision, or DVC made no page.
    """
    if base is not None:
        resolve(base)
    command = ["show"] if base is None else ["diff", base]
    title = "Plots" if base is None else f"Plots: workspace and {base}"
    page = PROJECT / FOLDER / "index.html"
    page.unlink(missing_ok=True)  # an old one must not pass for the new one
    with (
        tempfile.TemporaryDirectory() as scratch,
        Path(os.devnull).open("w", encoding="utf-8") as nowhere,  # DVC prints the address
    ):
        template = Path(scratch) / "template.html"
        template.write_text(plots_template(title), encoding="utf-8")
        code = run_dvc(
            *("plots", *command, "--html-template", str(template), "--out", FOLDER),
            folder=PROJECT,
            environment=without_repository(dvc_environment()),
            output=nowhere,
        )
    if not page.exists():
        raise PipelineError(
            f"dvc plots {command[0]} made no page (exit code {code}); its message stands above"
        )
    return page


def main() -> int:
    """Parse the command line, write the page, print its path, open it, return the exit code."""
    parser = tool_parser("plots", __doc__, formats=False)
    parser.add_argument(
        "base",
        nargs="?",
        metavar="BASE",
        help="branch, tag, commit, or experiment of `dvc exp` (default: none)",
    )
    parser.add_argument("--no-open", action="store_true", help="open no browser")
    arguments = parser.parse_args()
    page = plots(arguments.base)
    print(page, flush=True)
    if not arguments.no_open and has_screen():
        webbrowser.open(page.as_uri())
    return 0


if __name__ == "__main__":
    run_tool("plots", main)
