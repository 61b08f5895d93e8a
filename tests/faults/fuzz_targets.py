"""What is fuzzed: a reader, files to begin with, and how such files are damaged with skill."""

import atexit
import functools
import gzip
import importlib
import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
from fuzz_worker import REPLY, SIZE

from pipeline.model import hdf5_arrays
from pipeline.runtime.examples import load_array
from pipeline.model.hdf5_reader import MOST_MEMORY
from pipeline.data.idx import IdxError, open_idx
from pipeline.evaluation.predictions import parse_predictions
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.params import load_section

ROOT = Path(__file__).parents[2]
LARGEST_INPUT = 1 << 16  # bytes
NUMBERS = (0, 1, 2, 3, 8, 127, 128, 255, 256, 1000, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
Mutation = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """A reader to fuzz.

    Attributes:
        read: Reads a file; raises a PipelineError where it should.
        suffix: Of the file.
        seeds: Returns files to begin with, most of them good.
        mutate: Damages one of them.
        slowest: Seconds of a processor that one file may take.
    """

    read: Callable[[Path], object]
    suffix: str
    seeds: Callable[[], list[bytes]]
    mutate: Mutation
    slowest: float = 2.0


def mutate_bytes(content: bytes, chance: random.Random, tokens: tuple[bytes, ...] = ()) -> bytes:
    """Return bytes with one or some changes: bits, numbers, pieces left out, repeated, moved."""
    changed = bytearray(content or b"\0")
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        place = chance.randrange(len(changed) + 1)
        end = place + chance.choice((1, 2, 4, 8, 64, 1024))
        match chance.randrange(8 if tokens else 7):
            case 0 if place < len(changed):
                changed[place] ^= 1 << chance.randrange(8)
            case 1 if place < len(changed):
                changed[place] = chance.randrange(256)
            case 2:
                order, size = chance.choice("<>"), chance.choice("BHIQ")
                number = chance.choice(NUMBERS) % 256 ** struct.calcsize(size)
                packed = struct.pack(order + size, number)
                changed[place : place + len(packed)] = packed
            case 3:
                del changed[place:end]
            case 4:
                changed[place:place] = changed[place:end] * chance.choice((1, 1, 2, 50))
            case 5:
                del changed[place:]
            case 6:
                other = chance.randrange(len(changed) + 1)
                changed[other:other] = changed[place:end]
            case 7:
                changed[place:place] = chance.choice(tokens)
    return bytes(changed[:LARGEST_INPUT])


def read_idx(path: Path) -> None:
    """Read a file as images and as labels, as the preprocess stage does."""
    try:
        _read_idx(path, 3)
    except IdxError:
        _read_idx(path, 1)


def _read_idx(path: Path, dimensions: int) -> None:
    with open_idx(path, dimensions) as file:
        for chunk in file.chunks():
            assert chunk.shape[1:] == file.shape[1:]


def idx_seeds() -> list[bytes]:
    def idx(*shape: int) -> bytes:
        header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
        return gzip.compress(header + bytes(range(256)) * 4, mtime=0)

    whole = gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 2, 3, 4) + bytes(24), mtime=0)
    labels = gzip.compress(struct.pack(">BBBBI", 0, 0, 8, 1, 5) + bytes(5), mtime=0)
    return [whole, labels, whole + labels, idx(4, 16, 16), idx(2**32 - 1, 0, 0), idx(2**20)]


def mutate_idx(content: bytes, chance: random.Random) -> bytes:
    """Damage a file, or what it holds before it is compressed again, or put two together."""
    if chance.random() < 0.3:
        return mutate_bytes(content, chance)
    try:
        plain = zlib.decompressobj(31).decompress(content, LARGEST_INPUT)
    except zlib.error:
        plain = content
    packed = gzip.compress(mutate_bytes(plain, chance), chance.choice((0, 1, 9)), mtime=0)
    return packed + content if chance.random() < 0.05 else packed


STAGES = ("download", "preprocess", "train", "evaluate", "plot")


def read_params(path: Path) -> None:
    """Read every section as its stage does, and tell of the last error."""
    error: PipelineError | None = None
    for stage in STAGES:
        module = importlib.import_module(f"pipeline.stages.{stage}")
        try:
            load_section(stage, getattr(module, f"{stage.capitalize()}Params"), path)
        except PipelineError as raised:
            error = raised
    if error:
        raise error


def params_seeds() -> list[bytes]:
    params = (ROOT / "params.yaml").read_bytes()
    small = b"plot: {dpi: 100, gallery_size: 3}\ntrain: {recipe: a, seed: 1}\nrecipes: {a: {}}\n"
    names = b"a: &a {k: [1, 2]}\nb: &b {<<: *a, l: [*a, *a]}\nplot: {<<: *b, dpi: *a}\n"
    return [params, small, names, b"plot: !!set {dpi}\n", b"", "plot: {dpi: 3}".encode("utf-16")]


