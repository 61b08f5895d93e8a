"""The licence of every locked package, as its metadata tell it; `make licences` writes the table.

pip gives the metadata of packages that are not installed, those for other systems too, mostly
without the packages themselves. So it can be run as soon as there are lock files.
"""

import json
import re
import subprocess
import sys
from typing import Any, NamedTuple

from locks import ROOT, Pin, pinned
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

TABLE = ROOT / "docs/licences.md"
HEAD = """\
# Licences of the packages

Every package of the lock files, those of the small environment of `make audit` too. `make licences`
writes this table, as `make lock` does; nobody edits it. Licences have their names from
[SPDX](https://spdx.org/licenses/); `LicenseRef-BSD` is one of the BSD licences, whose package does
not say which. A licence is known from the *expression* in the package's metadata, else from the
*field* for it, else from the *classifiers* (several count as all of them together), else from the
*file* in the package.

| package | version | licence | known from |
|---|---|---|---|
"""
# What packages write in the field for the licence, where that is not SPDX's name already.
SPELLINGS = {
    "2-clause BSD": "BSD-2-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0, January 2004": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "BSD": "LicenseRef-BSD",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "LicenseRef-BSD",
    "GPLv2 | EPLv1": "GPL-2.0-only OR EPL-1.0",
    # The exception in pygit2's COPYING is, word for word, the one of SPDX's that GCC wrote.
    "GPLv2 with linking exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "MIT license": "MIT",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "New BSD": "BSD-3-Clause",
}
CLASSIFIERS = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: BSD License": "LicenseRef-BSD",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
# Where the metadata say nothing: what the file LICENSE in the package says.
FILES = {"namex": "Apache-2.0"}


class Row(NamedTuple):
    """A line of the table; an unknown licence is empty."""

    name: str
    version: str
    licence: str
    source: str


def spdx(words: str) -> str:
    """Return SPDX's name for what a package calls its licence, or nothing."""
    try:
        return canonicalize_license_expression(words)
    except InvalidLicenseExpression:
        # Some give the whole text: its title, down to the address, is enough.
        return SPELLINGS.get(words.partition(" http")[0], "")


def row(metadata: dict[str, Any]) -> Row:
    """Return the line of a package, of whose metadata the form is that of PEP 566."""
    name = canonicalize_name(metadata["name"])
    classifiers = [line for line in metadata.get("classifier", []) if line.startswith("License ::")]
    names = sorted({CLASSIFIERS.get(line, "") for line in classifiers})
    found = {
        "expression": spdx(metadata.get("license_expression") or ""),
        "field": spdx(" ".join((metadata.get("license") or "").split())),
        "classifiers": " AND ".join(names) if all(names) else "",
        "file": FILES.get(name, ""),
    }
    source = next((source for source, licence in found.items() if licence), "")
    return Row(name, metadata["version"], found.get(source, ""), source)


def table(rows: list[Row]) -> str:
    """Return the page with all lines, sorted by name."""
    return HEAD + "".join(f"| {' | '.join(line)} |\n" for line in sorted(rows))


def rows(page: str) -> list[Row]:
    """Return the lines of a page."""
    lines = re.findall(r"^\| (\S+) \| (\S+) \| (.*) \| (\w*) \|$", page, re.MULTILINE)
    return [Row(*line) for line in lines]


def asked_of_pip(packages: dict[str, Pin], *options: str) -> list[Row]:
    """Return the lines of packages, whose metadata pip fetches."""
    names = [f"{name}=={pin.version}" for name, pin in packages.items()]
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    command += ["--dry-run", "--ignore-installed", "--no-deps", "--report", "-", *options, *names]
    report = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return [row(package["metadata"]) for package in json.loads(report)["install"]]


def main() -> None:
    """Write the table."""
    whole = pinned("requirements.lock")
    here = {name: pin for name, pin in whole.items() if pin.is_for_here}
    # Not all of these have a wheel for this system: CUDA's are for Linux only, pywin32 for Windows.
    elsewhere = {name: pin for name, pin in pinned().items() if name not in here}
    platforms = ["win_amd64", *(f"manylinux_2_{minor}_x86_64" for minor in range(17, 40))]
    options = ["--only-binary=:all:", "--target=.", *(f"--platform={name}" for name in platforms)]
    lines = [*asked_of_pip(here), *asked_of_pip(elsewhere, *options)]
    TABLE.write_text(table(lines), encoding="utf-8", newline="\n")
    unknown = [line.name for line in lines if not line.licence]
    print(
        f"{TABLE.relative_to(ROOT)}: {len(lines)} packages; without a licence: {unknown or 'none'}"
    )


if __name__ == "__main__":
    main()
