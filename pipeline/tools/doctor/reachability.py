"""Reachability: whether the data set can be had, from a mirror or from this machine."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import PARAMS_FILE, read_section
from pipeline.tools.doctor.checkup import Finding, good, note, problem

PATIENCE = 5.0  # seconds without an answer
ADVICE = (
    "Check the network and the proxy, or set MNIST_MIRROR to a folder or an address that has the "
    "files; `make demo` needs none"
)
MEND = f"Mend it; `git diff {PARAMS_FILE}` shows what changed in it"


def mirrors(project: Path, patience: float = PATIENCE) -> Finding:
    """Return which mirrors answer; with none, whether the files are on this machine already."""
    try:
        section = read_section("download", project / PARAMS_FILE)
        files = {str(file["name"]): str(file["sha256"]) for file in section["files"].values()}
        places = [str(mirror) for mirror in section["mirrors"]]
    except PipelineError as error:
        return problem(f"not to be checked: {error}", MEND)
    except (LookupError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        return problem(f"not to be found in {PARAMS_FILE}, section download: {reason}", MEND)
    preferred = os.environ.get("MNIST_MIRROR", "").strip()
    places = [preferred, *places] if preferred else places
    with ThreadPoolExecutor(max_workers=len(places) or 1) as pool:
        answers = list(pool.map(lambda place: _refusal(place, list(files), patience), places))
    refusals = {place: no for place, no in zip(places, answers, strict=True) if no}
    reached = [place for place in places if place not in refusals]
    return _verdict(reached, refusals, preferred, kept=_are_kept(files))


def _verdict(
    reached: list[str], refusals: Mapping[str, str], preferred: str, *, kept: bool
) -> Finding:
    """Return what the answers come to."""
    found = f"{len(reached)} of {len(reached) + len(refusals)} can be reached"
    kept_text = "; the files are in this user's cache already, verified" if kept else ""
    if reached and preferred not in refusals:
        return good(f"{found}, {reached[0]} first{kept_text}")
    refused = "; ".join(f"{place}: {reason}" for place, reason in refusals.items())
    advice = "Set MNIST_MIRROR right, or unset it" if preferred in refusals else ADVICE
    verdict = note if reached or kept else problem
    return verdict(f"{found}{kept_text}; not {refused}", advice)


def _refusal(mirror: str, names: list[str], patience: float) -> str | None:
    """Return why a mirror cannot be used, as far as can be told without a download."""
    address = urlsplit(mirror)
    if address.scheme in {"http", "https"}:
        return _answer(f"{mirror.rstrip('/')}/{names[0]}", patience)
    # One letter is a drive of Windows.
    if address.scheme != "file" and len(address.scheme) > 1:
        return "neither a directory nor a file://, http:// or https:// address"
    folder = Path(url2pathname(address.path) if address.scheme == "file" else mirror).expanduser()
    missing = [name for name in names if not (folder / name).is_file()]
    return f"no {missing[0]} there" if missing else None


def _answer(url: str, patience: float) -> str | None:
    """Return why a file cannot be had from an address; None where its server has it."""
    import requests

    headers = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=patience) as response:
            if response.status_code in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                return None
            return f"{response.status_code} {response.reason}".strip()
    except requests.Timeout:
        return f"no answer for {patience:g} s"
    except requests.exceptions.SSLError:
        return "its certificate was refused"
    except requests.RequestException:
        return "no connection"


def _are_kept(files: Mapping[str, str]) -> bool:
    """Return whether all files are where ``mirrors.fetch`` keeps them, with the right bytes."""
    import pooch

    folder = Path(pooch.os_cache("mnist-pipeline"))
    return all(_has(folder / f"{sha256}.gz", sha256) for sha256 in files.values())


def _has(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False
