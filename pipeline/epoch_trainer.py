"""A whole epoch, training and validation, as one compiled function around Keras's own steps.

``model.fit`` goes back to Python after every batch; for a network as small as this one that
costs more than the arithmetic. Here the examples lie on the device, an epoch is given as the
order of its images, and the loop over batches runs inside the compiled function.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.backend import keras
from pipeline.examples import Examples

Logs = dict[str, Any]
RunEpoch = Callable[[NDArray[np.int32]], tuple[Logs, Logs]]


class Epoch(NamedTuple):
    """What one epoch came to: means over its examples, as ``model.fit`` reports them.

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
    epochs: int,
    seed: int,
) -> Iterator[Epoch]:
    """Train a compiled model and yield each epoch when it is done.

    As in ``model.fit``, every epoch visits all examples in a new order, and its last batch is
    smaller where the batch size does not divide their number.

    Args:
        model: Compiled, with the metric "accuracy"; its weights are up to date at each yield.
        training: At least ``batch_size`` examples.
        validation: At least one example.
        batch_size: Examples per step.
        epochs: How many to yield.
        seed: Of the order of the examples.
    """
    # Two steps that leave the weights alone, for the variables that Keras creates only then.
    model.optimizer.build(model.trainable_variables)
    model.test_on_batch(training.images[:1], training.labels[:1])
    compile_epoch = (
        _compile_jax_epoch if keras.config.backend() == "jax" else _compile_tensorflow_epoch
    )
    run_epoch = compile_epoch(model, training, validation, batch_size)
    random = np.random.default_rng(seed)
    for number in range(1, epochs + 1):
        order = random.permutation(len(training.labels)).astype(np.int32)
        logs, validation_logs = run_epoch(order)
        yield Epoch(
            number,
            float(logs["loss"]),
            float(logs["accuracy"]),
            float(validation_logs["loss"]),
            float(validation_logs["accuracy"]),
        )


def _compile_tensorflow_epoch(
    model: keras.Model, training: Examples, validation: Examples, batch_size: int
) -> RunEpoch:
    """Return a function that runs an epoch, given the order of the examples, int32 (n,)."""
    import tensorflow as tf

    train_images, train_labels = map(tf.constant, training)
    validation_images, validation_labels = map(tf.constant, validation)
    in_order = tf.range(len(validation.labels), dtype=tf.int32)

    def run_batches(step: Callable[..., Any], images: Any, labels: Any, order: Any) -> Logs:
        def run_batch(batch: Any) -> None:
            step((tf.gather(images, batch), tf.gather(labels, batch)))

        def run_next(number: Any) -> Any:
            run_batch(batches[number])
            return number + 1

        model.reset_metrics()
        whole = order.shape[0] // batch_size
        batches = tf.reshape(order[: whole * batch_size], (whole, batch_size))
        tf.while_loop(lambda number: number < whole, run_next, [tf.constant(0)])
        if order.shape[0] % batch_size:
            run_batch(order[whole * batch_size :])
        logs: Logs = model.get_metrics_result()
        return logs

    # XLA makes an epoch faster on a GPU; on a CPU it was not, see docs/decisions.md.
    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")), autograph=False)
    def run_epoch(order: Any) -> tuple[Logs, Logs]:
        logs = run_batches(model.train_step, train_images, train_labels, order)
        return logs, run_batches(model.test_step, validation_images, validation_labels, in_order)

    return lambda order: run_epoch(tf.constant(order))


def _compile_jax_epoch(
    model: keras.Model, training: Examples, validation: Examples, batch_size: int
) -> RunEpoch:
    """Return a function that runs an epoch, given the order of the examples, int32 (n,)."""
    import jax

    def run_batches(
        step: Callable[..., Any], state: Any, examples: Any, order: Any
    ) -> tuple[Any, Logs]:
        def run_batch(state: Any, batch: Any) -> tuple[Any, Logs]:
            logs, state = step(state, (examples.images[batch], examples.labels[batch]))
            return state, logs

        logs: Logs = {}
        whole = len(order) // batch_size
        if whole:
            batches = order[: whole * batch_size].reshape(whole, batch_size)
            state, history = jax.lax.scan(run_batch, state, batches)
            # Keras's logs are running means, so the last ones speak for all.
            logs = {name: values[-1] for name, values in history.items()}
        if len(order) % batch_size:
            state, logs = run_batch(state, order[whole * batch_size :])
        return state, logs

    @jax.jit
    def run_epoch(state: Any, training: Examples, validation: Examples, order: Any) -> Any:
        trainable, non_trainable, optimizer, zeroed_metrics = state
        (trainable, non_trainable, optimizer, _), logs = run_batches(
            model.train_step, state, training, order
        )
        _, validation_logs = run_batches(
            model.test_step,
            (trainable, non_trainable, zeroed_metrics),
            validation,
            jax.numpy.arange(len(validation.labels)),
        )
        return (trainable, non_trainable, optimizer), logs, validation_logs

    training, validation = jax.device_put((training, validation))

    def run(order: NDArray[np.int32]) -> tuple[Logs, Logs]:
        model.reset_metrics()
        variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([variable.value for variable in group] for group in variables)
        new_state, logs, validation_logs = run_epoch(state, training, validation, order)
        for group, values in zip(variables[:3], new_state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return logs, validation_logs

    return run
