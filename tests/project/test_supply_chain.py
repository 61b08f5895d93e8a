"""The packages: locked as the project asks for, and installed as they are locked."""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import Distribution, DistributionFinder, MetadataPathFinder
from pathlib import Path

import pytest
from conftest import ROOT
from locks import LOCKS, pinned, pins
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
# Python itself brings it into an environment; all others have to be locked.
BROUGHT_BY_PYTHON = {"pip"}
# Behind a proxy that opens connections, its authority is added here, rightly.
OFTEN_EXTENDED = {"certifi/cacert.pem"}
RUN_AT_START = ("*.pth", "sitecustomize.py", "usercustomize.py")
MEND = "`make --always-make setup` installs what is locked"


def installed(path: list[str]) -> dict[str, str]:
    """Return the versions that Python finds in these folders, the first where there are several."""
    found: dict[str, str] = {}
    for distribution in distributions(path=path):
        found.setdefault(canonicalize_name(distribution.name), distribution.version)
    return found


def differences(versions: Mapping[str, str], lock: str, optional: str) -> list[str]:
    """Return what is not installed as it is locked, a line each.

    Args:
        versions: What is installed, by normalised names.
        lock: A lock file's text; what it has for this Python and system has to be installed.
        optional: Another's; what only this one has may be installed, in its version.
    """
    wanted, allowed = pins(lock), pins(optional) | pins(lock)
    missing = [name for name, pin in wanted.items() if pin.is_for_here and name not in versions]
    return [f"{name}: not installed, locked is {wanted[name].version}" for name in missing] + [
        f"{name}: {version} is installed, locked is {allowed[name].version}"
        if name in allowed
        else f"{name}: {version} is installed, no lock file has it"
        for name, version in versions.items()
        if name not in BROUGHT_BY_PYTHON
        and (name not in allowed or version != allowed[name].version)
    ]


def distributions(path: list[str] | None = None) -> Iterable[Distribution]:
    """Return the packages that are installed, by Python's own finder.

    The package importlib-metadata, which Dask imports before Python 3.12, puts another one in its
    place, and that leaves out files that are missing.
    """
    context = (
        DistributionFinder.Context() if path is None else DistributionFinder.Context(path=path)
    )
    return MetadataPathFinder.find_distributions(context)


def altered(distribution: Distribution) -> list[str]:
    """Return the files of a package that are not those that were installed.

    Sizes are compared; of code in Python that is no older than the list of the files, which is
    written last, the hash too.
    """
    if distribution.files is None:
        return [f"{distribution.name}: there is no list of its files, RECORD"]
    found = []
    listed = next(file for file in distribution.files if file.name == "RECORD")
    installed_at = Path(str(listed.locate())).stat().st_mtime_ns
    # Without a hash are the bytecode files, which come and go, and the list itself.
    for file in filter(lambda file: file.hash, distribution.files):
        if file.as_posix() in OFTEN_EXTENDED:
            continue
        path = Path(str(file.locate()))
        try:
            status = path.stat()
        except FileNotFoundError:
            found.append(f"{path} is missing")
            continue
        is_suspect = path.suffix == ".py" and status.st_mtime_ns >= installed_at
        if status.st_size != file.size or (
            file.hash and is_suspect and file.hash.value != digest(path, file.hash.mode)
        ):
            found.append(f"{path} is not the file that was installed")
    return found


def strays(folders: Collection[Path]) -> list[str]:
    """Return the files that Python runs as it starts, and that no package has brought."""
    found = {path for folder in folders for name in RUN_AT_START for path in folder.glob(name)}
    brought = {
        Path(str(file.locate()))
        for distribution in distributions(path=[str(folder) for folder in folders])
        for file in distribution.files or []
        if any(file.match(name) for name in RUN_AT_START)
    }
    return [
        f"{path} is of no package, but Python runs it as it starts"
        for path in sorted(found - brought)
    ]


def digest(path: Path, method: str) -> str:
    """Return the hash of a file as the RECORD of a package writes it."""
    found = hashlib.new(method, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(found).decode().rstrip("=")


def test_every_locked_package_has_hashes_and_no_address() -> None:
    assert [path.name for path in LOCKS] == [
        "requirements-audit.lock",
        "requirements-gpu.lock",
        "requirements-tools.lock",
        "requirements.lock",
    ]
    for path in LOCKS:
        text = path.read_text()
        assert "://" not in text
        entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
        assert len(entries) == len(pins(text)) > 0
        assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (
            "requirements.lock",
            [*PROJECT["dependencies"], *EXTRAS["cluster"], *EXTRAS["s3"], *GROUPS["dev"]],
        ),
        ("requirements-gpu.lock", [*PROJECT["dependencies"], *EXTRAS["gpu"], *EXTRAS["s3"]]),
        ("requirements-tools.lock", GROUPS["tools"]),
        ("requirements-audit.lock", GROUPS["audit"]),
    ],
)
def test_lock_holds_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    locked = pinned(lock)
    for requirement in map(Requirement, wanted):
        name = requirement.name.replace(".", "-")
        assert requirement.specifier.contains(locked[name].version), requirement


