import subprocess
import sys
import time

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from pipeline.runtime.yaml import DEEPEST, LARGEST_TEXT, parse_yaml

GROWING = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
CHAINED = "".join(f"a{n}: &a{n} [[[[[[[[*a{n - 1}]]]]]]]]\n" for n in range(1, 1000))
MERGING = "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "studies/dvc.lock"])
def test_files_of_the_project_are_read_as_dvc_reads_them(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert parse_yaml(content) == YAML(typ="safe").load(content)


def test_names_stand_for_what_they_name() -> None:
    text = b"a: &a {k: 1}\nb: {<<: *a, l: *a}\nc: [&c 1, *c]\n"
    assert parse_yaml(text) == {"a": {"k": 1}, "b": {"k": 1, "l": {"k": 1}}, "c": [1, 1]}
    assert parse_yaml(b"") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested deeper than 32 levels"),
        ("- " * 100_000, "nested deeper than 32 levels"),
        ("{a: " * 40_000, "nested deeper than 32 levels"),
        ("a0: &a0 1\n" + GROWING, "more than 100000 values"),
        ("a0: &a0 {k: 1}\n" + MERGING, "more than 100000 values"),
        ("[" + "1," * 200_000 + "]", "more than 100000 values"),
        ("a: &a [*a]", r"\*a stands for nothing yet"),
        ("a: *b", "undefined alias|stands for nothing yet"),
        ("#" * (LARGEST_TEXT + 1), "expected at most 1048576 bytes, found 1048577"),
        ("a0: &a0 1\n" + CHAINED, "more than 100000 values"),
        ("day: 2001-99-99", "month must be in 1..12"),
        ("number: " + "9" * 5000, "integers of at most 128 bits"),
        (
            "number: 0x" + "f" * 5000,
            "of at most 128 bits in line 1, column 9",
        ),  # no number that has a text
        ("number: 0b" + "1" * 129, "integers of at most 128 bits"),
        ("number: 340282366920938463463374607431768211456", "integers of at most 128 bits"),
        ("0x1ffffffffffffffffffffffffffffffff: 1", "integers of at most 128 bits"),
        ("%YAML 1.1\n--- !!int 1" + ":1" * 400_000, "integers of at most 128 bits"),
        ("!!int ''", "out of range"),
        ("!!bool maybe", "maybe"),
        ("!!float x", "could not convert"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("{a: 1, a: 2}", "duplicate key .* in line 1"),
        ("a: [", "did not find expected node content"),
        ("a\0", "unacceptable character"),
        ("!!%1b[2Jred x", r"tag:yaml\.org,2002:\\x1b\["),
    ],
)
def test_text_that_is_a_burden_or_none_is_refused_soon_in_one_line(text: str, reason: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=reason) as caught:
        parse_yaml(text.encode())
    assert time.perf_counter() - begun < 5
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 500


def test_integers_of_64_bits_are_read_in_any_way_of_writing() -> None:
    text = f"[18446744073709551615, -0x{2**63:_x}, +0b{2**64 - 1:_b}, 0o17, 0x_{'0' * 90}ff]"
    assert parse_yaml(text.encode()) == [2**64 - 1, -(2**63), 2**64 - 1, 15, 255]


def test_depth_that_is_refused_is_one_that_would_end_the_process() -> None:
    assert parse_yaml(b"[" * (DEEPEST - 1) + b"]" * (DEEPEST - 1))
    program = "from ruamel.yaml import YAML\nYAML(typ='safe').load('[' * 100_000)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    # Where this begins to raise an error instead, the bound can go.
    assert result.returncode not in {0, 1}
