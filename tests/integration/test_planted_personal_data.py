"""Personal data that is planted in texts, and everywhere that a run leaves something: it is found nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import ray

from connectors import JsonLines, JsonLinesSink
from pipelines import Pipeline, Session
from pipelines.errors import StepError
from pipelines.steps import ArrowFunction, Deduplicate, DeduplicateNear, FlaggedWords, Length, PythonRow, RedactPii
from tests.pipelines.steps.pii.samples import POSITIVES
from tests.planted_secret import told

pytestmark = [pytest.mark.spark, pytest.mark.ray]

DATA = sorted({data for of_kind in POSITIVES.values() for data in of_kind if len(data) >= 11})
"""All samples that nothing else holds by chance."""


def raises_with_the_text(row: dict[str, Any]) -> dict[str, Any]:
    if "reached" in row["text"]:
        raise ValueError(f"cannot do this: {row['text']}")
    return row


def fails_with_the_texts(batch: Any) -> Any:
    raise ValueError(f"cannot do these: {batch.column('text').to_pylist()}")


def test_planted_personal_data_is_found_nowhere(
    session: Session, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    texts = [
        text.format(data)
        for data in DATA
        for text in (
            "You can be reached at {}, it says in the letter that came with the rest of the mail.",
            "Write to {} and not to the old place, where nobody has been for many years; thanks.",
            "{}",
        )
    ]
    rows = [*texts, *texts, "Nothing is in this one."]
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in rows]
    cut_off = [json.dumps({"text": text}, ensure_ascii=False).removesuffix("}") for text in texts]
    corpus.write_text("".join(f"{line}\n" for line in [*lines, *cut_off]))
    behind = [
        FlaggedWords(words=("thanks",)),
        PythonRow(function=raises_with_the_text),
        Length(min=3),
        Deduplicate(),
        DeduplicateNear(),
    ]
    runs = tmp_path / "runs"
    ways = ("hash", "reject")

    results = {}
    for way in ways:
        steps = [RedactPii(replace_with=way), *behind]
        sink = JsonLinesSink(path=str(tmp_path / "out" / way))
        source = JsonLines(path=str(corpus))
        results[way] = Pipeline(name=way, source=source, steps=steps, sink=sink).run(session, runs=runs)
    early = Pipeline(
        name="early",
        source=JsonLines(path=str(corpus)),
        steps=[
            FlaggedWords(words=("thanks",)),
            PythonRow(function=raises_with_the_text),
            Deduplicate(),
            Length(min=40),
            RedactPii(),
        ],
        sink=JsonLinesSink(path=str(tmp_path / "out" / "early")),
    ).run(session, runs=runs)
    failing = Pipeline(
        name="failing",
        source=JsonLines(path=str(corpus)),
        steps=[RedactPii(), ArrowFunction(function=fails_with_the_texts)],
        sink=JsonLinesSink(path=str(tmp_path / "out" / "failing")),
    )
    with pytest.raises(StepError) as caught:
        failing.run(session, runs=runs)

    printed = capfd.readouterr()
    places = {
        "out": read_all(tmp_path / "out"),
        "runs": read_all(runs),
        "ray": read_all(Path(ray._private.worker._global_node.get_session_dir_path(), "logs")),
        "log": session.log.read_text(encoding="utf-8", errors="replace"),
        "printed": printed.out + printed.err,
        "error": told(caught.value),
    }
    assert {(place, data) for place, text in places.items() for data in DATA if data in text} == set()
    # These are the places that were meant to be looked in.
    assert "cannot do this" in places["runs"]
    assert "cannot do these" in places["error"]
    assert "flagged_words" in places["runs"]
    assert "<EMAIL>" in places["runs"], "samples of where it was, without it"
    assert "<EMAIL:" in places["out"]
    found = {way: results[way].accounts[1] for way in ways}
    assert found["reject"].rejected == {"personal_data": len(texts) * 2}
    assert sum(found["hash"].counts.values()) == len(texts) * 2
    # What is rejected before it is redacted is shown redacted.
    shown = [one.text for account in early.accounts for some in account.examples.values() for one in some]
    assert any(f"<{kind.upper()}>" in text for text in shown for kind in POSITIVES)
    rules = {"malformed_json", "flagged_words", "error", "duplicate", "too_short"}
    assert {rule for account in early.accounts for rule in account.examples} == rules
    assert early.accounts[0].rejected == {"malformed_json": len(texts)}
    assert results["hash"].accounts[2].rejected == {"flagged_words": len(DATA) * 2}


def read_all(directory: Path) -> str:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.is_symlink())
    return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
