from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.steps.redact_pii import RedactPii
from pipelines.steps.step import Outcome
from tests.pipelines.steps.pii.samples import POSITIVES
from tests.pipelines.steps.pii.score import score

KINDS = sorted(POSITIVES)


def redact(step: RedactPii, *texts: str) -> Outcome:
    ids = pa.array([str(row) for row in range(len(texts))], pa.string())
    return step.apply(pa.record_batch({"row_id": ids, "text": pa.array(texts, pa.string())}))


def redacted(step: RedactPii, *texts: str) -> list[str]:
    found: list[str] = redact(step, *texts).kept.column("text").to_pylist()
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_and_what_is_not(kind: str) -> None:
    """Recall and precision per kind, with at least three near misses for each that is to be found."""
    found = score(kind)
    assert found.plain >= 3 * found.hidden
    assert found.recall >= 0.98, found.missed
    assert found.precision >= 0.95, found.alarms


def test_kinds_are_counted() -> None:
    outcome = redact(RedactPii(), "a@b.org and c@d.org from 8.8.8.8", "nothing here", "a@b.org")
    assert outcome.counts == {"email": 3, "ip": 1}
    assert outcome.kept.column("text").to_pylist() == ["<EMAIL> and <EMAIL> from <IP>", "nothing here", "<EMAIL>"]


def test_a_hash_tells_the_same_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    step = RedactPii(replace_with="hash")
    first, again, other = redacted(step, "a@b.org", "a@b.org", "c@d.org")
    assert first == again != other
    assert first.startswith("<EMAIL:")
    monkeypatch.setenv("SALT", "pepper")
    assert redacted(RedactPii(replace_with="hash", salt="${env:SALT}"), "a@b.org") != [first]


def test_rejecting_tells_the_kinds_and_not_the_data() -> None:
    outcome = redact(RedactPii(replace_with="reject"), "a@b.org, 8.8.8.8", "nothing here")
    assert outcome.rejected.to_pylist() == [{"row_id": "0", "rule": "personal_data", "value": "email, ip"}]
    assert outcome.kept.column("text").to_pylist() == ["nothing here"]


def test_only_the_kinds_asked_for_are_looked_for() -> None:
    assert redacted(RedactPii(kinds=("ip",), replace_with="none"), "a@b.org 8.8.8.8") == ["a@b.org "]


def test_private_addresses_are_found_where_they_are_asked_for() -> None:
    assert redacted(RedactPii(private_addresses=True), "at 192.168.1.10") == ["at <IP>"]


def test_numbers_of_other_countries_need_their_region() -> None:
    assert redacted(RedactPii(), "030 901820") == ["030 901820"]
    assert redacted(RedactPii(phone_regions=("DE",)), "030 901820") == ["<PHONE>"]