YAML_TOKENS = (
    *b"[|]|{|}|: |, |- |? |\n|  |&a |*a|<<: |!!int |!!float |!!bool |!!timestamp |!!binary |!!set |"
    b"!!omap |!!null |!!str |!x |%YAML 1.1\n---\n|--- |... |#|'|\"|\\x|\t|2001-99-99|2001-01-01|"
    b"1:2|0x|0b1|0o7|1e3|.nan|.inf|-.inf|~|null|true|=|99999999999999999999|1e999|train: |recipe: |"
    b"recipes: |plot: |dpi: |[[[[[[[[[[[[[[[[|{a: {a: {a: {a: "
    b"|\xff|\xef\xbb\xbf|\x00|\xc2\x85|-0x1ffffffffffffffff".split(b"|"),
    *(b"0x" + b"f" * 5000, b"0b" + b"1_" * 5000, b"9" * 5000, b"!!int 1" + b":1" * 5000),
)


def mutate_params(content: bytes, chance: random.Random) -> bytes:
    """Damage bytes, or put a token in place of a value."""
    values = list(re.finditer(rb"(?<=: )[^\n,}#]+", content))
    if not values or chance.random() < 0.5:
        return mutate_bytes(content, chance, YAML_TOKENS)
    value = chance.choice(values)
    changed = content[: value.start()] + chance.choice(YAML_TOKENS) + content[value.end() :]
    return changed[:LARGEST_INPUT]


def read_predictions(path: Path) -> None:
    parse_predictions(path.read_bytes(), path.name)


def predictions_seeds() -> list[bytes]:
    header = b"actual,predicted,confidence"
    rows = [b"3,3,0.9,0.8", b"4,9,0.5,0.5", b"255,0,1,0"] * 5
    older = [row.rpartition(b",")[0] for row in rows]
    whole = b"\n".join([header + b",calibrated_confidence", *rows, b""])
    return [whole, b"\n".join([header, *older, b""]), whole.replace(b"\n", b"\r\n"), header, b""]


CELLS = tuple(
    b",|\n|\r|\r\n|\"|'|nan|NA|inf|-inf|1e999|-1|256|0.5|1_0|0x1|True|9223372036854775808|1e-400|"
    b"999999999999999999999|actual|confidence|calibrated_confidence|\xff|\xef\xbb\xbf|\x00| |,,,,|"
    b"1+2j|2001-01-01|#|\x1a".split(b"|")
)


def mutate_predictions(content: bytes, chance: random.Random) -> bytes:
    """Damage bytes, or put another value into a cell."""
    lines = content.split(b"\n")
    if chance.random() < 0.5:
        return mutate_bytes(content, chance, CELLS)
    row = chance.randrange(len(lines))
    cells = lines[row].split(b",")
    cells[chance.randrange(len(cells))] = chance.choice(CELLS)
    lines[row] = b",".join(cells)
    return b"\n".join(lines)[:LARGEST_INPUT]


def read_array(path: Path) -> None:
    load_array(path, np.float32)


def array_seeds() -> list[bytes]:
    def npy(array: np.ndarray[Any, Any]) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    arrays = [np.ones((3, 4), np.float32), np.arange(3, dtype=np.int32), np.zeros(0, np.float32)]
    zipped = io.BytesIO()
    np.savez(zipped, a=np.ones(3, np.float32))
    return [*map(npy, arrays), zipped.getvalue()]


HEADER = tuple(
    b"(|)|[|]|{|}|,|-|--------|'|'descr'|'shape'|'fortran_order'|True|False|None|<f4|<f8||O|<U9|<V0|"
    b"<M8[s]|99999999999|1e9|0x7|0b1|lambda:0|(1,)|\\x00|\n|#|((((((((((((((((|b''|f''|...".split(
        b"|"
    )
)


def mutate_array(content: bytes, chance: random.Random) -> bytes:
    """Damage a file, or its header only, with the length that belongs to it."""
    if chance.random() < 0.3 or content[:6] != b"\x93NUMPY":
        return mutate_bytes(content, chance)
    length = int.from_bytes(content[8:10], "little")
    header = mutate_bytes(content[10 : 10 + length], chance, HEADER)
    return content[:8] + struct.pack("<H", len(header) % 2**16) + header + content[10 + length :]


