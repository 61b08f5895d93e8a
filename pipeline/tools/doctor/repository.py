"""The Git repository: what a merge, an experiment or a link has left that is in the way of DVC."""

from pathlib import Path

from pipeline.history.revisions import git, git_reason
from pipeline.tools.doctor.checkup import Finding, good, note, problem, some
from pipeline.tools.doctor.storage import MOVE_CACHE

# What Git has while it is at it, and how it goes on. (REBASE_HEAD stays after the end.)
GO_ON = {
    "MERGE_HEAD": "git commit",
    "CHERRY_PICK_HEAD": "git cherry-pick --continue",
    "REVERT_HEAD": "git revert --continue",
    "rebase-merge": "git rebase --continue",
}
# Where DVC keeps the commit that an experiment in the workspace started from, while it runs.
RUNNING = "refs/exps/exec/EXEC_BASELINE"
DATA = "data"


def repository(folder: Path) -> Finding | None:
    """Return whether the project is in the state of a commit; None where DVC is to need no Git."""
    from dvc.config import Config

    def said(*arguments: str) -> str:
        return git(*arguments, folder=folder).stdout.decode()

    asked = git("rev-parse", "--git-dir", folder=folder)
    if asked.returncode:
        none_needed = Config(str(folder / ".dvc"))["core"].get("no_scm")
        missing = problem(
            f"Git finds no repository, without which DVC does not run: {git_reason(asked)}",
            "Run what Git advises there; where the history is missing, as in a ZIP: `git init`, "
            "`git add --all`, `git commit`",
        )
        return None if none_needed else missing
    if (folder / DATA).is_symlink():
        return problem(
            f"{DATA}/ is a link, which DVC refuses once an output changes",
            f"Have only DVC's cache on the other disk: `rm {DATA}`, {' '.join(MOVE_CACHE)}",
        )
    begun = [
        name for name in GO_ON if (folder / said("rev-parse", "--git-path", name).strip()).exists()
    ]
    unmerged = sorted({line.split("\t")[1] for line in said("ls-files", "-u").splitlines()})
    if begun or unmerged:
        go_on = GO_ON[begun[0] if begun else "MERGE_HEAD"]
        return problem(
            f"a merge waits for {some(unmerged)}" if unmerged else "a merge is not finished",
            f"Resolve what is yours, `dvc repro` for the results, `git add --update`, `{go_on}`",
        )
    baseline = said("rev-parse", "--quiet", "--verify", RUNNING)
    is_detached = not said("symbolic-ref", "--quiet", "HEAD")
    if is_detached and baseline and baseline == said("rev-parse", "HEAD"):
        return problem(
            "an experiment (`dvc exp run`) runs here, or was killed: HEAD is on no branch, and "
            "params.yaml has its values",
            "If none runs: `git stash`, `git checkout -`, `dvc checkout`, "
            f"`git update-ref -d {RUNNING}`; the stash has the values",
        )
    if said("rev-parse", "--is-shallow-repository").strip() == "true":
        return note(
            "a shallow clone, in which `dvc exp run` with --temp or --queue records nothing",
            "`git fetch --unshallow`",
        )
    return good("no merge and no experiment is unfinished")
