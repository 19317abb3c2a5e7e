"""Datasets in Hugging Face's form, from files that the tests write; the hub itself is out of reach here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from connectors import EmptySourceError, HuggingFaceDataset, SourceError, SourceNotFoundError, SourceSchemaError
from connectors.source import PartitionedSource
from pipelines.testing import SourceContract
from tests.connectors.reading import faults, read

ROWS = 60


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the module's own; nothing is asked of the hub."""
    home = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        # For this process, which may have imported the package before, and for those that it starts.
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("HF_HOME", str(home))
        import datasets
        import huggingface_hub.constants

        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "datasets")
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield home


@pytest.fixture(scope="module")
def saved(home: Path) -> Path:
    """A dataset of two splits that `save_to_disk` wrote, one of them in three files."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "key": datasets.Value("int64"),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["neg", "pos"]),
            "topics": datasets.Sequence(datasets.ClassLabel(names=["a", "b"])),
        }
    )
    rows = {
        "key": list(range(100, 100 + ROWS)),
        "text": [f"text {n} 泉" if n != 7 else None for n in range(ROWS)],
        "label": [n % 2 if n != 9 else -1 for n in range(ROWS)],
        "topics": [[0, 1] if n % 3 else [] if n % 2 else None for n in range(ROWS)],
    }
    train = datasets.Dataset.from_dict(rows, features=features)
    test = train.select(range(5))
    datasets.disable_progress_bars()
    datasets.DatasetDict({"train": train, "test": test}).save_to_disk(
        str(home / "saved"), num_shards={"train": 3, "test": 1}
    )
    datasets.enable_progress_bars()
    return home / "saved"


class TestHuggingFaceDataset(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> PartitionedSource:
        monkeypatch.setattr("connectors.hugging_face.source.MIN_PARTITION_BYTES", 1000)
        return HuggingFaceDataset(path=str(saved))


class TestHuggingFaceDatasetStreamed(SourceContract):
    row_count = ROWS

    @pytest.fixture
    def source(self, saved: Path) -> PartitionedSource:
        return HuggingFaceDataset(path=str(saved), streaming=True)


class TestHuggingFaceDatasetOfFiles(SourceContract):
    row_count = 40

    @pytest.fixture
    def source(self, home: Path, tmp_path: Path) -> PartitionedSource:
        _write_files(tmp_path)
        return HuggingFaceDataset(path=str(tmp_path / "*.csv"), streaming=True, id_column="key")


class TestReading:
    def test_class_labels_become_their_names(self, saved: Path) -> None:
        rows, _ = read(HuggingFaceDataset(path=str(saved), split="test"))
        assert [row["label"] for row in rows] == ["neg", "pos", "neg", "pos", "neg"]
        assert [row["topics"] for row in rows] == [None, ["a", "b"], ["a", "b"], [], ["a", "b"]]

    def test_rows_are_divided_and_keep_their_ids(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = HuggingFaceDataset(path=str(saved))
        whole = {row["row_id"]: row["key"] for row in read(source)[0]}
        monkeypatch.setattr("connectors.hugging_face.source.MIN_PARTITION_BYTES", 500)
        monkeypatch.setattr("connectors.hugging_face.source.BATCH_BYTES", 100)
        with source.plan() as plan:
            assert len(plan.partitions) > 3
        assert {row["row_id"]: row["key"] for row in read(source)[0]} == whole
        assert whole["train:1"] == 100

    def test_each_shard_of_a_stream_is_a_partition(self, saved: Path) -> None:
        source = HuggingFaceDataset(path=str(saved), streaming=True, id_column="key")
        with source.plan() as plan:
            assert [one.key for one in plan.partitions] == ["train:0", "train:1", "train:2"]
        rows, bad = read(source)
        assert sorted(str(row["row_id"]) for row in rows) == [str(100 + n) for n in range(ROWS) if n != 7]
        assert [row.row_id for row in bad] == ["107"]

    @pytest.mark.parametrize("streaming", [True, False])
    def test_rows_without_a_text_or_a_label_are_set_aside(self, saved: Path, streaming: bool) -> None:
        source = HuggingFaceDataset(path=str(saved), label_column="label", streaming=streaming)
        assert sorted(rule for rule, _ in faults(source)) == ["null_label", "null_text"]

    @pytest.mark.parametrize("streaming", [True, False])
    def test_files_are_read_by_their_suffix(self, home: Path, tmp_path: Path, streaming: bool) -> None:
        _write_files(tmp_path)
        for path in ("a.jsonl", "b*.csv", "*.parquet", "", "d.txt"):
            place = tmp_path / "c" if path == "" else tmp_path / path
            source = HuggingFaceDataset(path=str(place), streaming=streaming)
            rows, bad = read(source)
            assert (len(rows), len(bad)) == (20, 0), path
            assert rows[3]["text"] == "text 3"
        part = HuggingFaceDataset(path=str(tmp_path / "a.jsonl"), split="train[:50%]")
        assert len(read(part)[0]) == 10

    def test_columns_of_other_layouts_are_taken_as_they_are_stored(self, home: Path, tmp_path: Path) -> None:
        import datasets

        features = datasets.Features(
            {"text": datasets.Value("large_string"), "grid": datasets.Array2D((2, 2), "int32")}
        )
        rows = datasets.Dataset.from_dict({"text": ["a"], "grid": [[[1, 2], [3, 4]]]}, features=features)
        rows.save_to_disk(str(tmp_path / "grids"))
        for streaming in (True, False):
            source = HuggingFaceDataset(path=str(tmp_path / "grids"), streaming=streaming)
            assert read(source)[0][0]["grid"] == [[1, 2], [3, 4]]
            assert source.read_schema().field("text").type == pa.string()


class TestFaults:
    def test_what_is_missing_is_told_with_what_there_is(self, saved: Path, tmp_path: Path) -> None:
        (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
        (tmp_path / "a.docx").write_text("")
        told: list[tuple[dict[str, Any], type[SourceError], str]] = [
            ({"path": str(saved), "split": "dev"}, SourceNotFoundError, "no split 'dev'; it has: train, test"),
            (
                {"path": str(saved), "text_column": "body"},
                SourceSchemaError,
                "no column 'body'.*it has: key, text, label",
            ),
            ({"path": str(saved), "label_column": "class"}, SourceSchemaError, "no column 'class'"),
            ({"path": str(tmp_path / "a.jsonl"), "split": "dev"}, SourceNotFoundError, r"Unknown split.*\['train'\]"),
            ({"path": str(tmp_path / "b.jsonl")}, SourceNotFoundError, "'b.jsonl' does not exist"),
            ({"path": str(tmp_path / "*.csv")}, EmptySourceError, "holds no file that matches"),
            ({"path": str(tmp_path / "a.docx")}, SourceError, "suffix says no format"),
            ({"name": "acme/reviews"}, SourceError, "acme/reviews cannot be reached.*HF_HUB_OFFLINE"),
            ({"name": "acme/reviews", "streaming": True}, SourceError, "acme/reviews cannot be reached"),
        ]
        for options, kind, said in told:
            with pytest.raises(kind, match=said):
                read(HuggingFaceDataset(**options))

    @pytest.mark.parametrize("streaming", [True, False])
    def test_files_that_cannot_be_read_are_told(self, home: Path, tmp_path: Path, streaming: bool) -> None:
        (tmp_path / "a.parquet").write_bytes(b"PAR1 and nothing more")
        with pytest.raises(SourceError, match=r"a\.parquet") as caught:
            read(HuggingFaceDataset(path=str(tmp_path / "a.parquet"), streaming=streaming))
        assert "\n" not in str(caught.value)

    def test_files_that_do_not_agree_are_told(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("text,n\none,1\n")
        (tmp_path / "b.csv").write_text("text,n\ntwo,x\n")
        for streaming in (True, False):
            with pytest.raises(SourceError, match=r"csv"):
                read(HuggingFaceDataset(path=str(tmp_path / "*.csv"), streaming=streaming))

    def test_a_dataset_without_rows_is_told(self, home: Path, tmp_path: Path) -> None:
        import datasets

        datasets.Dataset.from_dict({"text": []}).save_to_disk(str(tmp_path / "none"))
        with pytest.raises(EmptySourceError, match="holds no rows"):
            read(HuggingFaceDataset(path=str(tmp_path / "none")))

    def test_a_dataset_that_changes_after_it_was_planned_is_told(self, home: Path, tmp_path: Path) -> None:
        import datasets

        datasets.Dataset.from_dict({"text": ["a", "b"]}).save_to_disk(str(tmp_path / "some"))
        source = HuggingFaceDataset(path=str(tmp_path / "some"))
        with source.plan() as plan:
            datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(str(tmp_path / "some"))
            with pytest.raises(SourceError, match="had 2 rows, and has others now; run again"):
                list(source.scan(plan.partitions[0]))

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"name": "a/b", "path": "/c"},
            {"path": "/c", "token": "${env:TOKEN}"},
            {"path": "/c", "revision": "main"},
            {"name": "a/b", "token": "hf_planted"},
            {"name": "a/b", "split": "train[:1%]", "streaming": True},
            {"name": "a/b", "trust_remote_code": True},
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValidationError) as caught:
            HuggingFaceDataset(**options)
        assert "planted" not in str([error["msg"] for error in caught.value.errors()])

    def test_a_hub_that_cannot_be_reached_is_told_without_the_token(self, home: Path) -> None:
        program = (
            "from connectors import HuggingFaceDataset, SourceError\n"
            "source = HuggingFaceDataset(name='acme/x', token='${env:HUB}', streaming=True)\n"
            "try:\n    source.partitions()\nexcept SourceError as error:\n    print(error)\n"
        )
        environment = {**os.environ, "HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:1", "HUB": "hf_planted"}
        ended = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=True
        )
        assert "acme/x cannot be reached" in ended.stdout, ended.stderr
        assert "planted" not in ended.stdout + ended.stderr


def _write_files(directory: Path) -> None:
    """The same twenty rows in each format; those of CSV in two files."""
    import datasets

    rows = datasets.Dataset.from_dict({"text": [f"text {n}" for n in range(20)], "key": [f"k{n}" for n in range(20)]})
    datasets.disable_progress_bars()
    rows.to_json(str(directory / "a.jsonl"))
    rows.select(range(10)).to_csv(str(directory / "b1.csv"))
    rows.select(range(10, 20)).to_csv(str(directory / "b2.csv"))
    rows.to_parquet(str(directory / "d.parquet"))
    (directory / "c").mkdir()
    rows.to_json(str(directory / "c" / "train.jsonl"))
    (directory / "d.txt").write_text("\n".join(str(text) for text in rows["text"]))
    more = rows.map(lambda row: {"key": row["key"] + "+"})
    more.to_csv(str(directory / "e.csv"))
    datasets.enable_progress_bars()
