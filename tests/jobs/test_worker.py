"""What the commands of a job find: the shell's oracle is the shell itself."""

import subprocess
from pathlib import Path

import pytest

from pipeline.jobs.job import Job
from pipeline.jobs.sandbox import OUTPUT
from pipeline.jobs.worker import run

# Each prints what it finds; the shell of a terminal, and `dvc repro`, would find the same.
QUESTIONS = {
    "signals": "kill -PIPE $$",  # Python ignores it, and so would what it starts
    "exit code": "exit 3",
    "output": "echo one; echo two >&2",
    "descriptors": "ls /dev/fd/ | head -c 6",
}


@pytest.mark.parametrize("command", QUESTIONS.values(), ids=QUESTIONS)
def test_command_finds_what_it_finds_in_a_shell(command: str, tmp_path: Path) -> None:
    plain = subprocess.run(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    result = run(Job("a", [command], shell="/bin/sh"), tmp_path, wanted=lambda: True)
    output = Path(result.sandbox, OUTPUT).read_bytes()
    assert output == f"> {command}\n".encode() + plain.stdout
    if plain.returncode:
        code = plain.returncode if plain.returncode > 0 else 128 - plain.returncode
        assert f"ended with exit code {code}" in result.reason
    else:
        assert result.state == "done"
