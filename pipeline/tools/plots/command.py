"""Write DVC's page of plots, which needs no network, and open it in the browser.

Without BASE the plots are those of the workspace; with BASE, a branch, tag, commit or experiment,
its plots stand beside them.
"""

import os
import sys
import tempfile
import webbrowser
from pathlib import Path

from pipeline.history.dvc_command import dvc_environment, run_dvc
from pipeline.history.revisions import PROJECT, resolve, without_repository
from pipeline.runtime.errors import PipelineError
from pipeline.tools.command_line import run_tool, tool_parser, write
from pipeline.tools.plots.page import plots_page


def plots(base: str | None = None, folder: Path = PROJECT / "dvc_plots") -> Path:
    """Write the page of plots with its pictures into a folder and return the page's path.

    Args:
        base: The revision to show beside the workspace; none, if None.
        folder: By default the one that DVC writes to by default.

    Raises:
        PipelineError: There is no such revision, or DVC made no page.
    """
    if base is not None:
        resolve(base)
    command = ["show"] if base is None else ["diff", base]
    title = "Plots" if base is None else f"Plots: workspace and {base}"
    page = folder / "index.html"
    page.unlink(missing_ok=True)  # where DVC writes none, an old one is not to be taken for it
    with tempfile.TemporaryDirectory() as scratch:
        template = Path(scratch) / "template.html"
        template.write_text(plots_page(title), encoding="utf-8")
        status = _run_dvc_plots(*command, "--html-template", str(template), "--out", str(folder))
    if not page.exists():
        raise PipelineError(
            f"dvc plots {command[0]} made no page (exit status {status}); its message stands above"
        )
    return page


def _run_dvc_plots(*arguments: str) -> int:
    """Run ``dvc plots`` in the project and return its exit status; errors are shown."""
    # The page's address, which it prints, is printed here once the page is known to be there.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        return run_dvc(
            "plots",
            *arguments,
            folder=PROJECT,
            environment=without_repository(dvc_environment()),
            output=nowhere,
        )


def has_screen() -> bool:
    """Return whether a browser has where to show itself.

    Python would otherwise start one for terminals, which takes the terminal over. ``BROWSER`` is
    the user's own choice, which may lead to another machine's screen.
    """
    variables = {"BROWSER", "DISPLAY", "WAYLAND_DISPLAY"}
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in variables)


def main() -> int:
    """Parse the command line, write the page, print its path, open it, return the exit status."""
    parser = tool_parser("plots", __doc__, formats=False)
    parser.epilog = "Exit status: 0; 2 for errors."
    parser.add_argument("base", nargs="?", metavar="BASE", help="default: the workspace alone")
    parser.add_argument("--no-open", action="store_true", help="only print the page's path")
    arguments = parser.parse_args()
    page = plots(arguments.base)
    write(f"{page}\n")
    if not arguments.no_open and has_screen():
        webbrowser.open(page.as_uri())
    return 0


if __name__ == "__main__":
    run_tool("plots", main)
