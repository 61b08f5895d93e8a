"""Hostile model files: what is refused, and that nothing of it has run, been read or been built."""

import io
import json
import stat
import struct
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from test_hdf5_arrays import BREAKING
from test_model_file import champion, trained_network

from pipeline.backend import keras
from pipeline.model_archive import LARGEST_ARCHIVE, MEMBERS, read_archive
from pipeline.model_file import FRAME, load_model, save_model
from pipeline.network import MOST_LAYERS, MOST_WEIGHTS, build_network
from pipeline.stage import PipelineError

MOST_MEMORY = 8 << 20  # bytes that refusing may take; the good file has 0.04 MB


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The three files in a good archive."""
    path = tmp_path_factory.mktemp("good") / "model.keras"
    save_model(trained_network(), path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, members: dict[str, bytes] | list[tuple[Any, bytes]]) -> Path:
    entries = list(members.items()) if isinstance(members, dict) else members
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def refused(path: Path, fact: str) -> None:
    """Expect one readable line, soon, without much memory, before Keras has the file."""
    tracemalloc.start()
    try:
        with pytest.raises(PipelineError, match=rf"\.keras: not a model of .*{fact}") as caught:
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 800


@pytest.fixture(autouse=True)
def _keras_is_not_asked(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Let whatever Keras builds from a file end a test, but where a good file is to load."""
    if "good" not in request.node.name:
        monkeypatch.setattr(keras.saving, "deserialize_keras_object", pytest.fail)


@pytest.mark.parametrize("make", [trained_network, champion])
@pytest.mark.parametrize("save", [save_model, lambda model, path: model.save(path)])
def test_good_file_loads_whoever_saved_it(
    tmp_path: Path, make: Callable[[], Any], save: Callable[[Any, Path], None]
) -> None:
    save(make(), tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() > 0


def test_good_file_of_a_network_that_was_never_trained_loads(tmp_path: Path) -> None:
    model = build_network(64, [16, 8], 10, keras.optimizers.Adam(0.01, name="adam"), seed=3)
    model.optimizer.learning_rate = 0.25
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.count_params() > 0
    assert float(loaded.optimizer.learning_rate) == 0.25


def test_good_file_of_the_deepest_network_loads(tmp_path: Path) -> None:
    optimizer = keras.optimizers.Adam(0.01, name="adam", use_ema=True)
    model = build_network(784, [1] * MOST_LAYERS, 10, optimizer, seed=3)
    optimizer.build(model.trainable_variables)
    save_model(model, tmp_path / "model.keras")
    assert len(load_model(tmp_path / "model.keras").layers) == MOST_LAYERS + 1


def test_file_of_the_largest_network_is_below_the_bound() -> None:
    bytes_of_a_weight = 4 * len(["itself", "first moment", "second moment", "moving average"])
    assert MOST_WEIGHTS * bytes_of_a_weight + FRAME < LARGEST_ARCHIVE


@pytest.mark.parametrize("make", [trained_network, champion])
def test_good_file_gives_what_keras_itself_makes_of_it(
    tmp_path: Path, make: Callable[[], Any]
) -> None:
    save_model(make(), tmp_path / "model.keras")
    loaded, expected = (
        load(tmp_path / "model.keras") for load in (load_model, keras.models.load_model)
    )
    assert loaded.get_config() == expected.get_config()
    assert loaded.get_compile_config() == expected.get_compile_config()
    variables = [[*model.weights, *model.optimizer.variables] for model in (loaded, expected)]
    for one, other in zip(*variables, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))


def test_name_by_which_keras_would_take_it_for_another_format_is_refused(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    path = written(tmp_path / "model.h5", members)
    with pytest.raises(PipelineError, match=r"model\.h5: .*expected a name that ends in \.keras"):
        load_model(path)


# Models that Keras itself saves.


def test_function_of_python_never_runs(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def touch(pixels: Any) -> Any:
        open(str(canary), "w").close()  # noqa: PTH123 (no name of this module in it)
        return pixels

    keras.Sequential([keras.Input((4,)), keras.layers.Lambda(touch)]).save(tmp_path / "m.keras")
    canary.unlink()  # building it ran it
    refused(tmp_path / "m.keras", r"config\.json: config\.layers\.1: .*'Lambda'")
    assert not canary.exists()


def test_object_registered_in_this_process_is_refused_too(tmp_path: Path) -> None:
    built = []

    class Spy(keras.layers.Layer):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            built.append(self)

        def call(self, pixels: Any) -> Any:
            return pixels

    with keras.saving.custom_object_scope({"Spy": Spy}):
        keras.Sequential([keras.Input((4,)), Spy()]).save(tmp_path / "m.keras")
        built.clear()
        refused(tmp_path / "m.keras", "'Spy'")
    assert not built


def test_layer_of_keras_that_reads_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("secret\n")
    layer = keras.layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    keras.Sequential([keras.Input((1,), dtype="string"), layer]).save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "expected an archive of 3 files, found 4")


def test_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    pixels = keras.Input((4,))
    keras.Model(pixels, keras.layers.Dense(2)(pixels)).save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "module: .* found 'keras.src.models.functional'")


