"""An epoch compiled by TensorFlow: a loop over batches around Keras's own steps.

The examples lie on the device, and the loop runs inside the compiled function.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from pipeline.model.backend import keras
from pipeline.runtime.examples import Examples
from pipeline.training.batches import Logs, RunEpoch, cut_batch, tensors_of
from pipeline.training.distortion import Strength, distort
from pipeline.training.recipe import moving_averages

ALIGNMENT = 64  # bytes; TensorFlow takes no array that lies otherwise


def compile_epoch(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    batch_size: int,
    distortion: Strength | None,
) -> RunEpoch:
    """Return a function that runs an epoch; the arguments are those of ``train_epochs``."""
    import tensorflow as tf

    training_tensors = [on_device(one) for one in tensors_of(training, distortion)]
    validation_tensors = [on_device(one) for one in tensors_of(validation, None)]
    in_order = tf.range(len(validation.labels), dtype=tf.int32)
    averages = moving_averages(model.optimizer)
    averaged = model.trainable_variables if averages else []

    # As loops over the pixels it takes a third of the time of TensorFlow's operations, one by one.
    compiled = partial(tf.function, jit_compile=True, autograph=False)

    def batch(tensors: Any, shown: Sequence[Any]) -> tuple[Any, Any]:
        return cut_batch(tensors, shown, tf.gather, partial(distort, compiled=compiled))

    def run_batches(step: Callable[..., Any], tensors: Any, shown: Sequence[Any]) -> Logs:
        def run_next(number: Any) -> Any:
            step(batch(tensors, [batches[number] for batches in whole_batches]))
            return number + 1

        model.reset_metrics()
        count = shown[0].shape[0]
        whole = count // batch_size
        whole_batches = [
            tf.reshape(one[: whole * batch_size], (whole, batch_size, *one.shape[1:]))
            for one in shown
        ]
        tf.while_loop(lambda number: number < whole, run_next, [tf.constant(0)])
        if count % batch_size:
            step(batch(tensors, [one[whole * batch_size :] for one in shown]))
        logs: Logs = model.get_metrics_result()
        return logs

    # XLA makes an epoch faster on a GPU; on a CPU it was not, see docs/decisions.md.
    @tf.function(jit_compile=bool(tf.config.list_physical_devices("GPU")), autograph=False)
    def run_epoch(*shown: Any) -> tuple[Logs, Logs]:
        logs = run_batches(model.train_step, training_tensors, shown)
        weights = [tf.identity(variable.value) for variable in averaged]
        for variable, average in zip(averaged, averages, strict=True):
            variable.assign(average)
        validation_logs = run_batches(model.test_step, validation_tensors, [in_order])
        for variable, weight in zip(averaged, weights, strict=True):
            variable.assign(weight)
        return logs, validation_logs

    return lambda shown: run_epoch(*map(tf.constant, shown))


def on_device(array: NDArray[Any]) -> Any:
    """Return an array as a tensor on the device that computes; on a CPU, without a copy of it.

    ``tf.constant`` would copy it twice.
    """
    import tensorflow as tf

    if array.ctypes.data % ALIGNMENT:
        return tf.constant(array)
    return tf.identity(tf.experimental.dlpack.from_dlpack(array.__dlpack__()))
