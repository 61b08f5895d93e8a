"""Fuzz a reader: only its documented errors may come out, within seconds and megabytes.

    python tests/faults/fuzz.py idx --executions 1000000

Guided by coverage where atheris is installed (pip install atheris, on Linux), else by chance alone.
What goes wrong is saved beside, and ends the run with status 1.
"""

import argparse
import gc
import hashlib
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script, from anywhere
    if find_spec("atheris") and "--by-chance" not in sys.argv:
        import atheris

        # Not of the large libraries, whose many lines would hide what matters. Never left, since
        # some modules are imported by the first reading.
        atheris.instrument_imports(include=["pipeline", "gzip", "zipfile"]).__enter__()

from fuzz_targets import LARGEST_INPUT, TARGETS, Target

from pipeline.runtime.errors import PipelineError

MOST_MEMORY = 256  # MiB that one file may take beyond the peak so far
LONGEST_MESSAGE = 10_000  # characters


class UnexpectedError(Exception):
    """A reader did what it must not."""


@dataclass
class Campaign:
    """A run of a target, and what came of it."""

    target: Target
    folder: Path
    executions: int = 0
    refused: int = 0
    slowest: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    memory: float = 0.0

    def warm_up(self) -> list[bytes]:
        """Read the files to begin with, and remember how much memory that takes."""
        seeds = self.target.seeds()
        for seed in seeds:
            self.execute(seed, count=False)
        self.memory = peak_memory()
        self.started = time.perf_counter()
        return seeds

    def execute(self, content: bytes, *, count: bool = True) -> None:
        """Read one file.

        Raises:
            UnexpectedError: It ended in another way than it may.
        """
        path = self.folder / f"input{self.target.suffix}"
        path.write_bytes(content)
        before = peak_memory()
        seconds = self.read(path, count=count)
        if not count:
            return
        if seconds > self.target.slowest:
            # The system may have charged its own work to this process; it does not do so twice.
            seconds = min(seconds, self.read(path, count=False))
        if self.executions % 10_000 == 0:
            gc.freeze()  # what Atheris keeps of each reading, which would be gone through in others
        self.executions += 1
        self.slowest = max(self.slowest, seconds)
        if seconds > self.target.slowest:
            raise UnexpectedError(f"took {seconds:.1f} s")
        if peak_memory() - before > MOST_MEMORY:
            raise UnexpectedError(f"took {peak_memory() - before:.0f} MiB of memory")

    def read(self, path: Path, *, count: bool) -> float:
        """Read a file, and return how many seconds of a processor it took.

        Raises:
            UnexpectedError: It ended in another way than it may.
        """
        begun = time.process_time()  # not of the clock, which goes on while others have their turn
        try:
            self.target.read(path)
        except PipelineError as error:
            self.refused += count
            check_message(str(error))
        except Exception as error:
            raise UnexpectedError(f"{type(error).__name__}: {error}") from error
        return time.process_time() - begun

    def __str__(self) -> str:
        seconds = time.perf_counter() - self.started
        return (
            f"{self.executions} executions, {self.refused} of them refused, "
            f"{self.executions / seconds:.0f}/s, slowest {self.slowest * 1000:.0f} ms, "
            f"peak memory {peak_memory():.0f} MiB ({peak_memory() - self.memory:+.0f})"
        )


def check_message(message: str) -> None:
    """Refuse what nobody could read in a terminal."""
    lines = message.split("\n")
    if len(message) > LONGEST_MESSAGE or not all(line.isprintable() for line in lines):
        raise UnexpectedError(f"a message that cannot be read: {message[:1000]!r}")


def peak_memory() -> float:
    """Return the most memory that this process has had, in MiB."""
    units = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units


def run(campaign: Campaign, executions: int, seed: int) -> None:
    """Read damaged files, by chance alone: the same ones for the same seed."""
    chance = random.Random(seed)
    seeds = campaign.warm_up()
    for _ in range(executions):
        content = chance.choice(seeds)
        for _ in range(chance.choice((1, 1, 2, 3))):
            content = campaign.target.mutate(content, chance)
        try:
            campaign.execute(content)
        except UnexpectedError:
            save(campaign, content)
            raise


def run_guided(campaign: Campaign, executions: int, seed: int) -> None:
    """Read damaged files, going on from those that reach new lines; never returns."""
    import atheris

    def execute(content: bytes) -> None:
        try:
            campaign.execute(content)
        except UnexpectedError as error:
            finish(campaign, error, content)
        if campaign.executions >= executions:
            finish(campaign)

    def mutate(content: bytes, largest: int, seed: int) -> bytes:
        chance = random.Random(seed)
        kind = chance.random()
        if kind < 0.2:
            return bytes(atheris.Mutate(content, largest))
        # It prefers short files to good ones; these lead further.
        content = chance.choice(seeds) if kind < 0.5 else content
        return campaign.target.mutate(content, chance)[:largest]

    corpus = campaign.folder / "corpus"
    corpus.mkdir()
    seeds = campaign.warm_up()
    for number, content in enumerate(seeds):
        (corpus / str(number)).write_bytes(content)
    options = [f"-seed={seed}", f"-max_len={LARGEST_INPUT}", "-timeout=60", "-rss_limit_mb=8192"]
    arguments = [sys.argv[0], *options, "-len_control=0", str(corpus)]
    atheris.Setup(arguments, execute, custom_mutator=mutate)
    atheris.Fuzz()


def finish(campaign: Campaign, error: Exception | None = None, content: bytes = b"") -> None:
    """End the process here, since libFuzzer would not."""
    print(campaign, flush=True)
    if error:
        save(campaign, content)
        print(f"{error.__class__.__name__}: {error}", flush=True)
    os._exit(1 if error else 0)


def save(campaign: Campaign, content: bytes) -> None:
    """Keep what went wrong, under a name of its own, in the folder that one is in."""
    name = f"fuzz-{hashlib.sha256(content).hexdigest()[:12]}{campaign.target.suffix}"
    Path(name).write_bytes(content)
    print(f"The input is in {name}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--by-chance", action="store_true", help="even where atheris is installed")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # to warn is no error
    guided = not arguments.by_chance and find_spec("atheris") is not None
    print("Guided by coverage" if guided else "By chance alone")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        campaign = Campaign(TARGETS[arguments.target], Path(name))
        (run_guided if guided else run)(campaign, arguments.executions, arguments.seed)
        print(campaign)


if __name__ == "__main__":
    main()
