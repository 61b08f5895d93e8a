"""The command `read`, as people and scripts call it."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, ROOT
from PIL import Image

from pipeline.evaluation.rejection import choose_threshold
from pipeline.reading import Reader
from pipeline.reading.reader import CHAMPION
from pipeline.reading.thresholds import THRESHOLDS_FILE
from pipeline.tools.demo import digits
from pipeline.tools.read.calibration import least_pictures

IMAGES, LABELS = digits()


def read(*words: object, content: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "read", *map(str, words)],
        cwd=ROOT,
        input=content,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )


def save(path: Path, number: int, side: int = 84) -> str:
    """Save a digit of MNIST as a picture, black on white, and return what it is."""
    picture = Image.fromarray(255 - IMAGES[number]).resize((side, side), Image.Resampling.BICUBIC)
    picture.save(path)
    return str(LABELS[number])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with ten digits, 0.png to 9.png, and something that is no picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for digit in range(10):
        save(folder / f"{digit}.png", digit)
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_pictures_of_a_folder_are_read_in_the_order_of_their_names(pictures: Path) -> None:
    result = read("--one", pictures)
    lines = result.stdout.decode().splitlines()
    assert [line.split()[:2] for line in lines] == [
        [str(pictures / f"{digit}.png"), str(digit)] for digit in range(10)
    ]
    assert result.returncode == int(any("decided" not in line for line in lines))


def test_thresholds_of_mnist_are_told_with_what_they_were_worth(pictures: Path) -> None:
    told = read("--one", pictures / "0.png").stderr.decode()
    assert told.startswith("Read by the network champion-0. The thresholds were set on MNIST's")
    page = (ROOT / "docs/reading.md").read_text(encoding="utf-8")
    for told_there, in_docs in (
        ("0 of 333 decided digits", "| 0 of 333 (at most"),
        ("1 of 53 decided fields", "| 1 of 53 ("),
    ):
        assert told_there in " ".join(told.split())
        assert in_docs in page


def test_example_of_the_docs_is_read_as_they_say() -> None:
    page = (ROOT / "docs/reading.md").read_text(encoding="utf-8")
    command, shown, code = re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)[:3]
    words = command.splitlines()[0].partition("#")[0].split()
    assert words[:4] == ["python", "-m", "pipeline", "read"]
    result = read(*words[4:])
    assert (result.returncode, result.stdout.decode()) == (0, shown)
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, *rest = run.stdout.splitlines()
    assert first.split() == [*shown.split()[1:2], "decided"]
    assert [line.split()[0] for line in rest] == list(shown.split()[1])


def test_formats_tell_the_same(pictures: Path) -> None:
    table = list(
        csv.DictReader(io.StringIO(read("--one", "--format", "csv", pictures).stdout.decode()))
    )
    facts = json.loads(read("--one", "--format", "json", pictures).stdout)
    assert (facts["network"], facts["thresholds_set_on"]) == ("champion-0", "MNIST")
    for row, found in zip(table, facts["pictures"], strict=True):
        assert row["file"] == found["file"]
        assert row["digits"] == found["digits"] == Path(row["file"]).stem
        assert (row["verdict"], row["reason"]) == (found["verdict"], found["reason"])
        assert float(row["confidence"]) == found["confidence"]
        (each,) = found["each"]
        assert each["digit"] == found["digits"]
        assert all(0 <= side <= 1 for side in each["box"])


def test_bad_picture_ends_no_other(pictures: Path) -> None:
    (pictures / "0.png").write_bytes(b"")
    (pictures / "1.png").write_bytes((pictures / "2.png").read_bytes()[:200])
    shutil.copyfile(pictures / "3.png", pictures / "red\x1b[31m\n.png")
    result = read("--one", pictures, "missing.png")
    lines = result.stdout.decode().splitlines()
    assert result.returncode == 2
    assert len(lines) == 12
    assert "not read: an empty file" in lines[0]
    assert "not read: a damaged picture" in lines[1]
    assert "red\\x1b[31m .png" in lines[10]
    assert lines[11].split() == [
        "missing.png",
        "not",
        "read:",
        "No",
        "such",
        "file",
        "or",
        "directory",
    ]
    assert "Traceback" not in result.stderr.decode()
    facts = json.loads(read("--one", "--format", "json", pictures).stdout)["pictures"]
    assert facts[0] == {
        "file": str(pictures / "0.png"),
        "verdict": "not read",
        "reason": "an empty file",
    }


def test_picture_from_standard_input_is_read_like_a_file(pictures: Path) -> None:
    for digit in (3, 7):
        result = read("--one", "-", content=(pictures / f"{digit}.png").read_bytes())
        assert result.stdout.decode().split()[:2] == ["-", str(digit)]
    assert read("--one", "-", content=b"").returncode == 2


def test_exit_code_tells_whether_a_person_is_needed(pictures: Path, tmp_path: Path) -> None:
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    facts = json.loads(read("--one", "--format", "json", pictures).stdout)["pictures"]
    decided = [one["file"] for one in facts if one["verdict"] == "decided"]
    assert len(decided) >= 5
    assert read("--one", *decided).returncode == 0
    assert read("--one", *decided, tmp_path / "empty.png").returncode == 1
    assert read("--one", *decided, tmp_path / "none.png").returncode == 2


def test_folder_that_has_none_or_is_closed_ends_no_other(pictures: Path, tmp_path: Path) -> None:
    empty, closed = tmp_path / "empty", pictures / "closed"
    for folder in (empty, closed):
        folder.mkdir()
    save(closed / "a.png", 0)
    closed.chmod(0)
    try:
        result = read("--one", empty, pictures)
    finally:
        closed.chmod(0o755)
    assert result.returncode == 2
    lines = result.stdout.decode().splitlines()
    assert lines[0].split(maxsplit=1)[1].strip().startswith("not read: a folder without pictures (")
    assert len(lines) == 12
    if os.geteuid():  # nothing is closed to root
        (told,) = (line for line in lines if line.startswith(str(closed)))
        assert "not read: Permission denied" in told


def children(process: int) -> list[int]:
    """Return the processes that a process has started, but for the one that keeps track."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [
        int(child)
        for child in listed
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder with 400 pictures."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(400):
        save(folder / f"{number:03d}.png", number * 7, 100)
    return folder


