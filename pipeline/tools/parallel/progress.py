"""What a run shows: on a terminal a line for each running stage and a bar; lines elsewhere."""

import sys

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.jobs.pool import FinishedJob

LONGEST_NAME = 60  # characters


class Progress:
    """Tells the user how a run goes; to be closed."""

    def __init__(self, total: int) -> None:
        """Begin, with so many stages."""
        self._console = Console(file=sys.stdout, highlight=False, markup=False, soft_wrap=True)
        self._live = Live(console=self._console, refresh_per_second=4, transient=True)
        self._total = total
        self._ended = 0
        self._started: set[str] = set()
        self.told = False  # whether anything was shown
        if self._console.is_terminal:
            self._live.start()
        self.interval = 0.5 if self._console.is_terminal else 1.0  # seconds between two looks

    def close(self) -> None:
        """Take the lines of running stages off the screen."""
        self._live.stop()

    def tell(self, line: str) -> None:
        """Show a line."""
        self.told = True
        self._console.print(Text(_printable(line)))

    def show(self, running: list[tuple[str, str, float]]) -> None:
        """Show what runs: name, worker and seconds of each."""
        if self._console.is_terminal:
            self._live.update(self._screen(running))
            return
        names = {name for name, _, _ in running}
        for name, worker, _ in running:
            if name not in self._started:
                self.tell(f"{name}: started{_on(worker)}")
        self._started = names

    def _screen(self, running: list[tuple[str, str, float]]) -> Group:
        table = Table.grid(padding=(0, 2))
        for name, worker, seconds in running:
            table.add_row(Text(name[:LONGEST_NAME]), _time(seconds), Text(worker))
        bar = Table.grid(padding=(0, 2))
        ended = f"{self._ended} of {self._total} stages"
        bar.add_row(ended, ProgressBar(total=self._total, completed=self._ended, width=40))
        return Group(table, bar)

    def unchanged(self) -> None:
        """Count a stage that need not run."""
        self._ended += 1

    def verified(self, name: str) -> None:
        """Tell that a file that DVC tracks, or a frozen stage, was recorded as it is."""
        self._ended += 1
        self.tell(f"{name}: recorded as it is{self._count()}")

    def restored(self, name: str) -> None:
        """Tell that a stage was taken from the cache."""
        self._ended += 1
        self.tell(f"{name}: taken from the cache{self._count()}")

    def done(self, finished: FinishedJob) -> None:
        """Tell that a stage has ended well."""
        self._ended += 1
        took = _time(finished.seconds)
        self.tell(f"{finished.name}: done in {took}{_on(finished.worker)}{self._count()}")

    def failed(self, name: str, problem: str, output: str, hint: str) -> None:
        """Tell that a stage has failed, with all that it printed."""
        self.tell(f"{name}: failed: {problem}")
        self._live.stop()
        # Not by `tell`: it may be long, and a line by that takes a tenth of a millisecond.
        self._console.file.writelines(f"  {_printable(line)}\n" for line in output.splitlines())
        self._console.file.flush()
        if self._console.is_terminal:
            self._live.start()
        if hint:
            self.tell(f"{name}: {hint}")

    def _count(self) -> str:
        return f" ({self._ended} of {self._total})"


def _printable(line: str) -> str:
    """Return a line in which nothing commands the terminal."""
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() or one == "\t" else ascii(one)[1:-1] for one in line)


def _on(worker: str) -> str:
    return f", on {worker}" if worker else ""


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
