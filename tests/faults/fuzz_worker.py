"""Reads HDF5 files for the fuzzer as a process of pipeline.hdf5_arrays does, but starts faster.

It has imported all that is needed, and forks for each file: ten times as many in the same time.
"""

import io
import os
import struct
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from pipeline.model.hdf5_reader import answer

# Exit status, seconds of a processor, KiB of memory at the peak, bytes that were written.
REPLY = struct.Struct("<idQQ")
SIZE = struct.Struct("<Q")


def main() -> None:
    while size := sys.stdin.buffer.read(SIZE.size):
        question = sys.stdin.buffer.read(*SIZE.unpack(size))
        sys.stdout.buffer.write(asked(question))
        sys.stdout.buffer.flush()


def asked(question: bytes) -> bytes:
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        sys.stdin = io.TextIOWrapper(io.BytesIO(question))
        sys.stdout = os.fdopen(writer, "w")
        status = 1
        try:
            answer()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        output = file.read()
    _, status, used = os.wait4(process, 0)
    seconds = used.ru_utime + used.ru_stime
    return (
        REPLY.pack(os.waitstatus_to_exitcode(status), seconds, used.ru_maxrss, len(output)) + output
    )


if __name__ == "__main__":
    main()
