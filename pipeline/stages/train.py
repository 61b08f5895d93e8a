"""Train the network, on a GPU where the backend sees one, else on the CPU.

With REQUIRE_GPU=1 in the environment it fails at once where there is no GPU.
KERAS_BACKEND=jax trains with JAX instead of TensorFlow. Training that was interrupted goes on
from its last checkpoint, in data/checkpoints/, and ends with the same bytes.
"""

# First, since it notes the state of the code before Keras, which takes seconds, is imported.
from pipeline.training import sources  # isort: skip

import json
from pathlib import Path

from pipeline.model.backend import keras, pin
from pipeline.model.file import save_model
from pipeline.runtime.atomic import write_text
from pipeline.runtime.command import run_stage
from pipeline.runtime.examples import load_examples
from pipeline.training.checkpoint import Checkpoint, run_key
from pipeline.training.environment import environment, environment_of_checkpoints
from pipeline.training.loop import TrainParams, train_network


def train(
    params: TrainParams,
    *,
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    model_file: Path = Path("data/model/model.keras"),
    learning_curves: Path = Path("reports/learning_curves.csv"),
    environment_file: Path = Path("reports/environment.json"),
) -> None:
    """Write the trained model, its learning curves (a row an epoch) and the environment.

    Raises:
        PipelineError: A GPU is required and missing, the data do not fit the parameters, code
            was saved while it was being loaded, or the loss is no longer finite.
    """
    device = pin(params.threads)
    print(f"Training on {device.name} with {keras.config.backend()}", flush=True)
    facts = environment(keras.config.backend(), device.name, device.settings)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    decisive = {
        "params": params.model_dump(exclude={"checkpoint_every"}),
        "environment": [facts, environment_of_checkpoints()],
        "code": sources.loaded_code(),
    }
    checkpoint = Checkpoint(run_key(decisive, [*training, *validation]))
    model, curves = train_network(training, validation, params, checkpoint)
    save_model(model, model_file)
    write_text(learning_curves, curves.to_csv(index=False, lineterminator="\n"))
    write_text(environment_file, json.dumps(facts, indent=2) + "\n")
    checkpoint.clear()


if __name__ == "__main__":
    run_stage(train, TrainParams)
