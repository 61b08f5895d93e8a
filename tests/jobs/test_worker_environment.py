from pathlib import Path

import pytest

from pipeline.jobs.environment import clock_error, differences, locked_packages, this_environment


def test_what_differs_is_named_up_to_three_packages() -> None:
    here = this_environment()
    assert differences(here, this_environment(), set(here["packages"])) == []
    there = here | {"python": "3.9.1", "packages": {}}
    found = differences(here, there, {"numpy", "pandas", "keras", "scipy", "ruamel-yaml"})
    assert found[0] == f"python 3.9.1 in place of {here['python']}"
    assert found[1].startswith("keras missing in place of ")
    assert found[-1] == "2 other packages"


def test_packages_are_those_of_the_lock_file_by_the_names_that_it_gives_them(
    tmp_path: Path,
) -> None:
    lock = tmp_path / "requirements.lock"
    assert locked_packages(lock) == set(this_environment()["packages"])
    lock.write_text("numpy==2.4.6 \\\n    --hash=sha256:00\nruamel-yaml==0.18 \\\n")
    assert locked_packages(lock) == {"numpy", "ruamel-yaml"} <= set(this_environment()["packages"])


@pytest.mark.parametrize(
    ("there", "wrong"), [(100.0, 0), (150.0, 0), (161.0, 0), (30.0, -70), (300.0, 190)]
)
def test_clock_is_wrong_by_what_the_way_cannot_explain(there: float, wrong: float) -> None:
    assert clock_error(100.0, there, 110.0) == wrong
