"""Export the network as an ONNX file, which runs without Keras: `read` uses it."""

from pathlib import Path

from pipeline.evaluation.results import read_json
from pipeline.export.exported import ExportParams, check_agreement, exported
from pipeline.model.backend import pin
from pipeline.model.file import load_model
from pipeline.runtime.atomic import replacing
from pipeline.runtime.command import run_stage
from pipeline.runtime.examples import load_examples
from pipeline.runtime.params import read_params, read_section


def export(
    params: ExportParams,
    *,
    parameters: Path = Path("params.yaml"),
    model_file: Path = Path("data/model/model.keras"),
    operating_points: Path = Path("data/model/operating_points.json"),
    metrics: Path = Path("reports/metrics.json"),
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    network: Path = Path("data/model/model.onnx"),
) -> None:
    """Write the network with its thresholds, held against Keras on the validation images.

    Args:
        params: For the test whether an image is a digit.
        parameters: For the names of the classes, and what the network was trained by.
        model_file: The trained network.
        operating_points: Its temperature and thresholds.
        metrics: Its accuracy.
        train_images: That it was trained with.
        train_labels: Of these.
        validation_images: That it was not trained with.
        validation_labels: Of these.
        network: The file to write.

    Raises:
        PipelineError: ONNX and Keras answer differently, or an input is damaged.
        OSError: A file cannot be read or written.
    """
    pin(1)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    model = load_model(model_file)
    numbers = [str(label) for label in range(model.output_shape[1])]
    trained = read_section("train", parameters)
    content = exported(
        model,
        training,
        validation.images,
        read_json(operating_points),
        params,
        classes=read_section("preprocess", parameters)["class_names"] or numbers,
        recipe=read_params("train", parameters)["recipe"],
        test_accuracy=read_json(metrics)["accuracy"],
        run=f"{trained['recipe']}-{trained['seed']}",
    )
    check_agreement(content, validation.images, model.predict(validation.images, verbose=0))
    with replacing(network) as partial:
        partial.write_bytes(content)


if __name__ == "__main__":
    run_stage(export, ExportParams)
