"""The fuzzing of fuzz.py in short: the same damaged files every time, some seconds of them."""

import random
from collections.abc import Callable
from pathlib import Path

import fuzz
import pytest
from fuzz import Campaign, UnexpectedError, run
from fuzz_targets import TARGETS, Target

from pipeline.runtime.errors import PipelineError

EXECUTIONS = {"idx": 1500, "params": 400, "predictions": 1000, "model": 400, "array": 1500}


@pytest.mark.filterwarnings("ignore")  # to warn is no error
@pytest.mark.parametrize("name", TARGETS)
def test_only_documented_errors_come_out_in_bounded_time_and_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the input would be saved
    campaign = Campaign(TARGETS[name], tmp_path)
    run(campaign, EXECUTIONS[name], seed=1)
    assert campaign.executions == EXECUTIONS[name]
    assert campaign.refused > 0.5 * campaign.executions


@pytest.mark.parametrize("name", TARGETS)
def test_first_files_are_read_and_damage_depends_on_the_seed_alone(
    name: str, tmp_path: Path
) -> None:
    target = TARGETS[name]
    path = tmp_path / f"input{target.suffix}"
    seeds = target.seeds()
    path.write_bytes(seeds[0])
    target.read(path)
    damaged = [target.mutate(seeds[0], random.Random(seed)) for seed in (1, 1, 2)]
    assert damaged[0] == damaged[1]


def raise_error(_: Path) -> None:
    raise ZeroDivisionError


def give_no_line(_: Path) -> None:
    raise PipelineError("\x1b[31mred")


@pytest.mark.parametrize(
    ("bounds", "fact"),
    [
        ((raise_error, 9, 1000), "ZeroDivisionError"),
        ((give_no_line, 9, 1000), "cannot be read"),
        ((lambda _: None, -1, 1000), "took .* s"),
        ((lambda _: None, 9, -1), "MiB of memory"),
    ],
)
def test_what_must_not_happen_ends_the_run_and_is_kept(
    bounds: tuple[Callable[[Path], object], float, float],
    fact: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, slowest, memory = bounds
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fuzz, "MOST_MEMORY", memory)
    campaign = Campaign(Target(read, ".x", list, lambda *_: b"content", slowest), tmp_path)
    monkeypatch.setattr(campaign, "warm_up", lambda: [b""])
    with pytest.raises(UnexpectedError, match=fact):
        run(campaign, 1, seed=1)
    assert [path.read_bytes() for path in tmp_path.glob("fuzz-*.x")] == [b"content"]
