"""`parallel` where something goes wrong: a stage, its declaration, a change meanwhile, a kill."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from conftest import Project, finish
from made_up_pipelines import (
    WRITE,
    contents,
    gate,
    lock_text,
    made_up,
    parallel,
    read_until,
    run_parallel,
    stage,
    until,
)
from ruamel.yaml import YAML


def test_failed_stage_is_shown_with_all_that_it_printed(tmp_path: Path) -> None:
    fails = "python -c \"print('before'); import sys; sys.exit(3)\""
    project = made_up(tmp_path, {"a": stage("a.txt", fails), "b": stage("b.txt", deps=("a.txt",))})
    output = run_parallel(project, status=1)
    assert "a: failed: `" in output
    assert "ended with exit code 3" in output
    assert "\n  before\n" in output
    assert not (project.folder / "dvc.lock").exists()
    assert (project.folder / ".dvc/tmp/parallel/output/a.txt").read_text().endswith("before\n")


def test_failure_ends_the_run_but_not_what_runs_already(tmp_path: Path) -> None:
    slow, begun, go_on = gate(tmp_path, "slow.txt")
    stages = {
        "slow": stage("slow.txt", slow),
        "wrong": stage("wrong.txt", f"until test -e {begun}; do sleep 0.1; done; exit 1"),
        **{f"later{number}": stage(f"later{number}.txt", deps=("slow.txt",)) for number in (1, 2)},
    }
    project = made_up(tmp_path, stages)
    process = parallel(project, "--jobs", "2")
    read_until(process, "Waiting for what still runs: slow")
    go_on.touch()
    finish(process, 1)
    assert (project.folder / "slow.txt").exists()
    assert not (project.folder / "later1.txt").exists()
    lock = (project.folder / "dvc.lock").read_text()
    assert "  slow:" in lock
    assert "later" not in lock


def test_with_keep_going_all_runs_that_does_not_need_what_failed(tmp_path: Path) -> None:
    stages = {
        "wrong": stage("wrong.txt", "exit 1"),
        "after": stage("after.txt", deps=("wrong.txt",)),
        "last": stage("last.txt", deps=("after.txt",)),
        "other": stage("other.txt"),
    }
    project = made_up(tmp_path, stages)
    output = run_parallel(project, "--keep-going", "--jobs", "1", status=1)
    assert "after, last: cannot run without wrong" in output
    assert (project.folder / "other.txt").exists()


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("cat code/a.py > a.txt", "code/a.py"),
        ("python -c 'import code2.c' && touch a.txt", "code2/c.py"),
    ],
)
def test_input_that_is_not_declared_is_named(tmp_path: Path, command: str, named: str) -> None:
    files = {"code2/__init__.py": "", "code2/c.py": "c = 1\n"}
    project = made_up(tmp_path, {"a": stage("a.txt", command)}, **files)
    if "import" in command:
        (project.folder / "dvc.yaml").write_text(
            (project.folder / "dvc.yaml")
            .read_text()
            .replace("sum.py]", "sum.py, code2/__init__.py]")
        )
    output = run_parallel(project, status=1)
    assert f"a: {named} is in the project, but not among the stage's dependencies" in output


def test_output_that_is_not_written_is_named(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt", "echo 1 > b.txt")})
    output = run_parallel(project, status=1)
    assert "a: failed: it did not write a.txt, but b.txt" in output
    assert not (project.folder / "b.txt").exists()


def test_file_that_is_written_beside_the_outputs_is_named(tmp_path: Path) -> None:
    command = f"echo 1 > aside.txt; {WRITE.format('a.txt')}"
    project = made_up(tmp_path, {"a": stage("a.txt", command)})
    output = run_parallel(project)
    assert "a: also wrote aside.txt, which it does not declare: gone" in output


def test_input_that_changes_while_a_stage_runs_is_not_recorded_with_its_results(
    tmp_path: Path,
) -> None:
    command, begun, go_on = gate(tmp_path, "a.txt")
    project = made_up(tmp_path, {"a": stage("a.txt", command)})
    process = parallel(project)
    until(begun.exists)
    project.append("in.txt", "more\n")
    go_on.touch()
    output = finish(process, 1)
    assert "a: failed: in.txt changed while it ran: run this again" in output
    assert not (project.folder / "dvc.lock").exists()
    run_parallel(project)
    assert "Data and pipelines are up to date." in project.run("dvc", "status")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"outs": ["/tmp/never.txt"]}, "by an absolute path"),
        ({"deps": ["https://example.invalid/x"]}, "which is on no local disk"),
    ],
)
def test_what_only_dvc_repro_can_run_is_named_before_anything_runs(
    tmp_path: Path, entry: dict[str, list[str]], problem: str
) -> None:
    stages: dict[str, dict[str, object]] = {"a": stage("a.txt"), "b": {"cmd": "true", **entry}}
    if "outs" in entry:
        stages["b"]["outs"] = [{name: {"cache": False}} for name in entry["outs"]]
    project = made_up(tmp_path, stages)
    output = run_parallel(project, status=2)
    assert output.startswith("parallel: b: it ")
    assert problem in output
    assert output.endswith("Nothing ran: `dvc repro` can run this pipeline\n")
    assert not (project.folder / "a.txt").exists()


def test_unknown_target_is_an_error_of_one_line(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt")})
    output = run_parallel(project, "nothing", status=2)
    assert output.startswith("parallel: ")
    assert "nothing" in output
    assert output.count("\n") == 1


def test_option_about_workers_is_refused_where_there_are_none(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt")})
    output = run_parallel(project, "--any-environment", status=2)
    assert "it needs --scheduler" in output
    assert not (project.folder / "a.txt").exists()


def test_second_run_in_a_project_says_that_there_is_one(tmp_path: Path) -> None:
    command, begun, go_on = gate(tmp_path, "a.txt")
    project = made_up(tmp_path, {"a": stage("a.txt", command)})
    first = parallel(project)
    until(begun.exists)
    output = run_parallel(project, status=2)
    assert "another command of DVC runs in this project" in output
    go_on.touch()
    finish(first, 0)


def test_stage_takes_as_many_slots_as_its_parameter_says(tmp_path: Path) -> None:
    # Each notes that it has begun and that it ends; two of them never overlap.
    note = tmp_path / "note"
    command = f"echo + >> {note}; sleep 0.3; echo - >> {note}; " + WRITE
    stages = {
        name: stage(f"{name}.txt", command.format(f"{name}.txt"), params=["b.threads"])
        for name in ("a", "b", "c")
    }
    project = made_up(tmp_path, stages, **{"params.yaml": "b: {threads: 2}\n"})
    run_parallel(project, "--jobs", "3")
    assert note.read_text() == "+\n-\n" * 3


def sleeper(tmp_path: Path) -> tuple[Project, Path]:
    """Return a project whose stage writes its process's number and sleeps, and where."""
    number = tmp_path / "number"
    command = f"sleep 600 & echo $! > {number}.new; mv {number}.new {number}; wait"
    stages = {"first": stage("first.txt"), "sleeps": stage("s.txt", command, deps=("first.txt",))}
    return made_up(tmp_path, stages), number


