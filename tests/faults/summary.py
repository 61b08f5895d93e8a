"""Print the findings of `make faults`, from faults.jsonl: docs/reproducibility.md has them."""

import json
from collections import Counter
from pathlib import Path

FINDINGS = Path("faults.jsonl")  # in the folder where make runs it

# Places and moments differ each time; these do not.
TOLD = {
    "stage",
    "in_training",
    "resumed",
    "damage",
    "found",
    "memory",
    "repaired",
    "name",
    "refused",
}


def main() -> None:
    """Print a line for each kind of fault and each outcome of it, with how often it occurred."""
    lines = FINDINGS.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    kinds = Counter(one["kind"] for one in found)
    for kind, count in kinds.items():
        print(f"{kind}: {count}")
        parts = Counter(
            tuple(f"{key}: {value}" for key, value in one.items() if key in TOLD)
            for one in found
            if one["kind"] == kind
        )
        for part, times in sorted(parts.items()):
            print(f"  {times:5}  {', '.join(part)}")


if __name__ == "__main__":
    main()
