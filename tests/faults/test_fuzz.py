"""Bytes of others: damaged IDX files and answers of mirrors end in documented errors only."""

import gzip
import hashlib
import socketserver
import struct
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from states import FULL

from pipeline.data.idx import CHUNK, LARGEST_SIDE, IdxError, open_idx
from pipeline.data.mirrors import fetch
from pipeline.runtime.errors import PipelineError

pytestmark = pytest.mark.slow
# The same examples every time, but for the campaign.
FEW = settings(max_examples=20_000 if FULL else 500, deadline=None, derandomize=not FULL)
# Of a chunk, or an item that is larger than one, gzip has a few copies.
MOST_MEMORY = 8 * max(CHUNK, LARGEST_SIDE**2)  # bytes
NUMBERS = st.sampled_from([0, 1, 2, 3, 255, 1024, 1025, 2**20, 2**31 - 1, 2**31, 2**32 - 1])


def idx(sizes: list[int], content: bytes) -> bytes:
    return struct.pack(f">BBBB{len(sizes)}I", 0, 0, 8, len(sizes), *sizes) + content


WHOLE = gzip.compress(idx([2, 3, 4], bytes(24)), mtime=0)
SPLICES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8), st.binary(max_size=8)))


def spliced(content: bytes, splices: list[tuple[int, int, bytes]]) -> bytes:
    """Return bytes with pieces of them replaced: place, how many, and by what."""
    for place, length, new in splices:
        content = content[:place] + new + content[place + length :]
    return content


PLAIN = st.one_of(
    st.binary(max_size=100),
    st.builds(idx, st.lists(NUMBERS, min_size=1, max_size=4), st.binary(max_size=2000)),
    st.builds(spliced, st.just(idx([2, 3, 4], bytes(24))), SPLICES),
)
FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(spliced, st.just(WHOLE), SPLICES),
    st.builds(gzip.compress, PLAIN, st.sampled_from([0, 9])),
    st.builds(lambda *parts: b"".join(map(gzip.compress, parts)), PLAIN, PLAIN),
)


def peak_of_reading(path: Path, content: bytes, kind: str) -> int:
    """Return the bytes of memory that it takes to read a file, or to refuse it."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with open_idx(path, kind) as file:
            for chunk in file.chunks():
                assert chunk.shape[1:] == file.shape[1:]
    except IdxError as error:
        assert_readable(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return peak


def assert_readable(error: Exception) -> None:
    """Refuse a message that nobody could read in a terminal, or that would change it."""
    assert all(line.isprintable() for line in str(error).split("\n"))


@FEW
@given(FILES, st.sampled_from(["labels", "images"]))
def test_any_file_is_read_or_refused_in_bounded_memory(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "input.gz"
    assert peak_of_reading(path, content, kind) < MOST_MEMORY


@pytest.mark.parametrize("sizes", [[64, 1024, 1024], [2**16, 1, 1024], [2**26]])
def test_large_files_are_read_in_bounded_memory(tmp_path: Path, sizes: list[int]) -> None:
    content = gzip.compress(idx(sizes, bytes(1 << 26)), 1)
    assert (
        peak_of_reading(tmp_path / "input.gz", content, "images" if len(sizes) == 3 else "labels")
        < MOST_MEMORY
    )


@contextmanager
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """Yield the address of a server, and the list whose last entry it answers every request by."""
    answers: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answers[-1])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", answers
        server.shutdown()


HEADERS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                *(b"Content-Length: 24", b"Content-Length: -1", b"Content-Length: x"),
                *(b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Location: /x"),
            ]
        ),
        st.binary(max_size=30),
    ),
    max_size=4,
)
ANSWERS = st.one_of(
    st.binary(max_size=100),
    st.builds(
        lambda status, headers, body: b"\r\n".join([status, *headers, b"", body]),
        st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 302 Found", b"HTTP/1.1 500 \x1b[2J", b"x"]),
        HEADERS,
        st.one_of(st.binary(max_size=60), st.just(b"5\r\nabcde\r\n0\r\n\r\n"), st.just(b"-1\r\n")),
    ),
)


@pytest.mark.filterwarnings("ignore")  # urllib3 warns of headers that it cannot read
def test_any_answer_of_a_mirror_is_a_documented_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = hashlib.sha256(b"nobody sends this").hexdigest()

    with answering() as (address, answers):

        @FEW
        @given(ANSWERS)
        def refused(answer: bytes) -> None:
            answers.append(answer)
            with pytest.raises(PipelineError) as raised:
                fetch("file.gz", expected, [address], 30)
            assert_readable(raised.value)

        refused()
    assert not list(tmp_path.rglob("*.gz"))
