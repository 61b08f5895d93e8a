"""The epoch trainer: each epoch of training is one call of a compiled function.

``model.fit`` goes back to Python after every batch; for a network as small as this one that
costs more than the arithmetic.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from pipeline.model.backend import keras
from pipeline.runtime.examples import Examples
from pipeline.training import jax_epoch, tensorflow_epoch
from pipeline.training.distortion import Strength, draw_coefficients


class Epoch(NamedTuple):
    """The results of one epoch: means over its examples, as ``model.fit`` reports them.

    Attributes:
        epoch: Its number, from 1.
        loss: Cross-entropy on the training examples, in nats, while the weights were changing.
        accuracy: Share of the training examples classified correctly, meanwhile.
        val_loss: Cross-entropy on the validation examples at the end of the epoch, in nats.
        val_accuracy: Share of the validation examples classified correctly.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float


def train_epochs(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    *,
    batch_size: int,
    epochs: Iterable[int],
    random: np.random.Generator,
    distortion: Strength | None = None,
) -> Iterator[Epoch]:
    """Train a compiled model and yield each epoch when it is done.

    As in ``model.fit``, every epoch visits all examples in a new order, and its last batch is
    smaller where the batch size does not divide their number. Where the optimiser keeps a moving
    average of the weights, that is what is validated, and what the model has in the end.

    Args:
        model: Compiled, with the metric "accuracy"; its weights are up to date at each yield.
        training: At least ``batch_size`` examples.
        validation: At least one example.
        batch_size: Examples per step.
        epochs: Their numbers, from 1, or from where an earlier call has left off.
        random: Of the order of the examples, and of their distortions; at each yield it stands
            where the next epoch begins.
        distortion: Of the training images, new at every visit; None to show them as they are.
    """
    # Two steps that leave the weights alone, for the variables that Keras creates only then.
    model.optimizer.build(model.trainable_variables)
    model.test_on_batch(training.images[:1], training.labels[:1])
    backend = jax_epoch if keras.config.backend() == "jax" else tensorflow_epoch
    run_epoch = backend.compile_epoch(model, training, validation, batch_size, distortion)
    for number in epochs:
        order = random.permutation(len(training.labels)).astype(np.int32)
        shown = (order, *(draw_coefficients(len(order), distortion, random) if distortion else ()))
        logs, validation_logs = run_epoch(shown)
        yield Epoch(
            number,
            float(logs["loss"]),
            float(logs["accuracy"]),
            float(validation_logs["loss"]),
            float(validation_logs["accuracy"]),
        )
    model.optimizer.finalize_variable_values(model.trainable_variables)
