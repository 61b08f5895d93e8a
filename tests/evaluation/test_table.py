import subprocess
import sys
import time

import pytest
from conftest import ROOT

from pipeline.evaluation.results import LONGEST_LINE, parse_table


def test_table_comes_back_with_the_options_of_pandas() -> None:
    table = parse_table(b"name,share\n007,0.5\nNA,1\n", dtype={"name": str}, keep_default_na=False)
    assert table.to_dict("list") == {"name": ["007", "NA"], "share": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a,b\n" + b"," * 1_000_000, "lines of at most 1000 bytes"),  # a minute, a gigabyte
        (b"," * 1_000_000, "lines of at most 1000 bytes"),
        (b'a,b\n"\n' + b'","\n' * 1_000_000, "without quotes"),
        (b"a,b\r" + b"1,2\r" * 1000, "lines of at most 1000 bytes"),
        (b"a,b\n1,2,3\n", "more fields than there are columns"),
        (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields in line 3, saw 3"),
        (b"\xff", "utf-8"),
        (b"", "No columns"),
        (b"a,b\n" + b"\n" * 100_000_000, "expected at most 8388608 bytes, found 100000004"),
    ],
)
def test_what_is_no_plain_table_is_refused_soon(content: bytes, reason: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=reason) as caught:
        parse_table(content)
    assert time.perf_counter() - begun < 2
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc; would bound the memory it takes")
@pytest.mark.parametrize("line", ["\\n", "1\\n", "1,1,1\\n"])
def test_largest_table_takes_bounded_memory(line: str) -> None:
    # Not getrusage, which counts what the parent held when it forked.
    program = (
        "from pathlib import Path; from pipeline.table import LARGEST_TABLE, parse_table\n"
        "def peak(): return Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]\n"
        "before, line = peak(), b'" + line + "'\n"
        "parse_table(b'a,b,c\\n' + line * ((LARGEST_TABLE - 6) // len(line)))\n"
        "print((int(peak()) - int(before)) / 1024)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert 8 < float(result.stdout) < 256  # MiB


def test_lines_of_the_project_are_far_below_the_bound() -> None:
    assert len(parse_table(b"a\n" + b"1" * LONGEST_LINE + b"\n")) == 1
