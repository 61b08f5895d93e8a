"""Export the network as an ONNX file, which runs without Keras: `read` uses it."""

from pathlib import Path
from typing import Any

from pipeline.data.raw_examples import PreprocessParams
from pipeline.evaluation.assessment import EvaluateParams
from pipeline.evaluation.results import read_json
from pipeline.export.exported import ExportParams, check_agreement, exported
from pipeline.model.backend import pin
from pipeline.model.file import load_model
from pipeline.runtime.atomic import replacing
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import load_examples
from pipeline.runtime.params import load_section, read_params, read_section


def export(
    params: ExportParams,
    evaluation: EvaluateParams,
    preprocess: PreprocessParams,
    recipe: dict[str, Any],
    run: str,
    *,
    model_file: Path = Path("data/model/model.keras"),
    operating_points: Path = Path("data/model/operating_points.json"),
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    validation_labels: Path = Path("data/processed/validation_labels.npy"),
    network: Path = Path("data/model/model.onnx"),
) -> None:
    """Write the network with its thresholds, held against Keras on the validation images.

    Args:
        params: For the test whether an image is a digit.
        evaluation: For the number of images that are predicted at a time, and of threads.
        preprocess: For the names of the classes.
        recipe: Its settings, by name.
        run: Its name, RECIPE-SEED.
        model_file: The trained network.
        operating_points: Its temperature and thresholds.
        train_images: That it was trained with.
        train_labels: Of these.
        validation_images: That it was not trained with.
        validation_labels: Of these.
        network: The file to write.

    Raises:
        PipelineError: ONNX and Keras answer differently, or an input is damaged.
        OSError: A file cannot be read or written.
    """
    pin(evaluation.threads)
    training = load_examples(train_images, train_labels)
    validation = load_examples(validation_images, validation_labels)
    model = load_model(model_file)
    classes = preprocess.class_names or [str(label) for label in range(model.output_shape[1])]
    points = read_json(operating_points)
    content = exported(
        model, training, validation.images, points, params, classes=classes, recipe=recipe, run=run
    )
    by_keras = model.predict(validation.images, batch_size=evaluation.batch_size, verbose=0)
    check_agreement(content, validation.images, by_keras)
    with replacing(network) as partial:
        partial.write_bytes(content)


def main() -> None:
    """Parse the command line and export."""
    stage_parser("export", "stage").parse_args()

    def load() -> tuple[Any, ...]:
        train = read_section("train")
        return (
            load_section("export", ExportParams),
            load_section("evaluate", EvaluateParams),
            load_section("preprocess", PreprocessParams),
            read_params("train")["recipe"],
            f"{train['recipe']}-{train['seed']}",
        )

    run_checked("export", export, load)


if __name__ == "__main__":
    main()
