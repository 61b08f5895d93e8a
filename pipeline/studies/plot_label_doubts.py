"""Draw the images whose labels are most doubtful, in label_doubts.png."""

from pathlib import Path

from pipeline.data.raw_examples import PreprocessParams, read_raw
from pipeline.evaluation.results import read_table
from pipeline.report.figures import save_figure
from pipeline.runtime.command import run_study
from pipeline.runtime.errors import PipelineError
from pipeline.runtime.examples import as_squares, load_examples
from pipeline.runtime.params import PIPELINE_PARAMS, load_section
from pipeline.studies.results.figures import label_doubts_figure
from pipeline.studies.results.label_doubts import COLUMNS, LABEL_DOUBTS_FILE

DRAWN = 24  # of each part
DPI = 150


def plot_label_doubts(
    preprocessing: PreprocessParams,
    *,
    raw_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    table: Path = Path(LABEL_DOUBTS_FILE),
    picture: Path = Path("label_doubts.png"),
) -> None:
    """Write a picture of the first images in the table, of training and test images.

    Raises:
        PipelineError: A file is damaged, or the table lists an image that does not exist.
        OSError: A file cannot be read or written.
    """
    doubts = read_table(table, ["part", *COLUMNS])
    test = load_examples(test_images, test_labels)
    parts = {"train": read_raw(raw_images, raw_labels, preprocessing), "test": test}
    images = {part: as_squares(examples.images, part) for part, examples in parts.items()}
    listed = {part: doubts[doubts["part"] == part].head(DRAWN) for part in parts}
    for part, rows in listed.items():
        if not rows["image"].between(0, len(images[part]) - 1).all():
            raise PipelineError(f"{table}: lists images beyond the last {part} image")
    save_figure(label_doubts_figure(images, listed, DRAWN), picture, DPI)


if __name__ == "__main__":
    run_study(
        plot_label_doubts,
        lambda: (load_section("preprocess", PreprocessParams, PIPELINE_PARAMS),),
    )
