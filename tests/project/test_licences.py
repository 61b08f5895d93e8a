"""The table of licences: of the locked packages, as installed, and all of them accepted."""

import re
from importlib.metadata import distributions

import pytest
from licences import HEAD, TABLE, Row, row, rows, table
from locks import pinned

PAGE = TABLE.read_text()
ROWS = rows(PAGE)
PROPRIETARY = "LicenseRef-NVIDIA-Proprietary"
ACCEPTED = {
    # Whoever passes them on keeps a notice, or not even that.
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CNRI-Python",
    "LicenseRef-BSD",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "ZPL-2.1",
    "Zlib",
    # Whoever changes the package publishes these changes; what uses it stays as it is.
    "EPL-1.0",
    "EPL-2.0",
    "GPL-2.0-only WITH GCC-exception-2.0",
    "MPL-2.0",
    # CUDA: nothing needs it, whoever adds it accepts NVIDIA's terms.
    PROPRIETARY,
}


def licences(expression: str) -> set[str]:
    return {name for name in re.split(r" AND | OR |[()]", expression) if name}


def is_accepted(expression: str) -> bool:
    """Return whether a licence that may be chosen is accepted; in brackets, all must be."""
    choices = [expression] if "(" in expression else expression.split(" OR ")
    return any(licences(choice) and licences(choice) <= ACCEPTED for choice in choices)


def test_table_has_the_locked_packages() -> None:
    versions = {name: pin.version for name, pin in pinned().items()}
    assert {line.name: line.version for line in ROWS} == versions, "`make licences` writes it anew"


def test_table_is_as_it_was_generated() -> None:
    assert table(ROWS) == PAGE
    assert len(ROWS) == len({line.name for line in ROWS}) == PAGE.removeprefix(HEAD).count("\n")


def test_table_says_what_installed_packages_say() -> None:
    listed = {(line.name, line.version): line for line in ROWS}
    found = [row(distribution.metadata.json) for distribution in distributions()]
    # Other versions are for the tests of the lock files to tell.
    compared = [line for line in found if (line.name, line.version) in listed]
    assert len(compared) > len(ROWS) / 2
    assert [line for line in compared if line != listed[line.name, line.version]] == []


def test_every_package_has_a_licence_that_is_accepted() -> None:
    assert [line for line in ROWS if not is_accepted(line.licence)] == []


def test_only_what_a_gpu_needs_is_proprietary() -> None:
    gpu = pinned("requirements-gpu.lock").keys() - pinned("requirements.lock").keys()
    assert {line.name for line in ROWS if PROPRIETARY in line.licence} == gpu


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("", False),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only AND (Apache-2.0 OR MIT)", False),
        ("GPL-3.0-only OR GPL-2.0-only AND MIT", False),
    ],
)
def test_copyleft_and_nothing_are_not_accepted(expression: str, *, expected: bool) -> None:
    assert is_accepted(expression) == expected


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"license_expression": "mit or apache-2.0"}, ("MIT OR Apache-2.0", "expression")),
        ({"license_expression": "MIT", "license": "BSD"}, ("MIT", "expression")),
        ({"license": "MPL-2.0 AND MIT"}, ("MPL-2.0 AND MIT", "field")),
        (
            {"license": "Apache License\n Version 2.0, January 2004\n http://…"},
            ("Apache-2.0", "field"),
        ),
        ({"license": "Copyright 2026", "classifier": ["MIT"]}, ("MIT", "classifiers")),
        ({"classifier": ["MIT", "BSD"]}, ("LicenseRef-BSD AND MIT", "classifiers")),
        ({"classifier": ["MIT", "GNU General Public"]}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_licence_is_read_from_the_surest_source(
    metadata: dict[str, str | list[str]], expected: tuple[str, str]
) -> None:
    short = metadata.get("classifier", [])
    long = [f"License :: OSI Approved :: {name} License" for name in short]
    given = {"name": "Some.Package", "version": "1.0"} | metadata | {"classifier": long}
    assert row(given) == Row("some-package", "1.0", *expected)
