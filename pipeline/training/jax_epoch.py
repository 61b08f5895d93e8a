"""An epoch compiled by JAX: a scan over batches around Keras's own steps.

The examples lie on the device, and the scan runs inside the compiled function. Keras's steps are
pure functions there: the state of model, optimiser and metrics goes in and comes out.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import getitem
from typing import Any

from numpy.typing import NDArray

from pipeline.model.backend import keras
from pipeline.runtime.examples import Examples
from pipeline.training.batches import Logs, RunEpoch, cut_batch, tensors_of
from pipeline.training.distortion import Strength, distort
from pipeline.training.recipe import moving_averages


def compile_epoch(
    model: keras.Model,
    training: Examples,
    validation: Examples,
    batch_size: int,
    distortion: Strength | None,
) -> RunEpoch:
    """Return a function that runs an epoch; the arguments are those of ``train_epochs``."""
    import jax

    # XLA fuses nothing across the barrier.
    def apart(half: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: jax.lax.optimization_barrier(half(*given))

    cut = partial(cut_batch, gather=getitem, distort=partial(distort, compiled=apart))

    def run_batches(
        step: Callable[..., Any], state: Any, tensors: Any, shown: Sequence[Any]
    ) -> tuple[Any, Logs]:
        def run_batch(state: Any, part: Any) -> tuple[Any, Logs]:
            logs, state = step(state, cut(tensors, part))
            return state, logs

        logs: Logs = {}
        whole, rest = divmod(len(shown[0]), batch_size)
        if whole:
            batches = [
                one[: whole * batch_size].reshape(whole, batch_size, *one.shape[1:])
                for one in shown
            ]
            state, history = jax.lax.scan(run_batch, state, batches)
            # Keras's logs are running means, so the last ones speak for all.
            logs = {name: values[-1] for name, values in history.items()}
        if rest:
            state, logs = run_batch(state, [one[whole * batch_size :] for one in shown])
        return state, logs

    averages = [id(average) for average in moving_averages(model.optimizer)]
    places = [
        number
        for number, variable in enumerate(model.optimizer.variables)
        if id(variable) in averages
    ]

    @jax.jit
    def run_epoch(state: Any, training: Any, validation: Any, shown: Any) -> Any:
        *_, zeroed_metrics = state
        (trainable, non_trainable, optimizer, _), logs = run_batches(
            model.train_step, state, training, shown
        )
        averaged = [optimizer[place] for place in places] or trainable
        _, validation_logs = run_batches(
            model.test_step,
            (averaged, non_trainable, zeroed_metrics),
            validation,
            [jax.numpy.arange(len(validation[0]))],
        )
        return (trainable, non_trainable, optimizer), logs, validation_logs

    tensors = jax.device_put((tensors_of(training, distortion), tensors_of(validation, None)))

    def run(shown: Sequence[NDArray[Any]]) -> tuple[Logs, Logs]:
        model.reset_metrics()
        variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([variable.value for variable in group] for group in variables)
        new_state, logs, validation_logs = run_epoch(state, *tensors, shown)
        for group, values in zip(variables[:3], new_state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return logs, validation_logs

    return run
