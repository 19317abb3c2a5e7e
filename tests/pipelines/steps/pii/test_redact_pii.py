from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import spacy

from pipelines.errors import StepError
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


@pytest.fixture
def name_model(tmp_path: Path) -> str:
    """A pipeline of spaCy's whose entities are told by rules, so that what it finds is known."""
    pipeline = spacy.blank("en")
    rule = [{"TEXT": {"IN": ["Ann", "Bob"]}}, {"IS_TITLE": True, "OP": "?"}]
    pipeline.add_pipe("entity_ruler").add_patterns(  # type: ignore[attr-defined]
        [{"label": "PERSON", "pattern": rule}, {"label": "ORG", "pattern": "Acme"}]
    )
    pipeline.to_disk(tmp_path / "names")
    return str(tmp_path / "names")


def test_names_are_found_by_a_model(name_model: str) -> None:
    step = RedactPii(name_model=name_model)
    outcome = redact(step, "Ann Lee (ann@example.org) works for Acme with Bob.", "Nobody here.", "")
    assert outcome.kept.column("text").to_pylist() == [
        "<NAME> (<EMAIL>) works for Acme with <NAME>.",
        "Nobody here.",
        "",
    ]
    assert outcome.counts == {"name": 2, "email": 1}


def test_names_are_found_in_texts_longer_than_a_model_takes(name_model: str) -> None:
    long = "word " * 250_000
    assert redacted(RedactPii(name_model=name_model), f"{long}Ann Lee {long}Bob") == [f"{long}<NAME> {long}<NAME>"]


def test_a_model_that_is_not_there_is_an_error_that_tells_how_to_get_it() -> None:
    with pytest.raises(StepError, match="python -m spacy download en_core_web_none"):
        redact(RedactPii(name_model="en_core_web_none"), "Ann Lee")