# What config.json may say.

LAMBDA = {"class_name": "__lambda__", "config": {"value": ["4wAAAA==", None, None]}}
EVAL = {"module": "builtins", "class_name": "function", "config": "eval"}


@pytest.mark.parametrize(
    ("place", "value", "fact"),
    [
        ("config.layers.1.config.activation", LAMBDA, "activation: "),
        ("config.layers.1.config.activation", "hard_sigmoid", "activation: .*'hard_sigmoid'"),
        ("config.layers.1.config.kernel_regularizer", EVAL, "kernel_regularizer: "),
        ("config.layers.1.config.kernel_regularizer", "l2", "kernel_regularizer: .*'l2'"),
        ("config.layers.1.config.lora_rank", 2**30, "lora_rank: .*1073741824"),
        ("config.layers.1.registered_name", "spy>Spy", "registered_name: .*'spy>Spy'"),
        ("config.layers.1.module", "keras.src.layers", "module: .*'keras.src.layers'"),
        ("config.layers.1.class_name", "EinsumDense", "EinsumDense"),
        ("config.layers.1.class_name", "\x1b[2J", r"'\\x1b\[2J'"),  # would clear the terminal
        ("config.layers.1.config.dtype.config.name", "float64", "name: .*'float64'"),
        ("config.layers.1.config.kernel_initializer.class_name", "Orthogonal", "'Orthogonal'"),
        ("config.layers.0.config.batch_shape", [10**9, 64], "batch_shape"),
        ("compile_config.loss", EVAL, "loss: "),
        ("compile_config.metrics", [LAMBDA], r"metrics\.0: "),
        ("compile_config.optimizer.class_name", "LossScaleOptimizer", "'LossScaleOptimizer'"),
        ("compile_config.optimizer.config.learning_rate", float("nan"), "finite"),
        ("compile_config.optimizer.config.gradient_accumulation_steps", 2, "accumulation_steps"),
        ("compile_config.run_eagerly", True, "run_eagerly"),
        ("compile_config", None, "compile_config"),
    ],
)
def test_setting_that_no_network_of_this_pipeline_has_is_refused(
    tmp_path: Path, members: dict[str, bytes], place: str, value: Any, fact: str
) -> None:
    refused(written(tmp_path / "m.keras", edited(members, place, value)), fact)


def edited(members: dict[str, bytes], place: str, value: Any) -> dict[str, bytes]:
    config = json.loads(members["config.json"])
    *path, last = (int(part) if part.isdigit() else part for part in place.split("."))
    below = config
    for part in path:
        below = below[part]
    below[last] = value
    return members | {"config.json": json.dumps(config).encode()}


@pytest.mark.parametrize(
    ("place", "value", "fact"),
    [
        ("config.layers.1.config.units", 10**9, "built for other inputs"),
        ("config.layers.3.config.units", 10**9, "promises .* bytes of weights"),
        ("config.layers.0.config.batch_shape", [None, 10**9], "built for other inputs"),
        ("config.layers.1.build_config.input_shape", [None, 10**9], "built for other inputs"),
        ("config.build_input_shape", [None, 10**9], "built for other inputs"),
        ("config.layers.3.config.units", 11, r"expected shape \(8, 11\) .*found \(8, 10\)"),
        ("compile_config.optimizer.config.use_ema", True, "expected .* in /optimizer/vars"),
        ("config.layers", [], "expected an InputLayer"),
    ],
)
def test_network_larger_than_its_weights_is_never_built(
    tmp_path: Path, members: dict[str, bytes], place: str, value: Any, fact: str
) -> None:
    refused(written(tmp_path / "m.keras", edited(members, place, value)), fact)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"[" * 200_000, "recursion"),
        (b'{"a":' * 50_000, "recursion"),
        (b" " * (1 << 18) + b"{}", "expected at most 262144 bytes"),
        (b"[" + b"1," * 100_000 + b"1]", "valid dictionary"),
        (b"9" * 10_000, "4300"),
        (b"\xff", "decode"),
        (b"", "Expecting value"),
    ],
)
def test_json_that_is_a_burden_or_none_is_refused(
    tmp_path: Path, members: dict[str, bytes], content: bytes, fact: str
) -> None:
    refused(written(tmp_path / "m.keras", members | {"config.json": content}), fact)


