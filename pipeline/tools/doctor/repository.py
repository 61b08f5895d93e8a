"""The Git repository: what a merge, an experiment or a link has left that is in the way of DVC."""

from pathlib import Path

from pipeline.history.revisions import git
from pipeline.tools.doctor.checkup import Finding, good, note, problem, some

# Where DVC keeps the commit that an experiment in the workspace started from, while it runs.
RUNNING = "refs/exps/exec/EXEC_BASELINE"
DATA = "data"
GO_ON = {
    "MERGE_HEAD": "git commit",
    "CHERRY_PICK_HEAD": "git cherry-pick --continue",
    "REBASE_HEAD": "git rebase --continue",
}


def repository(folder: Path) -> Finding | None:
    """Return whether the project is in the state of a commit; None where there is no Git."""

    def said(*arguments: str) -> str:
        return git(*arguments, folder=folder).stdout.decode()

    if not said("rev-parse", "--git-dir"):
        return None
    if (folder / DATA).is_symlink():
        return problem(
            f"{DATA}/ is a link, which DVC refuses once an output changes",
            f"Make it a folder, and have only DVC's cache on the other disk: `rm {DATA}`, `dvc "
            "cache dir /other/disk`, `dvc config cache.type symlink`, `dvc checkout`",
        )
    unmerged = sorted({line.split("\t")[1] for line in said("ls-files", "-u").splitlines()})
    if unmerged:
        begun = (name for name in GO_ON if said("rev-parse", "--quiet", "--verify", name))
        go_on = GO_ON[next(begun, "MERGE_HEAD")]
        return problem(
            f"a merge waits for {some(unmerged)}",
            f"Resolve what is yours, `dvc repro` for the results, `git add --update`, `{go_on}`",
        )
    is_detached = not said("symbolic-ref", "--quiet", "HEAD")
    if is_detached and said("rev-parse", "--quiet", "--verify", RUNNING):
        return problem(
            "an experiment (`dvc exp run`) runs here, or was killed: HEAD is on no branch, and "
            "params.yaml has its values",
            "If none runs: `git stash`, `git checkout -`, `dvc checkout`; the stash has the values",
        )
    if said("rev-parse", "--is-shallow-repository").strip() == "true":
        return note(
            "a shallow clone, in which `dvc exp run` with --temp or --queue records nothing",
            "`git fetch --unshallow`",
        )
    return good("no merge and no experiment is unfinished")
