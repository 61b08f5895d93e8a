"""What config.json in a .keras archive may say: a network of this project's, compiled for Adam.

Keras's own names stand here once more, as a closed form. Whatever has another class, a function
or a setting that this project does not use is no such network.
"""

import json
import reprlib
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError

LARGEST_CONFIG = 1 << 18  # bytes; a layer takes a thousand

Module = TypeVar("Module")
Class = TypeVar("Class")
Config = TypeVar("Config")

Size = Annotated[int, Field(gt=0, lt=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
# As JSON has it: a list.
Shape = Annotated[tuple[None, Size], Strict(False)]  # noqa: FBT003 (pydantic's own way)


class Closed(BaseModel):
    """Keys with values; those not named here must be null, Keras's word for not used."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, None]


class Stored(Closed, Generic[Module, Class, Config]):
    """An object of Keras's: its class, and what to build it from. ``registered_name`` is null."""

    module: Module
    class_name: Class
    config: Config


class PolicyConfig(Closed):
    """Of the type to compute in."""

    name: Literal["float32"]


class Policy(Stored[Literal["keras"], Literal["DTypePolicy"], PolicyConfig]):
    """The type to compute in; the same object may stand for several layers."""

    shared_object_id: int | None = None


class InputConfig(Closed):
    """Of the input."""

    name: Name
    batch_shape: Shape
    dtype: Literal["float32"]
    sparse: Literal[False]
    ragged: Literal[False]
    optional: Literal[False]


class GlorotConfig(Closed):
    """Of the first weights."""

    seed: Seed


Glorot = Stored[Literal["keras.initializers"], Literal["GlorotUniform"], GlorotConfig]
Zeros = Stored[Literal["keras.initializers"], Literal["Zeros"], Closed]


class DenseConfig(Closed):
    """Of a layer."""

    name: Name
    trainable: Literal[True]
    dtype: Policy
    units: Size
    activation: Literal["relu", "softmax"]
    use_bias: Literal[True]
    kernel_initializer: Glorot
    bias_initializer: Zeros


class BuildConfig(Closed):
    """The shape that something was built for."""

    input_shape: Shape


class Input(Stored[Literal["keras.layers"], Literal["InputLayer"], InputConfig]):
    """The input."""


class Dense(Stored[Literal["keras.layers"], Literal["Dense"], DenseConfig]):
    """A layer."""

    build_config: BuildConfig


class NetworkConfig(Closed):
    """Of the network."""

    name: Name
    trainable: Literal[True]
    dtype: Policy
    layers: list[Annotated[Input | Dense, Field(discriminator="class_name")]]
    build_input_shape: Shape


class ScheduleConfig(Closed):
    """Of the learning rate over the steps."""

    name: Name
    initial_learning_rate: float
    decay_steps: Size
    alpha: float
    warmup_target: float
    warmup_steps: Size


Schedule = Stored[Literal["keras.optimizers.schedules"], Literal["CosineDecay"], ScheduleConfig]


class AdamConfig(Closed):
    """Of the optimiser."""

    name: Name
    learning_rate: float | Schedule
    use_ema: bool
    ema_momentum: float
    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: Literal[False]


class CompileConfig(Closed):
    """How the network is trained and judged."""

    optimizer: Stored[Literal["keras.optimizers"], Literal["Adam"], AdamConfig]
    loss: Literal["sparse_categorical_crossentropy"]
    metrics: Annotated[tuple[Literal["accuracy"]], Strict(False)]  # noqa: FBT003
    run_eagerly: Literal[False]
    steps_per_execution: Literal[1]
    jit_compile: bool


class ModelConfig(Stored[Literal["keras"], Literal["Sequential"], NetworkConfig]):
    """All of config.json."""

    build_config: BuildConfig
    compile_config: CompileConfig


def parse_config(content: bytes) -> ModelConfig:
    """Return what config.json says.

    Raises:
        ValueError: It is larger than need be, no JSON, or of another network than this project's.
        RecursionError: It is nested deeper than Python can follow.
    """
    if len(content) > LARGEST_CONFIG:
        raise ValueError(f"config.json: expected at most {LARGEST_CONFIG} bytes, found more")
    # By Keras's own parser: of two equal keys, another one might take the other.
    values = json.loads(content)
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        is_value = not isinstance(first["input"], dict | list)
        found = f", found {reprlib.repr(first['input'])}" if is_value else ""
        raise ValueError(f"config.json: {place}: {first['msg'][:150]}{found}") from error