def test_of_two_equal_keys_the_one_that_keras_takes_is_judged(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    twice = members["config.json"].replace(b'"relu"', b'"relu", "activation": "elu"')
    refused(written(tmp_path / "m.keras", members | {"config.json": twice}), "'elu'")


# The archive.


@pytest.mark.parametrize(
    "name", ["../canary", "/tmp/canary", "a/../../canary", "C:\\canary", "config.json\0", "x"]
)
def test_member_of_another_name_is_refused(
    tmp_path: Path, members: dict[str, bytes], name: str
) -> None:
    entries: list[tuple[Any, bytes]] = [
        (zipfile.ZipInfo("?" * len(name)) if kind == "config.json" else kind, content)
        for kind, content in members.items()
    ]
    path = written(tmp_path / "m.keras", entries)
    path.write_bytes(path.read_bytes().replace(b"?" * len(name), name.encode()))
    refused(path, "expected an archive of metadata.json, config.json, model.weights.h5, found")
    assert not list(tmp_path.parent.rglob("canary"))


def test_member_too_many_or_twice_or_elsewhere_is_refused(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    path = tmp_path / "m.keras"
    refused(written(path, members | {"assets/x": b""}), "expected an archive of 3 files, found 4")
    refused(written(path, dict(reversed(members.items()))), "expected an archive of metadata.json")
    members = dict(members)
    config = members.pop("config.json")
    with pytest.warns(UserWarning, match="Duplicate name"):
        written(path, [*members.items(), ("metadata.json", config)])
    refused(path, "expected an archive of metadata.json, config.json")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_link_folder_pipe_and_device_are_refused(
    tmp_path: Path, members: dict[str, bytes], kind: int
) -> None:
    info = zipfile.ZipInfo("model.weights.h5")
    info.external_attr = (kind | 0o777) << 16
    entries: list[tuple[Any, bytes]] = [*members.items()][:2]
    refused(written(tmp_path / "m.keras", [*entries, (info, b"/etc/passwd")]), "not a file but")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bomb_is_not_unpacked(tmp_path: Path, members: dict[str, bytes], method: int) -> None:
    info = zipfile.ZipInfo("model.weights.h5")
    info.compress_type = method
    entries: list[tuple[Any, bytes]] = [*members.items()][:2]
    path = written(tmp_path / "m.keras", [*entries, (info, bytes(1 << 26))])
    refused(path, "expected model.weights.h5 neither compressed nor encrypted")


@pytest.mark.parametrize("size", [1, 36843, 36845, 2**31, 2**32 - 2])
def test_size_that_is_a_lie_is_noticed(
    tmp_path: Path, members: dict[str, bytes], size: int
) -> None:
    path = written(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2")
    assert struct.unpack_from("<2L", content, at + 20) == (len(members["model.weights.h5"]),) * 2
    struct.pack_into("<2L", content, at + 20, size, size)
    path.write_bytes(content)
    refused(path, "")


def test_encrypted_member_is_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = written(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refused(path, "neither compressed nor encrypted")


def test_directory_of_millions_is_not_read(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = written(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    end = len(content) - 22
    start = content.index(b"PK\1\2")
    entry = bytes(content[start : start + 46 + len(MEMBERS[0])])
    entries = entry * 200_000
    numbers = (0, 0, 3, 3, len(entries), start, 0)  # 3, it says
    tail = struct.pack("<4s4H2LH", b"PK\5\6", *numbers)
    path.write_bytes(bytes(content[:start]) + entries + tail)
    refused(path, "expected an archive of 3 files")
    # The same, announced by a second record of 64 bits.
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, len(entries), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(entries), 1)
    directory = bytes(content[start:end])
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 3, 3, len(directory), start, 0)
    path.write_bytes(bytes(content[:start]) + entries + record + locator + tail)
    refused(path, "a zip archive, of 32 bits")


def test_archive_is_bounded(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = written(tmp_path / "m.keras", members)
    with path.open("rb+") as file:
        file.truncate(LARGEST_ARCHIVE + 1)  # with a hole, which takes no space
    refused(path, "expected at most 1073741824 bytes, found 1073741825")


def test_bytes_before_between_and_after_the_members_are_refused(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    path = written(tmp_path / "m.keras", members)
    content = path.read_bytes()
    directory = content.index(b"PK\1\2")
    places = {"metadata.json": 0, "config.json": content.index(b"PK\3\4", 1), "": directory}
    for name, place in places.items():
        path.write_bytes(with_gap(content, place, b"#!/bin/sh\n"))
        with zipfile.ZipFile(path) as archive:
            assert {entry: archive.read(entry) for entry in archive.namelist()} == members
        refused(path, f"expected {name} at byte" if name else "expected nothing after byte")
    path.write_bytes(b"#!/bin/sh\n" + content)  # which zipfile sees through
    refused(path, "expected metadata.json at byte 0 of the archive")


def with_gap(content: bytes, place: int, gap: bytes) -> bytes:
    """Put bytes that are no member's into an archive, whose directory is right about it."""
    changed = bytearray(content[:place] + gap + content[place:])
    entry = changed.index(b"PK\1\2")
    struct.pack_into("<L", changed, len(changed) - 6, entry)
    while (entry := changed.find(b"PK\1\2", entry)) >= 0:
        (start,) = struct.unpack_from("<L", changed, entry + 42)
        struct.pack_into("<L", changed, entry + 42, start + len(gap) * (start >= place))
        entry += 46
    return bytes(changed)


def test_content_that_begins_elsewhere_than_after_the_name_is_refused(
    tmp_path: Path, members: dict[str, bytes]
) -> None:
    # Only the header before the content says so, not the directory.
    path = written(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    struct.pack_into("<H", content, 28, 10)
    path.write_bytes(content)
    refused(path, "expected metadata.json at byte 0 of the archive")


def test_members_that_overlap_are_refused(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = written(tmp_path / "m.keras", members)
    content = bytearray(path.read_bytes())
    weights = content.rindex(b"PK\1\2")
    (start,) = struct.unpack_from("<L", content, weights + 42)
    struct.pack_into("<L", content, weights + 42, start - 1)
    path.write_bytes(content)
    refused(path, f"expected model.weights.h5 at byte {start} of the archive")


def test_every_truncation_names_the_file(tmp_path: Path, members: dict[str, bytes]) -> None:
    content = written(tmp_path / "whole.keras", members).read_bytes()
    path = tmp_path / "m.keras"
    for length in [*range(0, len(content), 997), *range(len(content) - 300, len(content))]:
        path.write_bytes(content[:length])
        with pytest.raises(PipelineError, match=r"m\.keras: not a model"):
            read_archive(path)


# The weights.

KERNEL = "layers/dense/vars/0"


def with_weights(
    path: Path, members: dict[str, bytes], edit: Callable[[h5py.File], object]
) -> Path:
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        edit(weights)
    return written(path, members | {"model.weights.h5": file.getvalue()})


def put(weights: h5py.File, **options: Any) -> None:
    del weights[KERNEL]
    weights.create_dataset(KERNEL, **options)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of the machine, with numbers that would do as weights."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["numbers"] = np.full((64, 16), 4711, "f4")
    (tmp_path / "secret.bin").write_bytes(np.full((64, 16), 4711, "f4").tobytes())
    return tmp_path / "secret.bin"


def test_other_files_are_not_read(tmp_path: Path, members: dict[str, bytes], secret: Path) -> None:
    def external_storage(weights: h5py.File) -> None:
        put(weights, shape=(64, 16), dtype="f4", external=[(str(secret), 0, 4096)])

    def external_link(weights: h5py.File) -> None:
        del weights[KERNEL]
        weights[KERNEL] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/numbers")

    def virtual(weights: h5py.File) -> None:
        layout = h5py.VirtualLayout((64, 16), "f4")
        layout[:] = h5py.VirtualSource(str(secret.with_suffix(".h5")), "numbers", (64, 16))
        del weights[KERNEL]
        weights.create_virtual_dataset(KERNEL, layout)

    path = tmp_path / "m.keras"
    place = "model.weights.h5: /layers/dense/vars/0"
    refused(with_weights(path, members, external_storage), f"{place}: expected 4096 bytes here")
    refused(with_weights(path, members, external_link), f"{place} is a link")
    refused(with_weights(path, members, virtual), f"{place}: expected 4096 bytes here")


def test_link_to_a_group_of_another_file_is_not_followed(
    tmp_path: Path, members: dict[str, bytes], secret: Path
) -> None:
    def edit(weights: h5py.File) -> None:
        del weights["layers/dense"]
        weights["layers/dense"] = h5py.ExternalLink(str(secret.with_suffix(".h5")), "/")

    refused(with_weights(tmp_path / "m.keras", members, edit), "/layers/dense is a link")


@pytest.mark.parametrize(
    ("options", "fact"),
    [
        ({"shape": (2**20, 2**20), "dtype": "f4", "chunks": (64, 64)}, "expected shape"),
        ({"shape": (2**40,), "dtype": "f4"}, "expected shape"),
        ({"shape": (64, 16), "dtype": "f4"}, "expected 4096 bytes here"),  # never written
        ({"data": np.ones((64, 16), "f4"), "compression": "gzip"}, "not compressed"),
        ({"data": np.ones((64, 16), "f4"), "chunks": (8, 8)}, "expected 4096 bytes here"),
        ({"data": np.ones((64, 16), "f8")}, "expected shape .* of <f4, found .* of float64"),
        ({"data": np.ones((64, 16), ">f4")}, "expected shape"),
        ({"data": np.full((64, 16), b"text", "S4")}, "expected shape"),
        ({"shape": (64, 16), "dtype": h5py.string_dtype()}, "expected shape"),
        ({"shape": (64, 16), "dtype": h5py.ref_dtype}, "expected shape"),
    ],
)
def test_array_that_is_not_plainly_there_is_refused(
    tmp_path: Path, members: dict[str, bytes], options: dict[str, Any], fact: str
) -> None:
    path = with_weights(tmp_path / "m.keras", members, lambda weights: put(weights, **options))
    refused(path, f"model.weights.h5: /layers/dense/vars/0: .*{fact}")


@pytest.mark.parametrize(
    ("edit", "fact"),
    [
        (lambda w: w.move("layers/dense", "layers/conv"), "expected dense, .* in /layers, found"),
        (
            lambda w: w.create_group("_layer_checkpoint_dependencies"),
            "expected vars, .* in /, found",
        ),
        (lambda w: w.__setitem__("vars/0", 1.0), "expected nothing in /vars, found"),
        (lambda w: w.__delitem__("optimizer/vars/3"), "in /optimizer/vars, found"),
        (lambda w: [w.__delitem__("vars"), w.__setitem__("vars", w["layers"])], "in /vars, found"),
        (lambda w: [w.__delitem__("vars"), w.__setitem__("vars", 1.0)], "/vars: expected a group"),
        (lambda w: w[KERNEL].attrs.__setitem__("dtype", "bfloat16"), "expected no attributes"),
        (
            lambda w: [
                w.__delitem__("optimizer/vars/2"),
                w.__setitem__("optimizer/vars/2", h5py.SoftLink(f"/{KERNEL}")),
            ],
            "/optimizer/vars/2 is a link",
        ),
    ],
)
def test_weights_of_another_structure_are_refused(
    tmp_path: Path, members: dict[str, bytes], edit: Callable[[h5py.File], object], fact: str
) -> None:
    refused(with_weights(tmp_path / "m.keras", members, edit), fact)


@pytest.mark.parametrize("content", [b"", b"rubbish", bytes(512) + b"\x89HDF\r\n\x1a\n"])
def test_weights_that_are_no_hdf5_are_refused(
    tmp_path: Path, members: dict[str, bytes], content: bytes
) -> None:
    path = written(tmp_path / "m.keras", members | {"model.weights.h5": content})
    refused(path, "not an HDF5 file")


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="needs Linux's bounds; would show that files that break HDF5 are refused like others",
)
@pytest.mark.parametrize(("craft", "fact"), BREAKING)
def test_weights_that_break_hdf5_are_refused(
    tmp_path: Path, members: dict[str, bytes], craft: Callable[[bytes], bytes], fact: str
) -> None:
    weights = craft(members["model.weights.h5"])
    begun = time.perf_counter()
    refused(written(tmp_path / "m.keras", members | {"model.weights.h5": weights}), fact)
    assert time.perf_counter() - begun < 10
