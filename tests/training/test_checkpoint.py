"""Training stopped after any epoch and taken up again in another process's stead."""

import json
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from test_epochs import TRAINING, VALIDATION

from pipeline.model.backend import keras
from pipeline.model.network import build_network
from pipeline.runtime.errors import PipelineError
from pipeline.training.checkpoint import Checkpoint, run_key
from pipeline.training.distortion import Strength
from pipeline.training.epochs import Epoch
from pipeline.training.loop import TrainParams, train_network
from pipeline.training.recipe import Recipe, build_optimizer

EPOCHS = 4
PLAIN = Recipe(
    activation="relu",
    optimizer="adam",
    batch_size=50,
    epochs=EPOCHS,
    learning_rate=0.01,
    warm_up=None,
    weight_decay=None,
    ema_momentum=None,
    distortion=None,
)
# All that has a state of its own: schedule, moving average, random distortions.
STATEFUL = PLAIN.model_copy(
    update={
        "optimizer": "muon",
        "warm_up": 0.3,
        "weight_decay": 0.1,
        "ema_momentum": 0.9,
        "distortion": Strength(
            rotation=5.0, scale=0.05, shear=0.05, shift=0.7, elastic=0.7, smoothness=4.0, stroke=0.4
        ),
    }
)
KEY = "0123456789abcdef" * 4


def params(recipe: Recipe, checkpoint_every: int = 1) -> TrainParams:
    return TrainParams(
        hidden_units=[16, 8],
        recipe=recipe,
        seed=3,
        threads=2,
        checkpoint_every=checkpoint_every,
    )


class Interrupted(Exception):  # noqa: N818 (it is none of the program's errors)
    pass


class Interrupting(Checkpoint):
    """A checkpoint after which the process is gone."""

    def __init__(self, folder: Path, epochs: int) -> None:
        super().__init__(KEY, folder)
        self.epochs = epochs

    def save(self, model: Any, random: Any, epochs: Any) -> None:
        super().save(model, random, epochs)
        if len(epochs) == self.epochs:
            raise Interrupted


def trained(
    recipe: Recipe, checkpoint: Checkpoint | None = None, checkpoint_every: int = 1
) -> tuple[list[NDArray[Any]], Any]:
    """Return all variables in the end, the optimiser's too, and the learning curves."""
    model, curves = train_network(
        TRAINING, VALIDATION, params(recipe, checkpoint_every), checkpoint
    )
    variables = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(variable) for variable in variables], curves


def interrupt(folder: Path, recipe: Recipe, epochs: int) -> None:
    with pytest.raises(Interrupted):
        trained(recipe, Interrupting(folder, epochs))


def assert_same(found: Any, expected: Any) -> None:
    for value, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_array_equal(value, other)
    assert found[1].to_csv() == expected[1].to_csv()


@cache
def uninterrupted() -> Any:
    return trained(STATEFUL)


def test_interrupted_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = uninterrupted()
    capsys.readouterr()
    for epoch in range(1, EPOCHS + 1):
        interrupt(tmp_path, STATEFUL, epoch)
    assert_same(trained(STATEFUL, Checkpoint(KEY, tmp_path)), expected)
    output = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert output[0] == f"Epoch 1 of {EPOCHS}"
    assert output[1:-1] == [
        line
        for epoch in range(1, EPOCHS)
        for line in (
            f"Going on after epoch {epoch} of {EPOCHS}",
            f"Epoch {epoch + 1} of {EPOCHS}",
        )
    ]
    assert output[-1] == f"Going on after epoch {EPOCHS} of {EPOCHS}"


def test_checkpoint_is_written_as_often_as_asked_for_and_changes_no_bit(tmp_path: Path) -> None:
    class Counting(Checkpoint):
        written: list[int] = []  # noqa: RUF012 (there is one)

        def save(self, model: Any, random: Any, epochs: Any) -> None:
            self.written.append(len(epochs))
            super().save(model, random, epochs)

    checkpoint = Counting(KEY, tmp_path)
    assert_same(trained(STATEFUL, checkpoint, checkpoint_every=3), uninterrupted())
    assert checkpoint.written == [3]
    assert [path.name for path in tmp_path.iterdir()] == [f"{KEY[:16]}.npz"]
    # What a kill leaves of one that was being written.
    (tmp_path / f"{KEY[:16]}.partial.npz").write_bytes(b"")
    checkpoint.clear()
    checkpoint.clear()
    assert not list(tmp_path.iterdir())


def test_epoch_that_diverges_is_in_no_checkpoint(tmp_path: Path) -> None:
    recipe = PLAIN.model_copy(update={"learning_rate": 1e18, "epochs": 50})
    checkpoint = Checkpoint(KEY, tmp_path)
    with pytest.raises(PipelineError, match="training has diverged: in epoch"):
        trained(recipe, checkpoint)
    if checkpoint.path.exists():
        with np.load(checkpoint.path) as stored:
            assert np.isfinite(stored["epochs"]).all()


