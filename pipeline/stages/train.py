"""Train the network, on a GPU where the backend sees one, else on the CPU.

With REQUIRE_GPU=1 in the environment it fails at once where there is no GPU.
KERAS_BACKEND=jax trains with JAX instead of TensorFlow.
"""

import json
from pathlib import Path

from pipeline.backend import keras, pin
from pipeline.command import run_stage
from pipeline.environment import environment
from pipeline.examples import load_examples
from pipeline.model_file import save_model
from pipeline.training import TrainParams, train_network


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
        PipelineError: A GPU is required and missing, the data do not fit the parameters, or
            the loss is no longer finite.
    """
    device = pin(params.threads)
    print(f"Training on {device.name} with {keras.config.backend()}", flush=True)
    facts = environment(keras.config.backend(), device.name, device.settings)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    model, curves = train_network(training, validation, params)
    save_model(model, model_file)
    learning_curves.parent.mkdir(parents=True, exist_ok=True)
    curves.to_csv(learning_curves, index=False, lineterminator="\n")
    environment_file.parent.mkdir(parents=True, exist_ok=True)
    environment_file.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run_stage(train, TrainParams)
