"""The contracts on Spark and on Ray Data find connectors that are sound in one process alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors import Sink
from pipelines.testing import Engine, SinkContract, SourceContract
from tests.connectors.broken import ReadsWhatItHasPlanned, Shelf, Tray, WritesWhatItHasBegun


class TestShelf(SourceContract):
    row_count = 4

    @pytest.fixture
    def source(self, tmp_path: Path) -> Shelf:
        return filled(tmp_path, Shelf)


class TestTray(SinkContract):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Tray:
        return Tray(directory=str(tmp_path))

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, Tray)
        return sink.read_all()


class TestASourceThatIsSoundInOneProcess(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Shelf:
        return filled(tmp_path, ReadsWhatItHasPlanned)

    @pytest.mark.xfail(raises=AssertionError, strict=True)
    def test_an_engine_reads_what_this_process_does(self, source: Shelf, engine: Engine) -> None:
        super().test_an_engine_reads_what_this_process_does(source, engine)


class TestASinkThatIsSoundInOneProcess(TestTray):
    @pytest.fixture
    def sink(self, tmp_path: Path) -> Tray:
        return WritesWhatItHasBegun(directory=str(tmp_path))

    @pytest.mark.xfail(raises=AssertionError, strict=True)
    def test_an_engine_writes_what_this_process_does(self, sink: Sink, engine: Engine) -> None:
        super().test_an_engine_writes_what_this_process_does(sink, engine)


def filled(directory: Path, kind: type[Shelf]) -> Shelf:
    (directory / "a.txt").write_text("eins\n# zwei\ndrei\n", encoding="utf-8")
    (directory / "b.txt").write_text("vier\n", encoding="utf-8")
    return kind(directory=str(directory))