def fresh_model(hidden_units: tuple[int, ...] = (16, 8)) -> Any:
    return build_network(64, hidden_units, "relu", 10, build_optimizer(STATEFUL, 230), seed=4)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint after two epochs."""
    folder = tmp_path_factory.mktemp("whole")
    interrupt(folder, STATEFUL, 2)
    return Checkpoint(KEY, folder).path.read_bytes()


def restored(folder: Path, model: Any, key: str = KEY) -> tuple[list[Epoch], bool]:
    """Return the epochs restored, and whether model or random numbers are other than before."""
    random = np.random.default_rng(9)
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(variable) for variable in variables], random.bit_generator.state
    epochs = Checkpoint(key, folder).restore(model, random)
    same = all(
        np.array_equal(old, variable)
        for old, variable in zip(before[0], map(np.array, variables), strict=True)
    )
    return epochs, not (same and random.bit_generator.state == before[1])


def refused(
    folder: Path, content: bytes, model: Any, capsys: pytest.CaptureFixture[str], key: str = KEY
) -> str:
    """Expect that a file is not used and changes nothing; return what is said about it."""
    path = Checkpoint(key, folder).path
    path.write_bytes(content)
    epochs, changed = restored(folder, model, key)
    assert (epochs, changed) == ([], False)
    assert path.read_bytes() == content
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert message.startswith(f"{path}: not usable, training begins anew: ")
    return message


def test_nothing_is_restored_where_there_is_no_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restored(tmp_path, fresh_model()) == ([], False)
    assert capsys.readouterr() == ("", "")


def test_checkpoint_of_another_run_is_not_taken_for_this_one(
    tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    # Even if both have the name in common, which is the beginning of the key.
    other = KEY[:16] + "f" * 48
    assert "of another run" in refused(tmp_path, whole, fresh_model(), capsys, other)
    assert "does not fit" in refused(tmp_path, whole, fresh_model((16, 9)), capsys)


def test_damaged_checkpoint_begins_anew_and_no_pickle_in_it_is_loaded(
    tmp_path: Path, whole: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    model = fresh_model()
    for length in (0, 1, 4, 100, len(whole) // 2, len(whole) - 1):
        refused(tmp_path, whole[:length], model, capsys)
    with np.load(BytesIO(whole)) as stored:
        arrays = dict(stored) | {"variable_0": np.array([Hostile()], dtype=object)}
    hostile = BytesIO()
    np.savez(hostile, **arrays)
    assert "allow_pickle=False" in refused(tmp_path, hostile.getvalue(), model, capsys)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("every", [63, pytest.param(1, marks=pytest.mark.slow)])
def test_flipped_bit_is_noticed_or_without_effect(tmp_path: Path, whole: bytes, every: int) -> None:
    path = Checkpoint(KEY, tmp_path).path
    path.write_bytes(whole)
    model = fresh_model()
    epochs = Checkpoint(KEY, tmp_path).restore(model, np.random.default_rng(9))
    variables = [*model.variables, *model.optimizer.variables]
    expected = [np.array(variable) for variable in variables]
    ends = {*range(8 * 200), *range(8 * (len(whole) - 500), 8 * len(whole), 3)}
    anywhere = np.random.default_rng(1).integers(0, 8 * len(whole), 1000)
    noticed = 0
    for position in sorted(ends | set(map(int, anywhere)))[::every]:
        content = bytearray(whole)
        content[position // 8] ^= 1 << position % 8
        path.write_bytes(content)
        for variable in variables:
            variable.assign(variable * 0)
        random = np.random.default_rng(9)
        found = Checkpoint(KEY, tmp_path).restore(model, random)
        noticed += not found
        if found:
            assert found == epochs
            for variable, value in zip(variables, expected, strict=True):
                np.testing.assert_array_equal(np.array(variable), value)
    assert noticed > 1000 / every


def test_key_changes_with_settings_and_data() -> None:
    facts = {"params": params(PLAIN).model_dump(), "environment": {"packages": {"keras": "3"}}}
    arrays = [*TRAINING, *VALIDATION]

    def variants() -> Iterator[str]:
        yield run_key(facts, arrays)
        yield run_key(facts | {"params": params(STATEFUL).model_dump()}, arrays)
        yield run_key(facts | {"environment": {"packages": {"keras": "4"}}}, arrays)
        for number, array in enumerate(arrays):
            other = array.copy()
            other.flat[-1] += 1
            yield run_key(facts, [*arrays[:number], other, *arrays[number + 1 :]])
        yield run_key(facts, [arrays[0].reshape(-1), *arrays[1:]])
        yield run_key(facts, [arrays[0].view(np.int32), *arrays[1:]])

    keys = list(variants())
    assert len(set(keys)) == len(keys) == 9
    reordered = dict(reversed(json.loads(json.dumps(facts)).items()))
    assert run_key(reordered, arrays) == keys[0]
