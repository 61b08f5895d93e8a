from pathlib import Path

from conftest import copy_project
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tools.review.run_log import parse_run_log

LINES = {
    "ran": "Running stage '{}':",
    "from the run cache": "Stage '{}' is cached - skipping run, checking out outputs",
    "unchanged": "Stage '{}' didn't change, skipping",
    "failed": "ERROR: failed to reproduce '{}': failed to run: false, exited with 1",
}
names = st.text("abcxyz_-@0", min_size=1, max_size=8)
noise = st.lists(
    st.sampled_from(
        [
            "",
            "> python -m pipeline.stages.train",
            "Epoch 1 of 3: loss 0.5, accuracy 0.8, val_accuracy 0.9",
            "Updating lock file 'dvc.lock'",
            "Generating lock file 'dvc.lock'",
            "ERROR: failed to push data to the cloud",
            "Stage 'train' is frozen",
            "I am not Running stage 'train':",
            "Running stage 'train': well",
            "Data and pipelines are up to date.",
        ]
    ),
    max_size=4,
)


@given(st.dictionaries(names, st.tuples(st.sampled_from(sorted(LINES)), noise)), noise)
def test_every_stage_has_its_outcome_whatever_is_printed_between(
    stages: dict[str, tuple[str, list[str]]], end: list[str]
) -> None:
    lines = [
        line
        for name, (outcome, before) in stages.items()
        for line in (*before, LINES[outcome].format(name))
    ]
    found = parse_run_log("\n".join([*lines, *end]))
    assert found == {name: outcome for name, (outcome, _) in stages.items()}
    assert list(found) == list(stages)
    # As a log that Windows has written.
    assert parse_run_log("\r\n".join([*lines, *end])) == found


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    assert set(parse_run_log(text).values()) <= set(LINES)


def test_log_is_what_dvc_prints(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project", tmp_path / "home")
    (project.folder / "params.yaml").write_text("size_of: 1\ncount: 1\n")
    # What the commands print ends without a new line.
    (project.folder / "dvc.yaml").write_text("""\
stages:
  prepare:
    cmd: printf working && grep size_of params.yaml > data.txt
    params: [size_of]
    outs: [data.txt]
  aside:
    cmd: printf working && grep count params.yaml > aside.txt
    params: [count]
    outs: [aside.txt: {cache: false}]
  train:
    cmd: grep -v 3 data.txt > report.txt && printf working
    deps: [data.txt]
    outs: [report.txt: {cache: false}]
""")

    def repro(size: int, status: int = 0) -> dict[str, str]:
        (project.folder / "params.yaml").write_text(f"size_of: {size}\ncount: 1\n")
        return parse_run_log(project.run("sh", "-c", "dvc repro 2>&1", status=status))

    assert repro(1) == {"prepare": "ran", "aside": "ran", "train": "ran"}
    assert repro(1) == {"prepare": "unchanged", "aside": "unchanged", "train": "unchanged"}
    assert repro(2) == {"prepare": "ran", "aside": "unchanged", "train": "ran"}
    # Outputs that only Git keeps are not in the run cache.
    assert repro(1) == {"prepare": "from the run cache", "aside": "unchanged", "train": "ran"}
    # What follows a stage that failed is not in the log.
    assert repro(3, status=255) == {"prepare": "ran", "aside": "unchanged", "train": "failed"}
