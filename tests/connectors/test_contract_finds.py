"""Each broken connector fails its own check of the contract, and no other: the contract says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from connectors import Sink
from connectors import testing as contract
from connectors.checking import check, check_names
from tests.connectors import broken

SOURCES: dict[type[broken.Shelf], str] = {
    broken.HoldsALock: "test_pickles_and_stays_equal",
    broken.ShowsItsPassword: "test_shows_no_secret",
    broken.NamesPartitionsAnew: "test_plans_the_same_disjoint_partitions_each_time",
    broken.SaysAnotherType: "test_every_batch_has_the_schema_it_says",
    broken.LetsNullsThrough: "test_every_row_has_a_text",
    broken.NumbersEachFileFromOne: "test_every_row_has_an_id_of_its_own",
    broken.DropsBadRows: "test_finds_every_row_once",
    broken.ReadsInAnotherOrderEachTime: "test_reading_again_gives_the_same_rows_good_and_bad",
    broken.CountsOnFromPartitionToPartition: "test_a_partition_read_alone_gives_the_rows_it_gives_among_others",
    broken.IgnoresTheCursor: "test_reads_on_from_its_cursor_or_says_that_it_cannot",
    broken.PushesAPredicateTooFar: "test_a_predicate_loses_no_row_that_it_wants",
    broken.LeavesTheTextOut: "test_columns_that_are_wanted_are_as_they_are_among_others",
    broken.GivesNoReason: "test_bad_rows_say_what_is_wrong_and_where_or_fail",
}
SINKS: dict[type[broken.Tray], str] = {
    broken.TrayWithALock: "test_pickles_and_stays_equal",
    broken.TrayThatShowsItsPassword: "test_shows_no_secret",
    broken.SpoilsText: "test_publishes_what_was_written",
    broken.ShowsTooEarly: "test_shows_nothing_before_the_commit",
    broken.KeepsHalfAWrite: "test_a_failed_write_leaves_nothing_to_see",
    broken.PublishesEveryAttempt: "test_publishes_one_attempt_of_several",
    broken.CommitsTwice: "test_committing_again_changes_nothing",
    broken.RefusesBeforehandWhatItWouldTake: "test_a_check_changes_nothing_and_refuses_no_more_than_begin",
    broken.ForgetsItsCommits: "test_knows_which_commits_have_happened",
    broken.AbortClearsNothing: "test_abort_clears_what_was_staged_and_may_be_repeated",
    broken.AbortUndoesACommit: "test_abort_does_not_undo_a_commit",
    broken.BeginsWhereItStopped: "test_starts_afresh_after_a_try_that_was_cut_short",
}


class _ShelfContract(contract.SourceContract):
    secret_values = (broken.PASSWORD,)
    row_count = 7


class _TrayContract(contract.SinkContract):
    secret_values = (broken.PASSWORD,)

    def read_back(self, sink: Sink) -> list[dict[str, object]]:
        assert isinstance(sink, broken.Tray)
        return sink.read_all()


@pytest.mark.parametrize("kind", [broken.Shelf, *SOURCES], ids=lambda kind: kind.__name__)
def test_a_source_fails_its_own_check_alone(kind: type[broken.Shelf], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("eins\n# zwei\ndrei\n\n", encoding="utf-8")
    (tmp_path / "b.txt").write_text("eins\nvier\n泉\n", encoding="utf-8")
    failed = _failed(_ShelfContract(), lambda: {"source": kind(directory=str(tmp_path))})
    assert failed == ([SOURCES[kind]] if kind in SOURCES else [])


@pytest.mark.parametrize("kind", [broken.Tray, *SINKS], ids=lambda kind: kind.__name__)
def test_a_sink_fails_its_own_check_alone(kind: type[broken.Tray], tmp_path: Path) -> None:
    fresh = iter(range(1000))

    def fixtures() -> dict[str, object]:
        return {"sink": kind(directory=str(tmp_path / str(next(fresh))))}

    failed = _failed(_TrayContract(), fixtures)
    assert failed == ([SINKS[kind]] if kind in SINKS else [])


def test_every_check_of_the_contracts_has_a_connector_that_it_finds() -> None:
    assert set(check_names(contract.SourceContract)) == set(SOURCES.values())
    assert set(check_names(contract.SinkContract)) == set(SINKS.values())


def _failed(suite: object, fixtures: Callable[[], dict[str, object]]) -> list[str]:
    checked = list(check(suite, fixtures))
    assert not any(one.skipped for one in checked)
    return [one.name for one in checked if one.error]
