"""Run a commit from scratch in a clean clone, and compare every output with its dvc.lock.

Reads the commit from Git, and the raw data from this machine's cache, MNIST_MIRROR or the
mirrors. Writes to a temporary clone only; the workspace stays as it is. Takes as long as
`dvc repro --force`. There are three verdicts:

  reproduced      every byte of every output is the same
  consistent      only outputs of training and after it differ, the environment differs too, and
                  the predictions agree: the 95% interval of the difference in accuracy, as
                  `compare` gives it, lies within the margin on both sides (and the
                  committed metrics have the accuracy of the committed predictions)
  not reproduced  anything else; named is the first stage whose output differs, or what changed
                  while a stage ran

Examples:
  python -m pipeline verify
  python -m pipeline verify v1.0 --keep /tmp/v1    leaves the clone there, to look into

Exit codes: 0 reproduced or consistent, 1 not reproduced, 2 error.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.evaluation.predictions import PREDICTIONS_FILE, parse_predictions
from pipeline.history.changes import changes
from pipeline.history.lineage import entries, read_lock
from pipeline.history.provenance import ENVIRONMENT_FILE, METRICS_FILE, parse_json
from pipeline.history.revisions import Revision, resolve
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.lock import LOCK_FILE, Lock, parse_lock
from pipeline.tools.command_line import add_margin, run_tool, show, tool_parser
from pipeline.tools.compare.comparison import Comparison, compare_predictions
from pipeline.tools.verify.clean_clone import run_in_clone
from pipeline.tools.verify.page import reproduction_facts, reproduction_page
from pipeline.tools.verify.reproduction import NOT_REPRODUCED, Reproduction


def verify(revision: Revision, margin: float, keep: Path | None = None) -> Reproduction:
    """Run a revision from scratch and return how its outputs differ from the committed ones.

    Args:
        revision: A commit.
        margin: How far the accuracies may differ, in percentage points.
        keep: Where the clone is made and stays; None for a temporary one.

    Raises:
        PipelineError: The revision has no lock file or a stale one, or its pipeline does not run,
            or writes outside of its folder.
    """
    content = revision.read(LOCK_FILE)
    if content is None:
        raise PipelineError(f"{revision}: no {LOCK_FILE} there, so there is nothing to verify")
    locked = parse_lock(content, f"{revision}: {LOCK_FILE}")
    with _folders(keep) as (folder, scratch):
        _say(f"Running the pipeline of {revision} from scratch, in a clone of its own\n")
        project = run_in_clone(revision, locked, folder, scratch)
        _say("")
        reproduced = read_lock(project)
        _refuse_leftovers(revision, locked, reproduced)
        environment = (
            parse_json(content, ENVIRONMENT_FILE)
            for content in _both(revision, project, ENVIRONMENT_FILE)
        )
        return Reproduction(
            locked,
            reproduced,
            environment=changes(*environment),
            comparison=_compare(*_both(revision, project, PREDICTIONS_FILE), margin),
            claimed_accuracy=_claimed_accuracy(revision),
        )


@contextmanager
def _folders(keep: Path | None) -> Iterator[tuple[Path, Path]]:
    """Yield an empty folder for the clone, and one that is always removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="verify-", ignore_cleanup_errors=True) as temporary:
        folder = keep.absolute() if keep else Path(temporary) / "clone"
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PipelineError(f"{keep}: expected a new or an empty folder for the clone")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder, Path(temporary)
        finally:
            if keep:
                _say(f"The clone is in {folder}")


def _refuse_leftovers(revision: Revision, locked: Lock, reproduced: Lock) -> None:
    """Refuse a lock file with entries that the pipeline lacks; ``dvc status`` ignores them."""
    leftovers = sorted(entries(locked) ^ entries(reproduced))
    if leftovers:
        raise PipelineError(
            f"{revision}: {LOCK_FILE} is stale, since it has other entries than the pipeline: "
            f"{', '.join(f'{stage} ({entry})' for stage, entry in leftovers)}. "
            f"`rm {LOCK_FILE} && dvc repro` writes it anew."
        )


def _both(revision: Revision, project: Path, path: str) -> tuple[bytes | None, bytes | None]:
    """Return a file's content as committed and as reproduced."""
    reproduced = project / path
    return revision.read(path), reproduced.read_bytes() if reproduced.is_file() else None


def _compare(committed: bytes | None, reproduced: bytes | None, margin: float) -> Comparison | None:
    """Return how the predictions differ; None where they cannot be compared."""
    if committed is None or reproduced is None:
        return None
    try:
        return compare_predictions(
            parse_predictions(committed, "committed"),
            parse_predictions(reproduced, "reproduced"),
            margin,
        )
    except PipelineError as error:
        _say(f"The predictions cannot be compared: {error}")
        return None


def _claimed_accuracy(revision: Revision) -> float | None:
    """Return the accuracy in the committed metrics; None where they have none."""
    content = revision.read(METRICS_FILE)
    try:
        return float(json.loads(content or b"{}")["accuracy"])
    except (ValueError, LookupError, TypeError):
        return None


def _say(text: str) -> None:
    """Print progress to standard error; the result goes to standard output."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Parse the command line, verify, print, and return the exit code."""
    parser = tool_parser("verify", __doc__)
    parser.add_argument(
        "revision",
        nargs="?",
        default="HEAD",
        metavar="REVISION",
        help="branch, tag, commit, or experiment of `dvc exp` (default: HEAD)",
    )
    add_margin(
        parser,
        0.6,
        "how many percentage points the accuracies may differ by in another environment, about "
        "the noise of training",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="make the clone in this new or empty folder and leave it there",
    )
    arguments = parser.parse_args()
    revision = resolve(arguments.revision)
    reproduction = verify(revision, arguments.margin, arguments.keep)
    show(
        reproduction_page(revision, reproduction),
        reproduction_facts(revision, reproduction),
        arguments.format,
    )
    return int(reproduction.verdict == NOT_REPRODUCED)


if __name__ == "__main__":
    run_tool("verify", main)