def test_tools_need_no_other_packages_than_the_project_and_none_to_train() -> None:
    assert set(GROUPS["tools"]) <= set(PROJECT["dependencies"])
    assert not {"tensorflow", "keras", "jax"} & pinned("requirements-tools.lock").keys()


def test_locks_agree_on_common_packages() -> None:
    versions: dict[str, set[str]] = {}
    for path in LOCKS:
        for name, pin in pinned(path.name).items():
            versions.setdefault(name, set()).add(pin.version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_what_is_installed_is_what_is_locked() -> None:
    lock, optional = (ROOT / name for name in ("requirements.lock", "requirements-gpu.lock"))
    found = differences(installed(sys.path), lock.read_text(), optional.read_text())
    assert not found, "\n".join([*found, MEND])


def test_files_of_packages_are_those_that_were_installed() -> None:
    # An edit in there, made to find an error and forgotten, would be in every result.
    found = [line for distribution in distributions() for line in altered(distribution)]
    assert not found, "\n".join([*found, MEND])


def test_nothing_but_packages_is_run_as_python_starts() -> None:
    found = strays({Path(path) for path in sys.path if path.endswith("-packages")})
    assert not found, "\n".join([*found, MEND])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"numpy": "2.4.5"}, ["numpy: 2.4.5 is installed, locked is 2.4.6"]),
        ({"numpy": None}, ["numpy: not installed, locked is 2.4.6"]),
        ({"pip": None, "pywin32": None}, []),
        ({"colorama": "0.4.5"}, ["colorama: 0.4.5 is installed, locked is 0.4.6"]),
        ({"nvidia-nccl-cu12": "2.1"}, ["nvidia-nccl-cu12: 2.1 is installed, locked is 2.32"]),
        ({"ipython": "9.1"}, ["ipython: 9.1 is installed, no lock file has it"]),
    ],
)
def test_each_difference_is_told(change: dict[str, str | None], expected: list[str]) -> None:
    lock = """\
numpy==2.4.6 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'a system of old' \\
    --hash=sha256:00
tabulate==0.10.0 ; python_full_version >= '3.11' \\
    --hash=sha256:00
"""
    optional = "numpy==2.4.6 \\\nnvidia-nccl-cu12==2.32 \\\n    --hash=sha256:00\n"
    versions = {"numpy": "2.4.6", "tabulate": "0.10.0", "pip": "23.2.1"} | change
    found = {name: version for name, version in versions.items() if version}
    assert differences(found, lock, optional) == expected


@pytest.mark.parametrize(
    ("name", "text", "is_told"),
    [
        ("code.py", "True ", False),
        ("code.py", "False", True),
        ("library.so", "", True),
        ("library.so", None, True),
        ("certifi/cacert.pem", "True and mine", False),
    ],
)
def test_altered_file_is_told(
    tmp_path: Path, name: str, text: str | None, *, is_told: bool
) -> None:
    folder = tmp_path / "made_up-1.0.dist-info"
    folder.mkdir()
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("True ")
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: made_up\nVersion: 1.0\n")
    hashed = f"{name},sha256={digest(path, 'sha256')},5\n"
    without_hash = f"__pycache__/code.cpython-311.pyc,,\n{folder.name}/RECORD,,\n"
    (folder / "RECORD").write_text(hashed + without_hash)
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    (distribution,) = distributions(path=[str(tmp_path)])
    assert [str(path) in line for line in altered(distribution)] == [True] * is_told


@pytest.mark.parametrize("name", ["mine.pth", "sitecustomize.py"])
def test_file_that_python_runs_as_it_starts_is_told_if_it_is_of_no_package(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text("")
    (line,) = strays([tmp_path])
    assert line.startswith(f"{tmp_path / name} is of no package")
    folder = tmp_path / "made_up-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: made_up\nVersion: 1.0\n")
    (folder / "RECORD").write_text(f"{name},sha256=00,0\n")
    assert strays([tmp_path]) == []


@pytest.mark.parametrize(
    ("pip_audit", "status", "expected"),
    [
        ("echo 'No known vulnerabilities found' >&2", 0, "No known vulnerabilities found\n"),
        ("echo 'keras 3.15.1 CVE-2026-0001' > $output; exit 1", 2, "keras 3.15.1 CVE-2026-0001\n"),
        ("echo 'cannot connect' >&2; exit 1", 2, "nothing is known of these versions, good or bad"),
    ],
)
def test_audit_without_data_is_no_audit_without_findings(
    tmp_path: Path, pip_audit: str, status: int, expected: str
) -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed; it would have told an audit without data from others")
    program = tmp_path / "bin/pip-audit"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nfor output; do :; done\necho "$@" > {tmp_path}/asked\n{pip_audit}'
    )
    program.chmod(0o700)
    (tmp_path / ".installed").touch()
    (tmp_path / "found").write_text("of the last time")
    command = ["make", "--silent", "audit", f"AUDIT={tmp_path}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr
    assert expected in result.stdout + result.stderr
    assert "of the last time" not in result.stdout
    asked = (tmp_path / "asked").read_text()
    assert "--strict" in asked
    assert all(f"--requirement {path.name} " in asked for path in LOCKS)
