"""The output of ``dvc repro``: which stages ran, and which were skipped."""

import re

# What DVC 3.67 prints of a stage, and what it means.
MESSAGES = {
    r"Running stage '(.+)':": "ran",
    r"Stage '(.+)' is cached - skipping run, checking out outputs": "from the run cache",
    r"Stage '(.+)' didn't change, skipping": "unchanged",
    r"ERROR: failed to reproduce '(.+?)'.*": "failed",
}


def parse_run_log(text: str) -> dict[str, str]:
    """Return the outcome of every stage: "ran", "from the run cache", "unchanged" or "failed".

    A stage is missing if the run failed before it.
    """
    return {
        found[1]: outcome
        for line in text.splitlines()
        for message, outcome in MESSAGES.items()
        if (found := re.fullmatch(message, line.strip()))
    }