def alive(number: Path) -> bool:
    """Return whether the process of that number still runs."""
    try:
        status = Path(f"/proc/{number.read_text().strip()}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_goes_on_running_without_the_command(tmp_path: Path, how: signal.Signals) -> None:
    project, number = sleeper(tmp_path)
    process = parallel(project)
    until(number.exists)
    assert alive(number)
    os.kill(process.pid, how)
    process.wait()
    until(lambda: not alive(number))
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert not (project.folder / ".dvc/tmp/parallel/jobs").exists()
    assert "  first:" in (project.folder / "dvc.lock").read_text()
    assert "sleeps" not in (project.folder / "dvc.lock").read_text()


def test_run_after_a_kill_leaves_the_lock_file_of_dvc_repro(tmp_path: Path) -> None:
    command, begun, go_on = gate(tmp_path, "a.txt")
    stages = {
        "a": stage("a.txt", command),
        "b": stage("b.txt"),
        "c": stage("c.txt", deps=("b.txt",)),
    }
    project = made_up(tmp_path / "parallel", stages)
    process = parallel(project, "--jobs", "3")
    until(begun.exists)
    until(lambda: "  c:" in lock_text(project))
    assert "  a:" not in lock_text(project)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    go_on.touch()
    # As DVC leaves it where it is killed as it writes it.
    (project.folder / ".dvc/tmp/rwlock").write_text("")
    assert "set aside as rwlock." in run_parallel(project, "--jobs", "3")
    serial = made_up(tmp_path / "serial", stages)
    serial.repro()
    assert contents(project) == contents(serial)


def test_dry_run_tells_what_would_run_and_runs_nothing(tmp_path: Path) -> None:
    stages = {"a": stage("a.txt"), "b": stage("b.txt", deps=("a.txt",))}
    project = made_up(tmp_path, stages)
    assert run_parallel(project, "--dry") == "a: would run\nb: would run, after a\n"
    run_parallel(project)
    assert run_parallel(project, "--dry") == "Every stage is up to date.\n"
    assert run_parallel(project) == "Every stage is up to date.\n"
    (project.folder / "in.txt").write_text("other\n")
    assert run_parallel(project, "--dry") == "a: would run\nb: would run, after a\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose children these are")
