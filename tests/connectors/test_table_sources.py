"""Sources of tables: how columns become rows, and what each format may hold."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from pickle import dumps, loads

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors import (
    BadRow,
    Csv,
    EmptySourceError,
    JsonLines,
    Memory,
    ParquetSource,
    Partition,
    PartitionedSource,
    SourceError,
    SourceSchemaError,
)
from connectors.files import columns as file_columns
from connectors.files.json_types import infer_schema, parse_type
from tests.connectors.reading import faults, read


def _batches(source: PartitionedSource, partition: Partition) -> list[pa.RecordBatch]:
    return [item for item in source.scan(partition) if not isinstance(item, BadRow)]


def _rows(source: PartitionedSource) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if name != "row_id"} for row in read(source)[0]]


def _write(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


class TestColumns:
    def test_the_named_columns_are_renamed_and_the_others_kept(self) -> None:
        rows = [{"id": 7, "body": "a", "topic": 1, "score": 0.5}]
        source = Memory(rows=rows, text_column="body", label_column="topic", id_column="id")
        assert read(source)[0] == [{"row_id": "7", "text": "a", "label": "1", "score": 0.5}]
        assert source.read_schema().names == ["row_id", "text", "label", "score"]

    def test_a_column_named_label_is_taken_without_being_named(self) -> None:
        assert read(Memory(rows=[{"text": "a", "label": None}]))[0] == [
            {"row_id": "memory:1", "text": "a", "label": None}
        ]
        assert read(Memory(rows=[{"text": "a"}]))[0] == [{"row_id": "memory:1", "text": "a"}]

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            (pa.array([1, 2]), ["1", "2"]),
            (pa.array([True, False]), ["true", "false"]),
            (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
            (pa.array([[1], []]), [["1"], []]),
            (pa.array([["x", "y"], ["x"]], pa.large_list(pa.large_string())), [["x", "y"], ["x"]]),
        ],
    )
    def test_labels_are_strings_or_lists_of_strings(self, labels: pa.Array, expected: list[object]) -> None:
        source = Memory(rows=pa.table({"text": ["a", "b"], "label": labels}))
        assert [row["label"] for row in read(source)[0]] == expected

    @pytest.mark.parametrize(
        ("rows", "options", "message"),
        [
            ([{"body": "a", "n": 1}], {}, "no column 'text' for text; it has: body, n; .* option 'text_column'"),
            ([{"text": "a"}], {"label_column": "topic"}, "no column 'topic' for label; it has: text; .*'label_column'"),
            ([{"text": "a"}], {"id_column": "key"}, "no column 'key' for row_id"),
            ([{"text": 1}], {}, "'text' holds int64, and text must be strings"),
            ([{"text": "a", "label": {"x": 1}}], {}, "'label' holds struct.*label must be strings, numbers"),
            ([{"text": "a", "body": "b"}], {"text_column": "body"}, "column named 'text', and its column 'body'"),
            ([{"text": "a", "row_id": "b"}], {}, "column named 'row_id', and ids are .*'id_column'"),
            ([{"text": "a"}], {"label_column": "text"}, "'text' is named for more than one purpose"),
        ],
    )
    def test_columns_that_cannot_be_used_are_refused_with_the_cure(
        self, rows: list[dict[str, object]], options: dict[str, str], message: str
    ) -> None:
        with pytest.raises(SourceSchemaError, match=message):
            Memory(rows=rows, **options).row_schema()

    def test_a_row_without_text_label_or_key_is_bad_where_they_are_asked_for(self) -> None:
        rows = [
            {"k": "1", "text": "a", "topic": ["x"]},
            {"k": "2", "text": None, "topic": ["x"]},
            {"k": "3", "text": "c", "topic": None},
            {"k": "4", "text": "d", "topic": ["x", None]},
            {"k": None, "text": "e", "topic": []},
        ]
        source = Memory(rows=rows, label_column="topic", id_column="k")
        good, bad = read(source)
        assert [row["row_id"] for row in good] == ["1"]
        assert [(row.rule, row.row_id) for row in bad] == [
            ("null_text", "2"), ("null_label", "3"), ("null_label", "4"), ("null_id", "memory:5"),
        ]  # fmt: skip
        assert json.loads(bad[0].value) == rows[1]

    def test_text_that_is_said_to_be_utf8_and_is_not_is_a_bad_row(self, tmp_path: Path) -> None:
        raw = pa.array([b"good", b"caf\xe9"]).view(pa.string())
        pq.write_table(pa.table({"text": raw}), tmp_path / "a.parquet")
        assert faults(ParquetSource(path=str(tmp_path / "a.parquet"))) == [("undecodable", 2)]


class TestCsv:
    def test_quotes_may_hold_delimiters_quotes_and_newlines(self, tmp_path: Path) -> None:
        data = '\ufefftext,label\r\n"a, ""b""\nc",x\r\n\r\nplain,y'
        rows, bad = read(Csv(path=_write(tmp_path / "a.csv", data)))
        assert rows == [
            {"row_id": "a.csv:2", "text": 'a, "b"\nc', "label": "x"},
            {"row_id": "a.csv:5", "text": "plain", "label": "y"},
        ]
        assert bad == []

    def test_the_dialect_can_be_given(self, tmp_path: Path) -> None:
        path = _write(tmp_path / "a.tsv", "'it\\'s'\t1\n'two\ttabs'\t2\n")
        source = Csv(path=path, delimiter="\t", quote="'", escape="\\", header=False, columns=("text", "label"))
        assert [row["text"] for row in read(source)[0]] == ["it's", "two\ttabs"]

    def test_columns_without_a_header_are_numbered(self, tmp_path: Path) -> None:
        source = Csv(path=_write(tmp_path / "a.csv", "1,text\n"), header=False, text_column="column_2")
        assert read(source)[0] == [{"row_id": "a.csv:1", "column_1": "1", "text": "text"}]

    def test_without_a_quote_character_quotes_are_text(self, tmp_path: Path) -> None:
        assert read(Csv(path=_write(tmp_path / "a.csv", 'text\n"a\n'), quote=None))[0][0]["text"] == '"a'

    @pytest.mark.parametrize(
        ("suffix", "pack"), [(".csv", bytes), (".csv.gz", gzip.compress), (".csv.zst", zstandard.compress)]
    )
    def test_a_compressed_file_is_read_by_its_suffix(
        self, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
    ) -> None:
        rows, _ = read(Csv(path=_write(tmp_path / f"a{suffix}", pack(b"text\na\nb\n"))))
        assert [row["row_id"] for row in rows] == [f"a{suffix}:2", f"a{suffix}:3"]

    def test_one_stray_quote_costs_one_record(self, tmp_path: Path) -> None:
        data = 'text,n\ngood,1\n"stray,2\n"quoted, good",3\n"x"y,4\ngood,5\n"at the end,6\ngood,7'
        source = Csv(path=_write(tmp_path / "a.csv", data))
        assert [row["n"] for row in read(source)[0]] == ["1", "3", "5", "7"]
        assert faults(source) == [("malformed_csv", 3), ("malformed_csv", 5), ("malformed_csv", 7)]

    def test_records_of_the_wrong_width_or_bytes_are_bad(self, tmp_path: Path) -> None:
        data = b'text,n\none\na,b,c\n"caf\xe9\ncr\xe8me",1\nnul\0,1\n,1\ngood,\n'
        source = Csv(path=_write(tmp_path / "a.csv", data))
        rows, bad = read(source)
        assert rows == [{"row_id": "a.csv:8", "text": "good", "n": None}]
        assert [(row.rule, row.position) for row in sorted(bad, key=lambda row: row.position)] == [
            ("column_count", 2), ("column_count", 3), ("undecodable", 4), ("nul_byte", 6), ("null_text", 7),
        ]  # fmt: skip
        assert bad[0].reason == "1 fields, and the file has 2 columns"

    def test_a_text_longer_than_the_csv_modules_own_limit_is_read(self, tmp_path: Path) -> None:
        path = _write(tmp_path / "a.csv", "text\n" + "x" * 300_000 + "\n")
        assert len(str(read(Csv(path=path))[0][0]["text"])) == 300_000

    def test_files_may_have_their_columns_in_another_order_and_more_of_them_or_fewer(self, tmp_path: Path) -> None:
        _write(tmp_path / "a.csv", "text,n\na,1\n")
        _write(tmp_path / "b.csv", "")
        _write(tmp_path / "c.csv", "n,text\n2,c\n")
        _write(tmp_path / "d.csv", "text,other\nd,3\n")
        assert _rows(Csv(path=str(tmp_path))) == [
            {"text": "a", "n": "1", "other": None},
            {"text": "c", "n": "2", "other": None},
            {"text": "d", "n": None, "other": "3"},
        ]

    def test_a_file_without_the_text_or_that_nobody_looked_into_is_an_error_that_names_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(file_columns, "MOST_HEADS", 1)
        for name, data, changed in (("a", "text\na\n", 1), ("b", "text,n\nb,1\n", 2), ("c", "text\nc\n", 3)):
            os.utime(_write(tmp_path / f"{name}.csv", data), (changed, changed))
        with pytest.raises(SourceSchemaError, match=r"b\.csv has the columns text, n; the files .* have text;"):
            read(Csv(path=str(tmp_path)))
        _write(tmp_path / "b.csv", "other\nb\n")
        with pytest.raises(SourceSchemaError, match=r"b\.csv has no column 'text', which other files"):
            read(Csv(path=str(tmp_path)))

    def test_a_column_named_twice_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SourceSchemaError, match="more than one column named 'text'"):
            Csv(path=_write(tmp_path / "a.csv", "text,text\n")).row_schema()

    def test_an_empty_file_is_an_empty_source(self, tmp_path: Path) -> None:
        with pytest.raises(EmptySourceError, match="holds no record"):
            read(Csv(path=_write(tmp_path / "a.csv", "\n\n")))

    @pytest.mark.parametrize(
        "options",
        [{"delimiter": ";;"}, {"quote": "\n"}, {"delimiter": '"'}, {"columns": ("a",)}, {"encoding": "utf-32"}],
    )
    def test_options_that_make_no_sense_are_refused(self, options: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            Csv.model_validate({"path": "a.csv", **options})

    @settings(max_examples=60)
    @given(st.lists(st.text(st.sampled_from('ab,"\n\r\\ é'), min_size=1), min_size=1, max_size=20))
    def test_any_text_that_is_quoted_comes_back(self, tmp_path: Path, texts: list[str]) -> None:
        records = "".join('"' + text.replace('"', '""') + '"\n' for text in texts)
        rows, bad = read(Csv(path=_write(tmp_path / "a.csv", "text\n" + records)))
        assert ([row["text"] for row in rows], bad) == (texts, [])

    @settings(max_examples=100)
    @given(st.binary(max_size=200))
    def test_no_bytes_make_it_lose_a_line_or_raise(self, tmp_path: Path, data: bytes) -> None:
        path = _write(tmp_path / "a.csv", b"text\n" + data + b"\nlast\n")
        rows, bad = read(Csv(path=path, quote=None))
        lines = [line for line in data.split(b"\n") if line.strip(b"\r")]
        assert len(rows) + len(bad) == len(lines) + 1


class TestJsonLines:
    def test_types_are_those_that_most_of_the_head_agrees_on(self, tmp_path: Path) -> None:
        lines = [{"text": "a", "n": 1, "x": 1}, {"text": "b", "n": 2, "x": 0.5}, {"text": "c", "n": "three", "x": None}]
        source = JsonLines(path=_write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines))))
        assert source.row_schema().field("n").type == pa.int64()
        assert source.row_schema().field("x").type == pa.float64()
        rows, bad = read(source)
        assert [(row["text"], row["x"]) for row in rows] == [("a", 1.0), ("b", 0.5)]
        assert [(row.rule, row.position, row.row_id) for row in bad] == [("type_drift", 3, "a.jsonl:3")]
        assert "'n' is a string, and the column is int64" in bad[0].reason

    def test_declared_types_decide_and_choose_the_columns(self, tmp_path: Path) -> None:
        path = _write(tmp_path / "a.jsonl", '{"text": "a", "n": 1, "tags": ["x"]}\n{"text": "b", "n": 1.5}\n')
        source = JsonLines(path=path, types={"text": "string", "n": "int64"})
        assert source.row_schema().names == ["row_id", "text", "n"]
        assert faults(source) == [("type_drift", 2)]

    @pytest.mark.parametrize(
        ("line", "rule"),
        [
            (b'{"text": "a"', "malformed_json"),
            (b"[" * 100_000, "malformed_json"),
            (b'{"text": ' + b"1" * 5_000 + b"}", "malformed_json"),
            (b'["text"]', "not_an_object"),
            (b"null", "not_an_object"),
            (b'{"text": "\xff"}', "undecodable"),
            (b'{"text": "\\ud800"}', "undecodable"),
            (b'{"text": "\0"}', "nul_byte"),
            (b'{"text": 1}', "type_drift"),
            (b'{"text": "a", "n": true}', "type_drift"),
            (b'{"text": "a", "n": 18446744073709551616}', "type_drift"),
            (b'{"text": "a", "tags": "abc"}', "type_drift"),
            (b'{"text": "a", "tags": [1]}', "type_drift"),
            (b'{"text": "a", "from": {"page": "one"}}', "type_drift"),
            (b'{"text": null}', "null_text"),
            (b"{}", "null_text"),
        ],
    )
    def test_each_kind_of_bad_line_has_its_rule(self, tmp_path: Path, line: bytes, rule: str) -> None:
        good = b'{"text": "a", "n": 1, "tags": ["x"], "from": {"page": 1}}\n'
        path = _write(tmp_path / "a.jsonl", good + b"\n" + good + line + b"\r\n" + good)
        source = JsonLines(path=path)
        assert faults(source) == [(rule, 4)]
        assert [row["row_id"] for row in read(source)[0]] == ["a.jsonl:1", "a.jsonl:3", "a.jsonl:5"]

    def test_a_pair_of_surrogates_is_a_character(self, tmp_path: Path) -> None:
        assert read(JsonLines(path=_write(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude00"}')))[0][0]["text"] == "😀"

    def test_a_large_file_is_split_and_its_lines_keep_their_numbers(self, tmp_path: Path) -> None:
        lines = [json.dumps({"text": "x" * (number % 700), "n": number}) for number in range(1, 12_001)]
        source = JsonLines(path=_write(tmp_path / "a.jsonl", "\n".join(lines)))
        with source.plan() as plan:
            assert len(plan.partitions) > 2
        rows, bad = read(source)
        assert bad == []
        assert [row["row_id"] for row in rows] == [f"a.jsonl:{row['n']}" for row in rows]
        assert len(rows) == 12_000

    def test_a_head_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(SourceSchemaError, match="none of the first 1,000 records can be read"):
            JsonLines(path=_write(tmp_path / "a.jsonl", "no json\n")).row_schema()

    def test_an_unknown_type_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(ValidationError, match=r"unknown type 'text'; known: string, int64, float64, bool and list"):
            JsonLines(path="a", types={"text": "text"})
        assert parse_type("list< list<int64> >") == pa.list_(pa.list_(pa.int64()))

    def test_inference_looks_into_lists_and_objects(self) -> None:
        rows: list[dict[str, object]] = [
            {"a": [], "b": {"c": 1}},
            {"a": [1, 2.5], "b": {"d": True}},
            {"a": None, "e": None},
        ]
        assert infer_schema(rows) == pa.schema(
            [
                ("a", pa.list_(pa.float64())),
                ("b", pa.struct([("c", pa.int64()), ("d", pa.bool_())])),
                ("e", pa.string()),
            ]
        )


class TestParquetSource:
    def test_rows_are_numbered_within_their_file(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a", "b", "c"]}), tmp_path / "one.parquet", row_group_size=2)
        pq.write_table(pa.table({"text": ["d"]}), tmp_path / "two.parquet")
        rows, _ = read(ParquetSource(path=str(tmp_path)))
        assert [row["row_id"] for row in rows] == ["one.parquet:1", "one.parquet:2", "one.parquet:3", "two.parquet:1"]

    def test_the_directories_of_hive_are_columns(self, tmp_path: Path) -> None:
        root = tmp_path / "above=1" / "rows"
        table = pa.table({"text": ["a", "b"], "topic": ["art & craft", "sport"], "year": [2024, 2025]})
        pq.write_to_dataset(table, root, partition_cols=["topic", "year"])
        source = ParquetSource(path=str(root), label_column="topic")
        assert source.row_schema().names == ["row_id", "text", "label", "year"]
        rows, _ = read(source)
        assert [(row["text"], row["label"], row["year"]) for row in rows] == [
            ("a", "art & craft", 2024),
            ("b", "sport", 2025),
        ]

    def test_row_groups_that_the_predicate_excludes_are_not_planned(self, tmp_path: Path) -> None:
        table = pa.table({"text": ["a", "b", "c", "d"], "n": [1, 2, 3, 4], "day": ["mon", "mon", "tue", "tue"]})
        pq.write_to_dataset(table, tmp_path / "rows", partition_cols=["day"], row_group_size=1)
        source = ParquetSource(path=str(tmp_path / "rows"))
        with source.plan(predicate=(pc.field("day") == "tue") & (pc.field("n") > 3), columns=["n"]) as plan:
            rows = [row for part in plan.partitions for batch in _batches(source, part) for row in batch.to_pylist()]
        assert [(row["text"], row["n"], row["row_id"][-2:]) for row in rows] == [("d", 4, ":2")]

    def test_a_predicate_over_a_renamed_column_is_only_a_hint(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a"], "topic": ["x"]}), tmp_path / "a.parquet")
        source = ParquetSource(path=str(tmp_path), label_column="topic")
        with source.plan(predicate=pc.field("label") == "y") as plan:
            assert len(plan.partitions) == 1

    def test_only_the_wanted_columns_are_read(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a"], "label": ["x"], "n": [1], "m": [2]}), tmp_path / "a.parquet")
        source = ParquetSource(path=str(tmp_path))
        with source.plan(columns=["m"]) as plan:
            (batch,) = _batches(source, plan.partitions[0])
        assert batch.schema.names == ["row_id", "text", "label", "m"]

    def test_types_that_spark_lacks_are_widened(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "text": pa.array(["a"]).dictionary_encode(),
                "u": pa.array([2**32 - 1], pa.uint32()),
                "t": pa.array([1_000], pa.timestamp("ns")),
                "l": pa.array([["x"]], pa.large_list(pa.large_string())),
            }
        )
        pq.write_table(table, tmp_path / "a.parquet")
        source = ParquetSource(path=str(tmp_path))
        assert [str(field.type) for field in source.row_schema()] == [
            "string", "string", "int64", "timestamp[us]", "list<item: string>",
        ]  # fmt: skip
        assert read(source)[0][0]["u"] == 2**32 - 1

    def test_files_may_have_other_columns_and_wider_types(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a"], "n": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
        pq.write_table(pa.table({"text": ["b"], "n": [2**40], "other": [0.5]}), tmp_path / "b.parquet")
        pq.write_table(pa.table({"text": pa.array(["c"]).dictionary_encode()}), tmp_path / "c.parquet")
        source = ParquetSource(path=str(tmp_path))
        assert source.read_schema().field("n").type == pa.int64()
        assert _rows(source) == [
            {"text": "a", "n": 1, "other": None},
            {"text": "b", "n": 2**40, "other": 0.5},
            {"text": "c", "n": None, "other": None},
        ]
        with source.plan(predicate=pc.field("n") > 1) as plan:
            found = [batch for partition in plan.partitions for batch in _batches(source, partition)]
        assert "b" in [text for batch in found for text in batch.column("text").to_pylist()]

    def test_a_file_with_another_type_or_without_the_text_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": ["a"], "n": [1]}), tmp_path / "a.parquet")
        pq.write_table(pa.table({"text": ["b"], "n": ["x"]}), tmp_path / "b.parquet")
        with pytest.raises(SourceSchemaError, match=r"b\.parquet: column 'n' holds string"):
            read(ParquetSource(path=str(tmp_path)))
        pq.write_table(pa.table({"n": [2]}), tmp_path / "b.parquet")
        with pytest.raises(SourceSchemaError, match=r"b\.parquet has no column 'text'"):
            read(ParquetSource(path=str(tmp_path)))

    def test_a_file_that_is_no_parquet_is_an_error_that_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="cannot be read as Parquet"):
            read(ParquetSource(path=_write(tmp_path / "a.parquet", "text")))

    def test_files_without_rows_are_an_empty_source(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
        with pytest.raises(EmptySourceError, match="holds no row"):
            read(ParquetSource(path=str(tmp_path)))


class TestMemory:
    def test_rows_pandas_and_arrow_give_the_same(self) -> None:
        rows = [{"text": "a", "n": 1}, {"text": "b", "n": 2}]
        listed, framed, table = (
            Memory(rows=rows),
            Memory(rows=pd.DataFrame(rows)),
            Memory(rows=pa.Table.from_pylist(rows)),
        )
        assert listed == framed == table
        assert hash(listed) == hash(framed) == hash(table)
        assert listed.rows.digest == loads(dumps(table)).rows.digest

    @pytest.mark.parametrize(
        "other",
        [
            [{"text": "b"}],
            [{"text": "a"}, {"text": "a"}],
            [{"body": "a"}],
            [{"text": "a", "n": None}],
            [{"text": None}],
        ],
    )
    def test_other_content_is_not_equal(self, other: list[dict[str, object]]) -> None:
        assert Memory(rows=[{"text": "a"}]) != Memory(rows=other)

    @given(
        rows=st.lists(
            st.fixed_dictionaries(
                {
                    "text": st.none() | st.text(max_size=3),
                    "f": st.none() | st.booleans(),
                    "l": st.none() | st.lists(st.none() | st.integers(0, 9), max_size=2),
                }
            ),
            max_size=12,
        ),
        start=st.integers(0, 5),
        length=st.integers(0, 5),
    )
    def test_a_slice_equals_the_same_rows_made_afresh(
        self, rows: list[dict[str, object]], start: int, length: int
    ) -> None:
        schema = pa.schema([("text", pa.string()), ("f", pa.bool_()), ("l", pa.list_(pa.int64()))])
        table = pa.concat_tables([pa.Table.from_pylist(rows, schema), pa.Table.from_pylist(rows, schema)])
        afresh = pa.Table.from_pylist((rows + rows)[start : start + length], schema)
        assert Memory(rows=table.slice(start, length)) == Memory(rows=afresh)

    @given(
        st.lists(
            st.fixed_dictionaries({"text": st.text(), "n": st.integers(-9, 9), "l": st.lists(st.text(), min_size=1)}),
            min_size=1,
        )
    )
    def test_a_spec_brings_the_same_rows_back(self, rows: list[dict[str, object]]) -> None:
        source = Memory(rows=rows)
        assert Memory.model_validate_json(source.model_dump_json()) == source

    @pytest.mark.parametrize(
        "table",
        [
            pa.table({"text": [b"a"]}),
            pa.table({"text": ["a"], "n": pa.array([1], pa.int8())}),
            pa.table({"x": [float("nan")]}),
        ],
    )
    def test_rows_that_a_spec_cannot_bring_back_are_refused(self, table: pa.Table) -> None:
        with pytest.raises(ValueError, match=r"cannot bring back as they are.*ParquetSource"):
            Memory(rows=table).model_dump(mode="json")

    def test_too_many_rows_for_a_spec_are_refused(self) -> None:
        with pytest.raises(ValueError, match="20,000 rows, and a spec at most 10,000"):
            Memory(rows=[{"text": "a"}] * 20_000).model_dump_json()

    @pytest.mark.parametrize("rows", ["text", [1], [{"text": "a"}, {"text": 1}], 5])
    def test_what_is_no_rows_is_refused(self, rows: object) -> None:
        with pytest.raises(ValidationError, match=r"a list of dictionaries|one type each"):
            Memory(rows=rows)

    def test_no_rows_are_an_empty_source(self) -> None:
        with pytest.raises(EmptySourceError, match="holds no rows"):
            read(Memory(rows=pa.table({"text": pa.array([], pa.string())})))

    def test_many_rows_are_several_partitions_numbered_through(self) -> None:
        source = Memory(rows=[{"text": str(number)} for number in range(1, 25_001)])
        with source.plan() as plan:
            assert [partition.key for partition in plan.partitions] == ["memory:1", "memory:10001", "memory:20001"]
        assert all(row["row_id"] == f"memory:{row['text']}" for row in read(source)[0])