class Worker:
    """Stands for the processes that read HDF5 files: the same code, forked instead of started.

    So a file that breaks HDF5 ends a process here too, and is within the same bounds. What the
    fuzzer does not see is which lines of that code, let alone of HDF5, a file reaches.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fuzz_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        atexit.register(self._process.communicate)

    def asked(self, question: bytes) -> "subprocess.CompletedProcess[bytes]":
        to, back = self._process.stdin, self._process.stdout
        assert to
        assert back
        to.write(SIZE.pack(len(question)) + question)
        to.flush()
        status, seconds, memory, size = REPLY.unpack(back.read(REPLY.size))
        output = back.read(size)
        assert status != 1, "an error that is none of the documented ones"
        assert seconds < 5, f"took {seconds:.1f} s"
        assert memory << 10 < MOST_MEMORY, f"took {memory} KiB of memory"
        return subprocess.CompletedProcess([], status, output, b"")


@functools.cache
def worker() -> Worker:
    return Worker()


def read_model(path: Path) -> None:
    from pipeline.model.backend import keras
    from pipeline.model.file import load_model

    with mock.patch.object(hdf5_arrays, "_asked", worker().asked):
        load_model(path)
    keras.utils.clear_session(free_memory=False)  # Keras keeps the names of all it ever built


@functools.cache
def model_seeds() -> list[bytes]:
    from pipeline.model.backend import keras
    from pipeline.model.file import save_model
    from pipeline.model.network import build_network

    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=8, warmup_target=0.01, warmup_steps=2
    )
    optimizers = [
        keras.optimizers.Adam(0.01, name="adam"),
        keras.optimizers.Adam(schedule, name="adam", use_ema=True, ema_momentum=0.9),
    ]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for optimizer in optimizers:
            model = build_network(4, [3], 2, optimizer, seed=3)
            model.optimizer.build(model.trainable_variables)
            save_model(model, Path(folder) / "model.keras")
            found.append((Path(folder) / "model.keras").read_bytes())
    return found


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 4, 2**31, 2**32, 10**9, 10**30, 0.5, -1.0, 1e308, "", "relu"),
    *("Lambda", "keras", "builtins", "os", "function", "__lambda__", "Dense", "system", "float16"),
    *("l2", "mixed_float16", "eval", "../x", "a b", "\0", "keras.layers", [], {}, [[]], [None, 4]),
    {"class_name": "__lambda__", "config": {"value": ["4wEAAA==", None, None]}},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "object"}},
    {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "eval"},
    {"module": "keras.utils", "class_name": "function", "config": "get_file"},
    {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}},
    {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/etc"}},
)
KEYS = (
    *("class_name", "module", "registered_name", "config", "units", "activation", "lora_rank"),
    *("shared_object_id", "build_config", "compile_config", "quantization_config", "dtype"),
    *("kernel_regularizer", "vocabulary", "gradient_accumulation_steps", "loss", "metrics"),
)


def mutate_tree(tree: Any, chance: random.Random) -> Any:
    """Change, add or take away something somewhere in a tree of JSON."""
    place = tree
    below = place
    while isinstance(below, dict | list) and below and chance.random() < 0.85:
        place = below
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        below = place[key]
    if place is below or chance.random() < 0.2:
        if isinstance(place, dict):
            place[chance.choice(KEYS)] = chance.choice(VALUES)
    elif chance.random() < 0.15:
        del place[key]
    elif isinstance(place, list) and chance.random() < 0.3:
        place.insert(chance.randrange(len(place) + 1), below)
    else:
        place[key] = chance.choice(VALUES)
    return tree


def mutate_weights(content: bytes, chance: random.Random) -> bytes:
    """Put something else in place of an array or a group of an HDF5 file."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as weights:
        names: list[str] = []
        weights.visit(names.append)
        name = chance.choice(names)
        del weights[name]
        match chance.randrange(7):
            case 0:
                weights[name] = h5py.ExternalLink("/etc/passwd", "/")
            case 1:
                weights[name] = h5py.SoftLink(f"/{chance.choice(names)}")
            case 2:
                weights.create_dataset(name, (4, 3), "f4", external=[("/etc/passwd", 0, 48)])
            case 3:
                weights.create_dataset(name, (2**20, 2**20), "f4", chunks=(64, 64), fillvalue=1)
            case 4:
                shape = chance.choice(((), (3,), (4, 3), (3, 2), (2,), (2**40,), (0,)))
                weights.create_dataset(name, shape, chance.choice(("f4", "i8", "f2", "S4", ">f4")))
            case 5:
                weights.create_group(name)
            case 6:
                weights.create_dataset(name, data=np.ones((4, 3), "f4"), compression="gzip")
    return file.getvalue()


