"""Measuring several things in turn, so that a noisy machine is noisy for all of them."""

import time
from collections.abc import Callable
from statistics import median


def side_by_side(
    measurements: dict[str, Callable[[], float | None]], rounds: int = 7
) -> dict[str, float]:
    """Take every measurement once a round, after a round that does not count; return medians.

    Args:
        measurements: What to measure, by name: a function that returns what it measured, or
            None to be timed, in seconds.
        rounds: How many rounds count.
    """
    values: dict[str, list[float]] = {name: [] for name in measurements}
    for number in range(rounds + 1):
        for name, measure in measurements.items():
            time.sleep(0.2)  # for the threads of the one before, which spin a while for more work
            start = time.perf_counter()
            measured = measure()
            if number:
                elapsed = time.perf_counter() - start
                values[name].append(elapsed if measured is None else measured)
    for name, found in values.items():
        print(
            f"  {name:<42} {median(found):10.4g}   ({min(found):.4g} to {max(found):.4g})",
            flush=True,
        )
    return {name: median(found) for name, found in values.items()}


def report(what: str, ratio: float, target: str) -> None:
    """Print a ratio with what it is to be."""
    print(f"  → {what}: {ratio:.3g} (target: {target})\n", flush=True)