def test_process_that_leaves_its_session_ends_with_its_stage(tmp_path: Path) -> None:
    number = tmp_path / "number"
    command = (
        f"setsid sh -c 'echo $$ > {number}; exec sleep 600' & until test -s {number}; do :; done"
    )
    project = made_up(tmp_path, {"a": stage("a.txt", f"{command}; {WRITE.format('a.txt')}")})
    run_parallel(project)
    assert not alive(number)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills what has lost its parent")
def test_stage_that_kills_its_parent_ends_too(tmp_path: Path) -> None:
    number = tmp_path / "number"
    command = f"echo $$ > {number}; kill -9 $PPID; while true; do sleep 1; done"
    project = made_up(tmp_path, {"a": stage("a.txt", command)})
    assert "signal 9 killed it" in run_parallel(project, status=1)
    until(lambda: not alive(number))


def test_empty_folders_and_links_to_folders_are_there_as_with_dvc_repro(tmp_path: Path) -> None:
    command = "ls -R empty d > a.txt; cat d/link/k >> a.txt"
    projects = []
    for name in ("serial", "parallel"):
        entry = {"cmd": command, "deps": ["empty", "d"], "outs": ["a.txt"]}
        project = made_up(tmp_path / name, {"a": entry}, **{"d/sub/k": "k\n"})
        (project.folder / "empty").mkdir()
        (project.folder / "d/e").mkdir()
        (project.folder / "d/link").symlink_to("sub")
        projects.append(project)
    serial, other = projects
    serial.repro()
    run_parallel(other)
    assert contents(other) == contents(serial)


def test_output_of_a_failed_stage_commands_no_terminal(tmp_path: Path) -> None:
    project = made_up(tmp_path, {"a": stage("a.txt", r"printf '\033[2Jgone\000'; exit 1")})
    output = run_parallel(project, status=1)
    assert "\\x1b[2Jgone\\x00" in output
    assert "\x1b" not in output


def test_what_waits_for_a_slot_keeps_its_outputs_when_a_stage_fails(tmp_path: Path) -> None:
    stages = {name: stage(f"{name}.txt") for name in ("b", "c", "d")}
    project = made_up(tmp_path, stages)
    run_parallel(project)
    first = {"a": stage("a.txt", "exit 1")}
    with (project.folder / "dvc.yaml").open("w") as file:
        YAML(typ="safe").dump({"stages": first | stages}, file)
    project.append("in.txt", "more\n")
    output = run_parallel(project, "--jobs", "1", "a", "b", "c", "d", status=1)
    assert "a: failed" in output
    assert not re.search("^[bcd]: started", output, re.MULTILINE)
    assert all((project.folder / f"{name}.txt").exists() for name in stages)


def test_stage_that_wants_many_slots_is_not_overtaken(tmp_path: Path) -> None:
    note = tmp_path / "note"
    stages = {
        name: stage(f"{name}.txt", f"echo {name} >> {note}; {WRITE.format(f'{name}.txt')}")
        for name in "abcde"
    }
    stages["c"]["params"] = ["b.threads"]
    project = made_up(tmp_path, stages, **{"params.yaml": "b: {threads: 2}\n"})
    planned = [line.partition(":")[0] for line in run_parallel(project, "--dry").splitlines()]
    run_parallel(project, "--jobs", "2")
    # It runs alone: what is planned before it has ended, and what is planned after it waits.
    assert note.read_text().split().index("c") == planned.index("c")


def test_data_that_dvc_tracks_is_recorded_and_told(tmp_path: Path) -> None:
    serial, other = (made_up(tmp_path / name, {}) for name in ("one", "two"))
    for project in (serial, other):
        (project.folder / "d.bin").write_text("1\n")
        project.run("dvc", "add", "--quiet", "d.bin")
        project.append("d.bin", "2\n")
    serial.repro("d.bin.dvc")
    assert "d.bin.dvc: recorded as it is (1 of 1)" in run_parallel(other, "d.bin.dvc")
    assert contents(other) == contents(serial)
