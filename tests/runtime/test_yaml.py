import pytest
from conftest import ROOT
from dvc.utils.serialize import parse_yaml as parsed_by_dvc

from pipeline.runtime.yaml import parse_yaml


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "studies/dvc.lock"])
def test_files_of_the_project_are_read_as_dvc_reads_them(name: str) -> None:
    content = (ROOT / name).read_bytes()
    assert parse_yaml(content) == parsed_by_dvc(content, name)


def test_names_stand_for_what_they_name() -> None:
    text = b"a: &a {k: 1}\nb: {<<: *a, l: *a}\nc: [&c 1, *c]\n"
    assert parse_yaml(text) == {"a": {"k": 1}, "b": {"k": 1, "l": {"k": 1}}, "c": [1, 1]}
    assert parse_yaml(b"") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: *b", "undefined alias"),
        ("day: 2001-99-99", "month must be in 1..12"),
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
def test_text_that_is_not_valid_is_refused_in_one_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_yaml(text.encode())
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 500