def mutate_structure(content: bytes, chance: random.Random) -> bytes:
    """Let something in an HDF5 file's structure be at another place, of another size or kind."""
    changed = bytearray(content)
    words = [
        (place, value)
        for place in range(0, len(content) - 8, 8)
        for value in struct.unpack_from("<Q", content, place)
        if 0 < value < len(content)
    ]
    marks = [match.start() for match in re.finditer(b"TREE|HEAP|SNOD", content)]
    if marks and chance.random() < 0.5:
        # A level more for a tree, and a child; a hole in a heap, and what is said of it there.
        mark, level = chance.choice(marks), chance.choice((0, 1, 1, 2))
        child, hole = chance.choice(marks), 8 * chance.randrange(12)
        if content[mark : mark + 4] == b"TREE" and mark + 40 <= len(content):
            changed[mark + 5] = level
            struct.pack_into("<Q", changed, mark + 32, child)
        if content[mark : mark + 4] == b"HEAP" and mark + 48 + hole <= len(content):
            struct.pack_into("<Q", changed, mark + 16, hole)
            struct.pack_into("<2Q", changed, mark + 32 + hole, hole, chance.choice((16, 24, 8)))
        return bytes(changed)
    for _ in range(chance.choice((1, 1, 2, 3))):
        number = chance.choice([*NUMBERS, *marks, *(value for _, value in words)])
        if marks and chance.random() < 0.5:
            place = chance.choice(marks) + chance.choice((4, 5, 6, 7, *range(8, 48, 8)))
        elif words:
            place = chance.choice(words)[0]
        else:
            place = chance.randrange(max(1, len(content) - 8))
        size = 1 if place % 8 else 8
        if place + size <= len(changed):
            changed[place : place + size] = (number % 256**size).to_bytes(size, "little")
    return bytes(changed)


@functools.cache
def good_weights() -> frozenset[bytes]:
    archives = [zipfile.ZipFile(io.BytesIO(seed)) for seed in model_seeds()]
    return frozenset(archive.read("model.weights.h5") for archive in archives)


def mutate_model(content: bytes, chance: random.Random) -> bytes:
    """Damage an archive, its list of members, one of them, or what that means."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info, archive.read(info)) for info in archive.infolist()]
        index = {info.filename: n for n, (info, _) in enumerate(members)}
        match chance.randrange(8):
            case 0:
                return mutate_bytes(content, chance)
            case 1 | 2 | 3:
                info, old = members[index["config.json"]]
                tree = json.loads(old)
                for _ in range(chance.choice((1, 1, 2, 3))):
                    tree = mutate_tree(tree, chance)
                members[index["config.json"]] = (info, json.dumps(tree).encode())
            case 4:
                info, old = members[index["model.weights.h5"]]
                # Those that may break HDF5 are not opened here.
                is_good = old in good_weights() and chance.random() < 0.5
                mutate = mutate_weights if is_good else mutate_structure
                members[index["model.weights.h5"]] = (info, mutate(old, chance))
            case 5 | 6:
                number = chance.randrange(len(members))
                info, old = members[number]
                members[number] = (info, mutate_bytes(old, chance))
            case 7:
                members = _mutate_members(members, chance)
        return _zipped(members)
    except Exception:  # noqa: BLE001 (it was damaged before, in whatever way)
        return mutate_bytes(content, chance)


def _mutate_members(
    members: list[tuple[zipfile.ZipInfo, bytes]], chance: random.Random
) -> list[tuple[zipfile.ZipInfo, bytes]]:
    number = chance.randrange(len(members))
    info, content = members[number]
    match chance.randrange(5):
        case 0:
            info.filename = chance.choice(("../x", "/etc/x", "config.json", "assets/x", "a\0b"))
        case 1:
            info.compress_type = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
        case 2:
            info.external_attr = chance.choice((0o120777, 0o040777, 0o010777)) << 16
        case 3:
            members.insert(chance.randrange(len(members) + 1), (info, content))
        case 4:
            members.pop(number)
    return members


def _zipped(members: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in members:
            fresh = zipfile.ZipInfo(info.filename, (1980, 1, 1, 0, 0, 0))
            fresh.compress_type, fresh.external_attr = info.compress_type, info.external_attr
            archive.writestr(fresh, content)
    return file.getvalue()


TARGETS = {
    "idx": Target(read_idx, ".gz", idx_seeds, mutate_idx),
    "params": Target(read_params, ".yaml", params_seeds, mutate_params),
    "predictions": Target(read_predictions, ".csv", predictions_seeds, mutate_predictions),
    "model": Target(read_model, ".keras", model_seeds, mutate_model, slowest=10.0),
    "array": Target(read_array, ".npy", array_seeds, mutate_array),
}
