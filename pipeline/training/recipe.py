"""A recipe: the hyperparameters of training, and the optimiser that follows from them."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from pipeline.model.backend import keras
from pipeline.model.network import OUTPUT
from pipeline.runtime.params import Section
from pipeline.training.distortion import Strength


class Recipe(Section):
    """A section below ``recipes`` of ``params.yaml``.

    Attributes:
        activation: Of the hidden layers: "relu", or "silu", x / (1 + exp(-x)), which is smooth
            (Elfwing, Uchibe and Doya, 2018).
        optimizer: "adam" (Kingma and Ba, 2015), or "muon" (Jordan et al., 2024), which changes the
            weights between two layers along an orthogonal matrix; those of the output layer and the
            biases are then left to Adam.
        batch_size: Images per step.
        epochs: Passes over the training images.
        learning_rate: Of the optimiser; its peak, where there is a warm-up.
        warm_up: Share of the steps in which the learning rate rises to its peak in a line; then
            it falls to zero as half a cosine. None keeps it constant.
        weight_decay: Share of itself, times the learning rate, that every weight loses in each step
            (Loshchilov and Hutter, 2019). None loses nothing.
        ema_momentum: Of the exponential moving average of the weights, which is then what is
            validated and kept. None keeps the last weights.
        distortion: Of the training images, new at each visit. None shows them as they are.
    """

    activation: Literal["relu", "silu"]
    optimizer: Literal["adam", "muon"]
    batch_size: PositiveInt
    epochs: PositiveInt
    learning_rate: Annotated[float, Field(gt=0, le=1e20)]  # which 32 bits can hold
    warm_up: Annotated[float, Field(gt=0, lt=1)] | None
    weight_decay: Annotated[float, Field(gt=0, le=1)] | None
    ema_momentum: Annotated[float, Field(gt=0, lt=1)] | None
    distortion: Strength | None


def build_optimizer(recipe: Recipe, images: int) -> keras.optimizers.Optimizer:
    """Return the optimiser of a recipe; it, its schedule and its moving average are Keras's own.

    Args:
        recipe: Says which.
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
    # Named like the layers, since Keras would number it and the model file holds the name.
    settings: dict[str, Any] = {"name": recipe.optimizer, "weight_decay": recipe.weight_decay}
    if recipe.ema_momentum:
        settings |= {"use_ema": True, "ema_momentum": recipe.ema_momentum}
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(rate, **settings)
    muon = keras.optimizers.Muon(
        rate, adam_weight_decay=recipe.weight_decay, exclude_layers=[OUTPUT], **settings
    )
    # The class stays Keras's, so that the model file opens without this project.
    coefficients = (muon.muon_a, muon.muon_b, muon.muon_c)
    muon.zeropower_via_newtonschulz5 = partial(orthogonalised, coefficients)
    return muon


def orthogonalised(polynomial: tuple[float, float, float], matrix: Any, steps: int) -> Any:
    """Return about the orthogonal matrix that is nearest to a matrix, as Muon needs it.

    It is what Keras computes, with half the operations. Each step of Newton and Schulz, X -> (a +
    b XX' + c (XX')^2) X, multiplies X by a symmetric matrix, and all of these commute. So the steps
    need only XX', which is as small as the shorter side of X; X is multiplied once, by the product.

    Args:
        polynomial: The coefficients a, b and c.
        matrix: Shape (n, m), a tensor.
        steps: How many.

    Returns:
        Shape (n, m): the singular vectors of ``matrix``, with singular values around 1.
    """
    ops = keras.ops
    a, b, c = polynomial
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = ops.transpose(matrix) if is_tall else matrix
    x = x / (ops.norm(x) + 1e-7)
    square = x @ ops.transpose(x)
    product = ops.eye(x.shape[0])
    for _ in range(steps):
        # Never a sum of three: TensorFlow begins it with the term whose memory is free first, so
        # its last bits depend on which thread was faster.
        change = b * square + c * (square @ square)
        product = a * product + change @ product
        once = a * square + change @ square
        square = a * once + once @ change
    x = product @ x
    return ops.transpose(x) if is_tall else x


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[Any]:
    """Return the moving averages of the weights that an optimiser keeps; none if it keeps none."""
    return list(optimizer._model_variables_moving_average) if optimizer.use_ema else []  # noqa: SLF001 (Keras's own callback, SwapEMAWeights, reads it too)
