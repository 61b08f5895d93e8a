"""What ``dvc repro`` printed: which stages ran, and which were spared."""

import re

# What DVC 3.67 says of a stage, and what that comes to.
MESSAGES = {
    r"Running stage '(.+)':": "ran",
    r"Stage '(.+)' is cached - skipping run, checking out outputs": "from the run cache",
    r"Stage '(.+)' didn't change, skipping": "unchanged",
    r"ERROR: failed to reproduce '(.+?)'.*": "failed",
}


def parse_run_log(text: str) -> dict[str, str]:
    """Return what became of every stage: "ran", "from the run cache", "unchanged" or "failed".

    A stage that the log does not mention, since the run failed before it, is not in it.
    """
    return {
        found[1]: outcome
        for line in text.splitlines()
        for message, outcome in MESSAGES.items()
        if (found := re.fullmatch(message, line.strip()))
    }
