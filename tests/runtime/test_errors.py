import pytest

from pipeline.runtime.errors import LONGEST, reason


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("two\n   lines", "two lines"),
        ("", "ValueError"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("été 数字", "été 数字"),
        ("\ud800", r"\ud800"),
    ],
)
def test_reason_is_one_line_that_can_be_read(text: str, expected: str) -> None:
    assert reason(ValueError(text)) == expected


def test_long_reason_is_cut() -> None:
    assert reason(ValueError("x" * 10_000)) == "x" * LONGEST + " ..."