@pytest.fixture
def at_work(many: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start to read many pictures, and yield the process when the first are read."""
    if not Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists():
        pytest.skip("no /proc here; it would have shown the processes that read")
    command = [sys.executable, "-m", "pipeline", "read", "--one", str(many)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, bufsize=0, stdout=pipe, stderr=pipe, start_new_session=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


SEVERAL = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core reads by one process")


@SEVERAL
def test_picture_after_picture_is_read_though_a_process_is_killed(
    at_work: "subprocess.Popen[bytes]",
) -> None:
    os.kill(children(at_work.pid)[0], signal.SIGKILL)
    output, _ = at_work.communicate(timeout=PATIENCE)
    lines = output.decode().splitlines()
    assert len(lines) == 399
    assert sum("not read" in line for line in lines) <= 1
    assert sorted(lines) == lines


@SEVERAL
def test_processes_end_with_the_one_that_started_them(at_work: "subprocess.Popen[bytes]") -> None:
    started = children(at_work.pid)
    assert started
    at_work.kill()
    at_work.communicate(timeout=PATIENCE)
    end = time.monotonic() + PATIENCE
    while any(Path(f"/proc/{child}").exists() for child in started):
        assert time.monotonic() < end
        time.sleep(0.05)


@SEVERAL
def test_interruption_ends_all_without_traceback(at_work: "subprocess.Popen[bytes]") -> None:
    started = children(at_work.pid)
    os.killpg(at_work.pid, signal.SIGINT)
    _, told = at_work.communicate(timeout=PATIENCE)
    assert at_work.returncode == 128 + signal.SIGINT
    assert b"Traceback" not in told
    assert not any(Path(f"/proc/{child}").exists() for child in started)


def test_many_pictures_are_read_by_several_processes_in_the_order_asked_for(tmp_path: Path) -> None:
    names = [tmp_path / f"{number}.png" for number in range(1190, -1, -10)]
    for path in names:
        save(path, int(path.stem), 28)
    names[7].write_bytes(b"none")
    table = list(
        csv.DictReader(io.StringIO(read("--one", "--format", "csv", *names).stdout.decode()))
    )
    assert [row["file"] for row in table] == list(map(str, names))
    assert [row["verdict"] == "not read" for row in table].count(True) == 1
    right = [row["digits"] == str(LABELS[int(Path(row["file"]).stem)]) for row in table]
    assert np.mean(right) > 0.95


def test_annotated_pictures_show_boxes_and_what_the_network_saw(
    pictures: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "made" / "annotated"
    assert (
        read("--one", "--annotate", folder, pictures / "3.png", pictures / "5.png").returncode < 2
    )
    assert sorted(path.name for path in folder.iterdir()) == ["0001-3.png", "0002-5.png"]
    shown = np.asarray(Image.open(folder / "0001-3.png").convert("RGB")).astype(int)
    original = np.asarray(Image.open(pictures / "3.png"))
    assert min(shown.shape[:2]) > max(original.shape)
    coloured = np.ptp(shown, axis=2) > 60
    assert coloured.sum() > 300  # a box and a verdict
    (digit,) = Reader().read(pictures / "3.png", one=True).digits
    seen = np.kron(np.round(digit.image * 255), np.ones((2, 2)))
    grey = shown.mean(axis=2)
    height, width = seen.shape
    places = [
        np.abs(grey[top : top + height, left : left + width] - seen).max() <= 1
        for top in range(40, 60)
        for left in range(300, 360)
    ]
    assert any(places)


def test_annotated_pictures_overwrite_nothing(pictures: Path) -> None:
    before = sorted(pictures.iterdir())
    result = read("--one", "--annotate", pictures, pictures)
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"expected an empty folder" in result.stderr
    assert sorted(pictures.iterdir()) == before


def test_odd_names_are_read_and_told(pictures: Path, tmp_path: Path) -> None:
    long = f"{'a' * 300}.png"
    result = read("--one", "--format", "csv", long, pictures / "3.png")
    rows = list(csv.DictReader(io.StringIO(result.stdout.decode())))
    assert [row["verdict"] == "not read" for row in rows] == [True, False]
    folder = tmp_path / "odd"
    folder.mkdir()
    try:
        shutil.copyfile(pictures / "3.png", os.fsencode(folder) + b"/\xff.png")
    except OSError:
        pytest.skip("names here are UTF-8; it would have shown that others are told too")
    shutil.copyfile(pictures / "3.png", folder / f"{'b' * 240}.png")
    (folder / "folder.png").mkdir()
    for form in ("text", "csv", "json"):
        result = read("--one", "--format", form, "--annotate", tmp_path / form, folder)
        assert result.returncode < 2, result.stderr
        assert b"ff.png" in result.stdout
        assert len(list((tmp_path / form).iterdir())) == 2


def test_model_that_is_a_pipe_is_not_waited_for(model: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("no FIFOs on this system; it would have shown that none is waited for")
    os.mkfifo(model / THRESHOLDS_FILE)
    result = read("--model", model, "x.png")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"not a file" in result.stderr


def test_damaged_thresholds_are_written_anew(model: Path, tmp_path: Path) -> None:
    (model / THRESHOLDS_FILE).write_text("{")
    assert b"damaged; --calibrate writes it anew" in read("--model", model, "x.png").stderr
    table = table_of(tmp_path, 60)
    told = read("--one", "--model", model, "--calibrate", table, "--target", "0.1")
    assert told.returncode == 0, told.stderr
    assert Reader(model).thresholds.on_pictures.keys() == {"one"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected pictures to read, or --calibrate"),
        (["--one", "--digits", "2", "x"], "--digits is how many a field has"),
        (["--one", "--field", "x"], "not allowed with argument"),
        (["--digits", "0", "x"], "expected a number from 1 to 1000, found '0'"),
        (["--target", "1", "x"], "expected a share from 0.0001 to 0.1, found '1'"),
        (["--calibrate", "x", "y"], "--calibrate takes its pictures from the table"),
        (["-", "-"], "standard input can be read once"),
        (["--calibrate", "x", "--digits", "3"], "--calibrate goes with"),
        (["--annotate", "x", "-"], "--annotate needs files"),
        (["--model", "docs", "x"], "no network in docs: expected a folder with a model.onnx"),
    ],
)
def test_wrong_call_is_a_message(words: list[str], message: str) -> None:
    result = read(*words)
    assert (result.returncode, result.stdout) == (2, b"")
    told = result.stderr.decode()
    assert message in told
    assert "Traceback" not in told


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a folder with the champion, that may be changed."""
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copyfile(CHAMPION / "model.onnx", folder / "model.onnx")
    return folder


def table_of(folder: Path, count: int, wrong: int = 0) -> Path:
    """Save digits, and a table of what they are, the first ones of it wrong."""
    rows = []
    for number in range(count):
        label = save(folder / f"{number}.png", number, 28)
        rows.append([f"{number}.png", str((int(label) + 1) % 10) if number < wrong else label])
    path = folder / "known.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["file", "digits"], *rows])
    return path


def test_thresholds_set_on_known_pictures_are_used_from_then_on(
    model: Path, tmp_path: Path
) -> None:
    table = table_of(tmp_path, 120)
    calibrate = ("--one", "--model", model, "--calibrate", table, "--target", "0.1")
    result = read(*calibrate)
    assert result.returncode == 0, result.stderr
    told = result.stdout.decode()
    reader = Reader(model)
    found = [reader.read(tmp_path / f"{number}.png", one=True) for number in range(120)]
    confidence = np.array([one.confidence for one in found if one.is_decidable])
    correct = np.array([one.text == str(LABELS[number]) for number, one in enumerate(found)])
    decidable = np.array([one.is_decidable for one in found])
    assert 0 < decidable.sum() < 120
    expected = choose_threshold(confidence, correct[decidable], 0.1, 0.9)
    assert reader.thresholds.of(0.1, "one") == expected
    assert f"{correct.mean():.1%} of 120 pictures were read right." in told
    assert f"At most 10% wrong: from a confidence of {expected:.9g} on." in told
    again = read("--one", "--model", model, tmp_path / "0.png")
    assert again.stderr.decode() == (
        "Read by the network champion-0. The thresholds were set on pictures of yours.\n"
    )
    assert read("--one", "--model", model, "--target", "0.01", tmp_path / "0.png").returncode == 2
    # A field has thresholds of its own.
    assert "MNIST" in read("--model", model, tmp_path / "0.png").stderr.decode()


def test_too_few_pictures_are_told_with_how_many_it_takes(model: Path, tmp_path: Path) -> None:
    table = table_of(tmp_path, 10)
    result = read("--one", "--model", model, "--calibrate", table, "--target", "0.05")
    assert result.returncode == 1
    least = least_pictures(0.05)
    told = result.stdout.decode()
    assert re.search(r"it takes about \d+ more such pictures \(\d+ in all\)", told)
    assert int(re.findall(r"\((\d+) in all", told)[0]) >= least
    assert "Nothing is written" in told
    assert not (model / THRESHOLDS_FILE).exists()


def test_pictures_that_contradict_the_thresholds_take_them_away(
    model: Path, tmp_path: Path
) -> None:
    calibrate = ("--one", "--model", model, "--target", "0.1", "--calibrate")
    assert read(*calibrate, table_of(tmp_path, 120)).returncode == 0
    assert Reader(model).thresholds.of(None, "one") is not None
    table = tmp_path / "wrong.csv"
    rows = ["file,digits", *(f"{number}.png,{(LABELS[number] + 1) % 10}" for number in range(120))]
    table.write_text("\n".join(rows))
    assert read(*calibrate, table).returncode == 1
    assert Reader(model).thresholds.of(None, "one") is None


def test_least_pictures_are_the_least() -> None:
    for target in (0.02, 0.1):
        least = least_pictures(target)
        sure, right = np.linspace(0.5, 1, least), np.ones(least, bool)
        assert choose_threshold(sure, right, target, 0.9) is not None
        assert choose_threshold(sure[1:], right[1:], target, 0.9) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected rows, found none"),
        ("name,digits\na,1\n", "expected the columns file and digits"),
        ("file,digits\nmissing.png,1\n", "missing.png: No such file or directory (1 such"),
        ("file,digits\na.png,\n", "line 2: expected a digit, found"),
        ("file,digits\na.png,1\nb.png,12\n", "line 3: expected a digit, found '12'"),
        ("file,digits\na.png,1\na.png,1\n", "a.png is the same picture as a.png"),
    ],
)
def test_table_that_cannot_be_used_is_a_message(
    content: str, message: str, model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "known.csv"
    path.write_text(content)
    result = read("--one", "--model", model, "--calibrate", path)
    assert result.returncode == 2
    assert message in result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()
    assert not (model / THRESHOLDS_FILE).exists()
