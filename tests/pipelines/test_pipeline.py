"""A pipeline is a frozen value: equal by its options, hashed the same everywhere, and whole or refused."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from connectors import Memory, ParquetSink, TextFolder
from connectors.secret import Secret
from pipelines import Pipeline, SpecError, load
from pipelines.steps import ArrowFunction, NormalizeText, Split, WordCount
from tests.pipelines.sample_plugins import Call, Drifting, Learn, Shop, Shorten, Vault, Window, identity

NEWS = Pipeline(
    name="news",
    source=TextFolder(path="/data/news"),
    steps=(NormalizeText(), WordCount(min=5), Split()),
    train=Learn(),
)


def test_a_pipeline_needs_no_more_than_a_name() -> None:
    assert Pipeline(name="empty").version == 1
    assert Pipeline(name="empty").steps == ()


def test_equal_options_make_equal_pipelines() -> None:
    again = Pipeline(
        train=Learn(),
        steps=(NormalizeText(), WordCount(min=5), Split()),
        source=TextFolder(path="/data/news"),
        name="news",
    )
    assert again == NEWS
    assert again.spec_hash == NEWS.spec_hash


def test_a_pipeline_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NEWS.name = "other"  # type: ignore[misc]


def test_the_order_of_the_steps_counts() -> None:
    one = Pipeline(name="x", steps=(NormalizeText(), WordCount()))
    other = Pipeline(name="x", steps=(WordCount(), NormalizeText()))
    assert one != other
    assert one.spec_hash != other.spec_hash


def test_an_option_of_a_plugin_counts_though_the_field_is_of_the_contract() -> None:
    changed = NEWS.model_copy(update={"steps": (NormalizeText(), WordCount(min=6), Split())})
    assert changed != NEWS
    assert changed.spec_hash != NEWS.spec_hash


def test_the_hash_is_the_same_in_every_process() -> None:
    program = "from tests.pipelines.test_pipeline import NEWS, LAMBDA\nprint(NEWS.spec_hash, LAMBDA.spec_hash)"
    root = Path(__file__).parents[2]
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[0:2]
        == [NEWS.spec_hash, LAMBDA.spec_hash]
        for seed in ("1", "2")
    }
    assert found == {True}


LAMBDA = Pipeline(name="x", steps=(Call(function=lambda batch: batch.slice(0, 1) if "a" in {"a", "b"} else batch),))


def test_a_lambda_counts_by_its_code_in_the_hash() -> None:
    def of(function: object) -> str:
        return Pipeline.model_validate({"name": "x", "steps": (Call.model_validate({"function": function}),)}).spec_hash

    assert of(lambda batch: batch.slice(1)) == of(lambda batch: batch.slice(1))
    assert of(lambda batch: batch.slice(1)) != of(lambda batch: batch.slice(2))
    assert of(partial(identity)) != of(identity)
    assert len({of(lambda batch, start=start: batch.slice(start)) for start in (1, 2)}) == 2


def test_a_secret_counts_by_its_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    pipeline = Pipeline(name="x", source=Shop(path=str(tmp_path), token=Secret("${env:TOKEN}")))
    before = pipeline.spec_hash
    monkeypatch.setenv("TOKEN", "changed")
    assert pipeline.spec_hash == before
    assert "hunter2" not in pipeline.to_yaml() + repr(pipeline)
    assert "${env:TOKEN}" in pipeline.to_yaml()


def test_a_secret_given_by_value_is_refused_without_showing_it() -> None:
    pipeline = Pipeline(name="x", source=Vault(key=SecretStr("hunter2")))
    with pytest.raises(SpecError, match=r"source\.key.*Secret by its reference") as raised:
        assert pipeline.spec_hash
    assert "hunter2" not in str(raised.value)


def test_rows_in_memory_count_by_their_content() -> None:
    one = Pipeline(name="x", source=Memory(rows=[{"text": "a"}]))
    same = Pipeline(name="x", source=Memory(rows=[{"text": "a"}]))
    other = Pipeline(name="x", source=Memory(rows=[{"text": "b"}]))
    assert one == same
    assert one.spec_hash == same.spec_hash
    assert one.spec_hash != other.spec_hash


def test_rows_that_a_spec_cannot_hold_are_described_by_their_digest() -> None:
    many = Pipeline(name="x", source=Memory(rows=[{"text": str(number)} for number in range(20_000)]))
    with pytest.raises(SpecError, match=r"source\.rows: Memory holds 20,000 rows"):
        many.to_yaml()
    assert "rows: sha256:" in many.describe()
    assert len(many.spec_hash) == 64


@pytest.mark.parametrize("name", ["", "News", "a b", "-a", "a/b", "ä", "x" * 65, "a\n"])
def test_a_name_that_is_no_slug_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot name a pipeline: use 1 to 64 lower-case letters"):
        Pipeline(name=name)


def test_a_slug_is_proposed() -> None:
    with pytest.raises(ValidationError, match="how about 'my-news'"):
        Pipeline(name="My News!")


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_is_refused_with_the_known_ones(version: int) -> None:
    with pytest.raises(ValidationError, match=rf"version {version} of the spec is not known here; known: 1"):
        Pipeline(name="x", version=version)


def test_a_pipeline_ends_in_one_place() -> None:
    with pytest.raises(ValidationError, match="in train: or in sink:, not in both"):
        Pipeline(name="x", steps=(Split(),), train=Learn(), sink=ParquetSink(path="/out"))


def test_training_needs_a_split() -> None:
    with pytest.raises(ValidationError, match="add the step split, or split with column:"):
        Pipeline(name="x", steps=(NormalizeText(),), train=Learn())


def test_a_split_of_ones_own_will_do() -> None:
    assert Pipeline(name="x", steps=(Split(column="part"),), train=Learn()).train == Learn()
    assert Pipeline(name="x", steps=(Split(test=0),), train=Learn()).train == Learn()


def test_two_splits_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match="2 steps split the rows"):
        Pipeline(name="x", steps=(Split(), Split(seed=1)))


def test_something_else_than_a_plugin_is_refused() -> None:
    with pytest.raises(ValidationError, match="instance of Source"):
        Pipeline(name="x", source={"type": "text_folder"})  # type: ignore[arg-type]


def test_yaml_brings_back_an_equal_pipeline(tmp_path: Path) -> None:
    pipeline = Pipeline(
        name="all",
        source=Shop(path="/data", token=Secret("${file:/run/token}"), names={"b": "1", "a": "yes\u2028no"}),  # type: ignore[arg-type]
        steps=(Shorten(window=Window(width=3)), Call(function=identity), ArrowFunction(function=identity)),
        sink=ParquetSink(path="/out"),
        session={"spark_conf": {"spark.sql.shuffle.partitions": 8}},  # type: ignore[arg-type]
    )
    with pytest.raises(SpecError, match=r"steps\[1\]\.function: must be callable"):
        pipeline.to_yaml()
    pipeline = pipeline.model_copy(update={"steps": (pipeline.steps[0], pipeline.steps[2])})
    pipeline.save(tmp_path / "all.yaml")
    assert load(tmp_path / "all.yaml") == pipeline
    assert load(tmp_path / "all.yaml").spec_hash == pipeline.spec_hash


def test_a_lambda_refuses_yaml_and_still_can_be_described() -> None:
    pipeline = Pipeline(name="x", steps=(ArrowFunction(function=lambda batch: batch),))
    with pytest.raises(SpecError, match=r"steps\[0\]\.function: .*<lambda> cannot be written to YAML.*module:name"):
        pipeline.to_yaml()
    assert "<lambda>@" in pipeline.describe()


def test_a_class_within_a_function_refuses_yaml() -> None:
    class Local(Shorten):
        pass

    with pytest.raises(SpecError, match=r"steps\[0\]: .*Local cannot be written to YAML"):
        Pipeline(name="x", steps=(Local(),)).to_yaml()


def test_a_plugin_that_does_not_come_back_as_it_was_refuses_yaml() -> None:
    with pytest.raises(SpecError, match="steps: it does not come back from YAML as it was"):
        Pipeline(name="x", steps=(Drifting(),)).to_yaml()


def test_saving_what_cannot_be_saved_touches_no_file(tmp_path: Path) -> None:
    pipeline = Pipeline(name="x", steps=(ArrowFunction(function=lambda batch: batch),))
    with pytest.raises(SpecError):
        pipeline.save(tmp_path / "x.yaml")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_imports_no_engine() -> None:
    program = (
        "import sys\n"
        "from pipelines import Pipeline, load\n"
        "import pipelines.spec_schema, pipelines.steps, connectors\n"
        "print([name for name in ('pyspark', 'ray', 'raydp', 'torch', 'transformers') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_what_the_package_offers_is_there() -> None:
    import pipelines

    assert pipelines.__all__ == sorted(pipelines.__all__)
    assert all(getattr(pipelines, name) is not None for name in pipelines.__all__ if name != "Session")
    with pytest.raises(AttributeError, match="no attribute 'Pipelin'"):
        _ = pipelines.Pipelin
