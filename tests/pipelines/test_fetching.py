"""What a Spark task makes of a sender's answers, whatever becomes of the sender."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.errors import HandoffError
from pipelines.fetching import Answer, FetchFromRay, Request
from pipelines.landing import Address

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])
NUMBERS = pa.record_batch({"id": [7]})


def stream_of(*counts: int) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        for count in counts:
            writer.write_batch(pa.record_batch([pa.array(range(count), pa.int64())], schema=SCHEMA))
    return sink.getvalue().to_pybytes()


@contextmanager
def sender(path: Path, said: bytes) -> Iterator[list[Request]]:
    """Answer one request with `said`, and go away."""
    asked: list[Request] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                asked.append(Request.from_json(stream.readline()))
                stream.write(said)

        thread = threading.Thread(target=answer)
        thread.start()
        yield asked
        thread.join()


def fetched(path: Path, said: bytes) -> list[int]:
    with sender(path / "socket", said) as asked:
        batches = list(FetchFromRay((Address(str(path / "socket"), 1),), SCHEMA)([NUMBERS]))
    assert asked == [Request(7, SCHEMA)]
    return [number for batch in batches for number in batch.column(0).to_pylist()]


@pytest.mark.parametrize(("counts", "rows"), [((), []), ((0,), []), ((2, 1), [0, 1, 0])])
def test_the_rows_of_a_block_arrive(tmp_path: Path, counts: tuple[int, ...], rows: list[int]) -> None:
    assert fetched(tmp_path, Answer(rows=sum(counts)).to_json() + stream_of(*counts)) == rows


def test_an_error_on_the_other_side_is_raised_with_its_cause(tmp_path: Path) -> None:
    error = "column 'a' holds „泉“\nand more"
    with pytest.raises(HandoffError) as raised:
        fetched(tmp_path, Answer(error=error).to_json())
    assert str(raised.value) == f"block 7 of the Dataset cannot be given to Spark: {error}"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "its sender was lost"),
        (Answer(rows=3).to_json()[:-3], "cannot be fetched"),
        (Answer(rows=3).to_json(), "cannot be fetched"),
        (Answer(rows=3).to_json() + stream_of(), "broke off at row 0 of 3: its sender was lost"),
        (Answer(rows=3).to_json() + stream_of(2), "broke off at row 2 of 3: its sender was lost"),
        (Answer(rows=3).to_json() + stream_of(2, 1)[:-40], "cannot be fetched"),
    ],
)
def test_a_sender_that_goes_away_is_an_error_and_not_fewer_rows(tmp_path: Path, said: bytes, error: str) -> None:
    with pytest.raises(HandoffError, match=error):
        fetched(tmp_path, said)
