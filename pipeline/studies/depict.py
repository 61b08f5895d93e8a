"""Draw the images whose labels are most doubtful, in studies/label_doubts.png."""

import argparse
from pathlib import Path

from pipeline.command import clear_ending, dependencies_unchanged
from pipeline.examples import as_squares, load_examples
from pipeline.figures import save_figure
from pipeline.label_doubts import COLUMNS, LABEL_DOUBTS_FILE
from pipeline.raw_examples import read_raw
from pipeline.results import read_table
from pipeline.stage import PipelineError
from pipeline.study_figures import label_doubts_figure

STUDIES_FILE = Path("studies/dvc.yaml")
DRAWN = 24  # of each part
DPI = 150


def depict(
    *,
    raw_images: Path = Path("data/raw/train-images-idx3-ubyte.gz"),
    raw_labels: Path = Path("data/raw/train-labels-idx1-ubyte.gz"),
    test_images: Path = Path("data/processed/test_images.npy"),
    test_labels: Path = Path("data/processed/test_labels.npy"),
    table: Path = Path(LABEL_DOUBTS_FILE),
    picture: Path = Path("studies/label_doubts.png"),
) -> None:
    """Write the picture, of training and test images.

    Raises:
        PipelineError: The table is damaged, or lists an image that does not exist.
    """
    doubts = read_table(table, ["part", *COLUMNS])
    test = load_examples(test_images, test_labels)
    parts = {"train": read_raw(raw_images, raw_labels), "test": test}
    images = {part: as_squares(examples.images, part) for part, examples in parts.items()}
    listed = {part: doubts[doubts["part"] == part].head(DRAWN) for part in parts}
    for part, rows in listed.items():
        if not rows["image"].between(0, len(images[part]) - 1).all():
            raise PipelineError(f"{table}: lists images that the {part} images have not got")
    save_figure(label_doubts_figure(images, listed, DRAWN), picture, DPI)


def main() -> None:
    """Parse the command line, which knows only ``--help``, and draw."""
    argparse.ArgumentParser(
        prog="python -m pipeline.studies.depict",
        description=__doc__,
        epilog="Run it in the project's root folder, or let `dvc repro studies/dvc.yaml:depict` "
        "decide whether it has to run.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    # It has no parameters that could change meanwhile.
    with clear_ending("depict"), dependencies_unchanged("depict", tuple, STUDIES_FILE):
        depict()


if __name__ == "__main__":
    main()
