"""A recipe: the hyperparameters of training, and the optimiser that follows from them."""

from typing import Annotated, Any

from pydantic import Field, PositiveInt

from pipeline.model.backend import keras
from pipeline.runtime.params import Section
from pipeline.training.distortion import Strength


class Recipe(Section):
    """A section below ``recipes`` of ``params.yaml``.

    Attributes:
        batch_size: Images per step.
        epochs: Passes over the training images.
        learning_rate: Of Adam; its peak, where there is a warm-up.
        warm_up: Share of the steps in which the learning rate rises to its peak in a line; then
            it falls to zero as half a cosine. None keeps it constant.
        ema_momentum: Of the exponential moving average of the weights, which is then what is
            validated and kept. None keeps the last weights.
        distortion: Of the training images, new at each visit. None shows them as they are.
    """

    batch_size: PositiveInt
    epochs: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, le=1e20)]  # which 32 bits can hold
    warm_up: Annotated[float, Field(gt=0, lt=1)] | None
    ema_momentum: Annotated[float, Field(gt=0, lt=1)] | None
    distortion: Strength | None


def build_optimizer(recipe: Recipe, images: int) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe: Adam (Kingma and Ba, 2015).

    Args:
        recipe: Its schedule and moving average are Keras's own.
        images: Number of training images, which decides how many steps there are.
    """
    rate: float | keras.optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.warm_up:
        steps = recipe.epochs * -(-images // recipe.batch_size)
        rising = max(1, round(recipe.warm_up * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, steps - rising),
            warmup_target=recipe.learning_rate,
            warmup_steps=rising,
        )
    average = {"use_ema": True, "ema_momentum": recipe.ema_momentum} if recipe.ema_momentum else {}
    # Named like the layers, since Keras would number it and the model file holds the name.
    return keras.optimizers.Adam(rate, name="adam", **average)


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Return the moving averages of the weights that an optimiser keeps; none if it keeps none."""
    return list(optimizer._model_variables_moving_average) if optimizer.use_ema else []  # noqa: SLF001 (Keras's own callback, SwapEMAWeights, reads it too)
