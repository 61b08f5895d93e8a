"""Export a network of the study for use elsewhere, to the folder champion/.

It writes model.onnx, which runs without Keras and gives calibrated probabilities,
operating_points.json with its temperature and thresholds, draw.html, a page to draw digits on
that has the network inside, and README.md, its model card.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.raw_examples import PreprocessParams
from pipeline.evaluation.assessment import EvaluateParams
from pipeline.evaluation.results import parse_table, read_json, write_json
from pipeline.evaluation.robustness import PERTURBATIONS, accuracies
from pipeline.evaluation.wording import setting
from pipeline.export.card import model_card
from pipeline.export.draw_page import draw_page
from pipeline.export.exported import ExportParams, check_agreement, exported, layers_of
from pipeline.export.onnx_file import INPUT, network_in
from pipeline.model.backend import pin
from pipeline.model.file import load_model
from pipeline.runtime.atomic import replacing, write_text
from pipeline.runtime.command import run_checked, stage_parser
from pipeline.runtime.examples import as_squares, load_array, load_examples
from pipeline.runtime.params import PIPELINE_PARAMS, load_section, read_params, read_section

NETWORK_FILE, POINTS_FILE = "model.onnx", "operating_points.json"


def export(  # noqa: PLR0917 (what the parameter files and the command line give)
    params: ExportParams,
    preprocess: PreprocessParams,
    evaluation: EvaluateParams,
    files: Sequence[dict[str, Any]],
    recipe: dict[str, Any],
    run: str,
    *,
    answers: Path = Path("answers"),
    runs: Path = Path("runs"),
    summary: Path = Path("summary.json"),
    train_images: Path = Path("data/processed/train_images.npy"),
    train_labels: Path = Path("data/processed/train_labels.npy"),
    validation_images: Path = Path("data/processed/validation_images.npy"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    template: Path = Path("pipeline/export/model_card.md"),
    draw_template: Path = Path("pipeline/export/draw.html"),
    draw_code: Path = Path("pipeline/export/draw.js"),
    champion: Path = Path("champion"),
) -> None:
    """Write a network of the study, its operating points and its model card.

    Args:
        params: For the test whether an image is a digit.
        preprocess: For the names of the classes.
        evaluation: For the number of images that are predicted at a time, and of threads.
        files: Name and SHA-256 of each file of the data set.
        recipe: Its settings, by name.
        run: Which network, as RECIPE-SEED.
        answers: The folder with the networks of all runs.
        runs: The folder with their measures.
        summary: The mean measures of each recipe.
        train_images: That the network was trained with.
        train_labels: Of these.
        validation_images: That it was not trained with.
        test_images: Of the test set.
        test_labels: Of the same images.
        template: Of the model card.
        draw_template: Of the page to draw on.
        draw_code: The JavaScript in it.
        champion: The folder to write to.

    Raises:
        PipelineError: ONNX and Keras answer differently, or an input is damaged.
        OSError: A file cannot be read or written.
    """
    pin(evaluation.threads)
    test = load_examples(test_images, test_labels)
    training = load_examples(train_images, train_labels)
    validation = load_array(validation_images, np.float32)
    model = load_model(answers / run / "model.keras")
    facts = read_json(runs / f"{run}.json")
    points = facts["operating_points"]
    layers = layers_of(model)
    names = preprocess.class_names or [str(label) for label in range(len(layers[-1].bias))]
    images = as_squares(test.images, str(test_images))
    content = exported(
        model,
        training,
        validation,
        points,
        params,
        classes=names,
        recipe=recipe,
        run=run,
        test_accuracy=facts["test_accuracy"],
    )

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = images.reshape(len(images), -1)
        found: NDArray[np.float32] = model.predict(
            flat, batch_size=evaluation.batch_size, verbose=0
        )
        return found

    check_agreement(content, test.images, predict(test.images))
    classes_of_errors = parse_table((runs / f"{run}.csv").read_bytes())["actual"].to_numpy()
    recipe_name, _, seed = run.rpartition("-")
    card = model_card(
        template.read_text(encoding="utf-8"),
        recipe_name=recipe_name,
        seed=seed,
        network_file=NETWORK_FILE,
        points_file=POINTS_FILE,
        input=INPUT,
        side=images.shape[1],
        names=names,
        shape="-".join(
            str(len(array)) for array in (layers[0].kernel, *(one.bias for one in layers))
        ),
        recipe=", ".join(f"{key} {setting(value)}" for key, value in recipe.items()),
        run=facts,
        points=points,
        all_runs=read_json(summary)[recipe_name],
        trained=len(training.images),
        files=files,
        by_class=[
            {"name": name, "images": int(count), "right": int(count - wrong)}
            for name, count, wrong in zip(
                names,
                np.bincount(test.labels, minlength=len(names)),
                np.bincount(classes_of_errors, minlength=len(names)),
                strict=True,
            )
        ],
        perturbed=[
            row | {"unit": PERTURBATIONS[row["perturbation"]].unit}
            for row in accuracies(images, test.labels, predict).to_dict("records")
            if row["strength"]
        ],
    )
    with replacing(champion / NETWORK_FILE) as partial:
        partial.write_bytes(content)
    write_json(champion / POINTS_FILE, points)
    page = draw_page(
        network_in(content),
        draw_template.read_text(encoding="utf-8"),
        draw_code.read_text(encoding="utf-8"),
    )
    write_text(champion / "draw.html", page)
    write_text(champion / "README.md", card)


def main() -> None:
    """Parse the command line and export."""
    parser = stage_parser("export", "study")
    parser.add_argument("recipe", metavar="RECIPE", help="one of ../params.yaml")
    parser.add_argument("seed", metavar="SEED", type=int, help="of one of its runs")
    given = parser.parse_args()

    def load() -> tuple[Any, ...]:
        return (
            load_section("export", ExportParams, PIPELINE_PARAMS),
            load_section("preprocess", PreprocessParams, PIPELINE_PARAMS),
            load_section("evaluate", EvaluateParams, PIPELINE_PARAMS),
            list(read_section("download", PIPELINE_PARAMS).get("files", {}).values()),
            read_params("train", PIPELINE_PARAMS, recipe=given.recipe)["recipe"],
            f"{given.recipe}-{given.seed}",
        )

    run_checked("export", export, load)


if __name__ == "__main__":
    main()
