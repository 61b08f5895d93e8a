"""``dvc.lock`` and ``.gitignore``, written as if the stages had ended in the order of `dvc repro`.

DVC adds an entry at the end of each when a stage has ended. Here stages end in any order, and a run
may be killed and started again. So the first run keeps a note of what was there before it, until
one has ended well.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.stage.serialize import to_lockfile
from dvc.utils.serialize import dumps_yaml

from pipeline.runtime.atomic import discard, write_text
from pipeline.runtime.yaml import parse_yaml


class SerialOrder:
    """The lock files and ``.gitignore`` files of a run."""

    def __init__(self, stages: Sequence[Any], note: Path) -> None:
        """Begin a run, or go on with one that was killed.

        Args:
            stages: DVC's stages, in the order of ``dvc repro``.
            note: Where it is kept what was there before.
        """
        self._stages = stages
        self._note = note
        kept = json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
        self._locked: dict[str, list[str]] = {}  # the stages in each lock file, before
        for path in {lock_file(stage) for stage in stages if stage.cmd}:
            now = list(lock_blocks(_text(path))[1])
            before = kept.get("locks", {}).get(str(path), now)
            # What somebody has changed since then is taken as it is.
            self._locked[str(path)] = before if set(before) <= set(now) else now
        self._ignored: dict[str, str] = {}  # the text of each .gitignore, before
        self._positions: dict[str, list[str]] = {}  # the lines for its outputs, in order
        for out in (out for stage in stages for out in stage.outs):
            ignore = Path(out.fs_path).with_name(".gitignore")
            self._positions.setdefault(str(ignore), []).append(ignore_line(Path(out.fs_path)))
        for path in map(Path, self._positions):
            text = _text(path)
            earlier = kept.get("ignored", {}).get(str(path), text)
            self._ignored[str(path)] = earlier if text.startswith(earlier) else text
        write_text(note, json.dumps({"locks": self._locked, "ignored": self._ignored}))

    def record(self, stages: Iterable[Any]) -> None:
        """Write stages that have ended, and that DVC has saved, into their files."""
        entries: dict[Path, dict[str, str]] = {}
        for stage in stages:
            self._sort_ignored(stage)
            if not stage.cmd:
                stage.dump(update_pipeline=False)  # a .dvc file of its own
                continue
            text = dumps_yaml({"stages": to_lockfile(stage)})
            block = text.partition("\n")[2]
            entries.setdefault(lock_file(stage), {})[stage.name] = block
            stage.repo.scm_context.track_file(os.path.relpath(lock_file(stage)))
        for path, blocks in entries.items():
            self._write_lock(path, blocks)

    def _write_lock(self, path: Path, new: Mapping[str, str]) -> None:
        text = _text(path)
        head, blocks, tail = lock_blocks(text)
        blocks |= new
        planned = [stage.name for stage in self._stages if stage.cmd and lock_file(stage) == path]
        order = [*self._locked[str(path)], *planned, *blocks]
        written = head + "".join(blocks[name] for name in dict.fromkeys(order) if name in blocks)
        if written + tail != text:
            write_text(path, written + tail)

    def _sort_ignored(self, stage: Any) -> None:
        """Put the lines that DVC has added to ``.gitignore`` files in order."""
        for folder in dict.fromkeys(Path(out.fs_path).parent for out in stage.outs):
            path = folder / ".gitignore"
            text, before = _text(path), self._ignored[str(path)]
            lines = [line for line in text.removeprefix(before).splitlines() if line]
            positions = {line: number for number, line in enumerate(self._positions[str(path)])}
            ordered = sorted(lines, key=lambda line: positions.get(line, -1))
            if ordered != lines:
                gap = "\n" if before and not before.endswith("\n") else ""
                write_text(path, before + gap + "".join(f"{line}\n" for line in ordered))

    def close(self) -> None:
        """Forget what was there before: every stage has ended well."""
        discard(self._note)


def lock_file(stage: Any) -> Path:
    """Return the lock file in which DVC records a stage."""
    return Path(stage.path).with_suffix(".lock")


def lock_blocks(text: str) -> tuple[str, dict[str, str], str]:
    """Return a lock file's text up to its stages, the text of each stage, and the rest.

    Args:
        text: As DVC writes it; empty for a file that is not there.
    """
    found = re.search(r"^stages:.*\n", text, re.MULTILINE)
    if not found:
        return (text or "schema: '2.0'\n") + "stages:\n", {}, ""
    head, begin, rest = text[: found.start()], found[0], text[found.end() :]
    end = re.search(r"^\S", rest, re.MULTILINE)
    inside, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    parts = re.split(r"^(?=  [^\s#-])", inside, flags=re.MULTILINE)
    comment, entries = parts[0], parts[1:]
    names = [_name(entry.partition("\n")[0]) for entry in entries]
    start = "stages:\n" if begin.strip() == "stages: {}" else begin
    return head + start + comment, dict(zip(names, entries, strict=True)), tail


def _name(line: str) -> str:
    """Return the name of a stage from the line that its entry begins with."""
    plain = line.strip().removesuffix(":")
    return plain if re.fullmatch(r"[\w@.-]+", plain) else str(next(iter(parse_yaml(line.encode()))))


def ignore_line(path: Path) -> str:
    """Return the line that DVC writes into ``.gitignore`` for an output."""
    return "/" + re.sub(r"([\[\]!*#?])", r"\\\1", path.name)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
