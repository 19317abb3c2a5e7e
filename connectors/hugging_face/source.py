"""A source of datasets in the form of Hugging Face's package ``datasets``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import model_validator
from typing_extensions import Self

from connectors.columns import ColumnNames, Layout, positions_from
from connectors.errors import EmptySourceError, SourceError, SourceNotFoundError
from connectors.files.partition import MAX_PARTITION_BYTES, MIN_PARTITION_BYTES, WANTED_PARTITIONS
from connectors.files.paths import PathOption, find_files, local_path
from connectors.hugging_face.data import (
    Opened,
    as_columns,
    columns_of,
    errors_of_the_network,
    format_of,
    require_datasets,
    told,
    was_answered,
)
from connectors.secret import Secret
from connectors.source import BATCH_BYTES, BadRow, Partition, PartitionedSource, Plan

_STREAMED_ROWS = 500


@dataclass(frozen=True)
class DatasetPartition(Partition):
    """A run of rows of a dataset, or a shard of one that is streamed.

    Attributes:
        revision: the commit of the hub that was planned; None where there is none.
        found: the columns, with the names of class labels in place of their numbers.
        start: the first row.
        stop: the one that it ends before.
        rows: how many the whole has.
        shard: the shard's number; None where the dataset is not streamed.
        shards: how many there are.
        wanted: the columns of the rows to read; None reads all.
    """

    revision: str | None
    found: pa.Schema
    start: int = 0
    stop: int = 0
    rows: int = 0
    shard: int | None = None
    shards: int = 0
    wanted: tuple[str, ...] | None = None


class HuggingFaceDataset(PartitionedSource):
    """A dataset of the Hugging Face hub, or one in files.

    Class labels, and lists of them, become their names; a number that stands for no class, as -1 does by convention,
    becomes null. No code of a dataset's is ever run. What is not streamed is downloaded, once on each machine, into
    the package's cache (``HF_HOME``), and divided by rows; ``row_id`` is then ``split:row``, from 1. What is streamed
    is divided by its shards (files, as a rule), read as it comes, and kept nowhere; ``row_id`` is ``split:shard:row``.
    All tasks read the commit of the hub that the plan found. Without a connection, set ``HF_HUB_OFFLINE=1``: then what
    is in the cache is read, and files.

    Give exactly one of `name` and `path`.

    Attributes:
        name: of a dataset on the hub: ``OWNER/NAME``.
        path: a directory that ``save_to_disk`` wrote; a directory of data files; a data file, or a glob of such, whose
            suffix says the format; or ``package:NAME/sub/dir``.
        config: the configuration's name, where a dataset has several.
        split: one split: ``train``; or, where the dataset is not streamed, a part of one: ``train[:10%]``.
        data_files: which files of the dataset on the hub, globs; empty leaves it to the dataset.
        revision: a commit, a branch or a tag of the hub.
        streaming: whether rows are read as they come, without a download beforehand.
        token: for datasets that are private or gated, as a reference: ``${env:NAME}`` or ``${file:PATH}``.
        text_column: the column that becomes ``text``.
        label_column: the column that becomes ``label``, and must not be null; None takes one named ``label``, if there
            is one, as it is.
        id_column: a key column that becomes ``row_id``.
    """

    name: str | None = None
    path: PathOption | None = None
    config: str | None = None
    split: str = "train"
    data_files: tuple[str, ...] = ()
    revision: str | None = None
    streaming: bool = False
    token: Secret | None = None
    text_column: str = "text"
    label_column: str | None = None
    id_column: str | None = None

    @model_validator(mode="after")
    def _has_one_of_both(self) -> Self:
        if (self.name is None) == (self.path is None):
            raise ValueError("give either 'name' (on the hub) or 'path' (in files), and not both")
        of_the_hub = [one for one in ("data_files", "revision", "token") if getattr(self, one)]
        if of_the_hub and self.name is None:
            raise ValueError(f"{of_the_hub[0]!r} goes with 'name'; files are given by 'path' alone")
        if self.streaming and "[" in self.split:
            raise ValueError(f"a part of a split, as {self.split!r}, cannot be streamed; set streaming: false")
        return self

    def read_schema(self) -> pa.Schema:
        """Return the dataset's columns; see `PartitionedSource.read_schema`."""
        with self._told():
            return self._layout(columns_of(self._open(self.revision))).schema

    def partitions(self) -> Sequence[Partition]:
        """Return runs of rows, or shards; see `PartitionedSource.partitions`."""
        with self._told():
            revision = self._commit()
            opened = self._open(revision)
            if self.streaming:
                found, shards = columns_of(opened), opened.num_shards
                self._layout(found)
                return [
                    DatasetPartition(f"{self.split}:{shard}", revision, found, shard=shard, shards=shards)
                    for shard in range(shards)
                ]
            rows, size = opened.num_rows, opened.data.nbytes
            if not rows:
                raise self._empty()
            found = columns_of(opened)
            self._layout(found)
        target = min(MAX_PARTITION_BYTES, max(MIN_PARTITION_BYTES, size // WANTED_PARTITIONS))
        step = max(1, rows * target // max(1, size))
        return [
            DatasetPartition(f"{self.split}:{start}", revision, found, start, min(start + step, rows), rows)
            for start in range(0, rows, step)
        ]

    @contextmanager
    def plan(
        self,
        *,
        since: str | None = None,
        columns: Sequence[str] | None = None,
        predicate: pc.Expression | None = None,
    ) -> Iterator[Plan]:
        """Yield runs of rows, or shards; see `PartitionedSource.plan`. The predicate is not used."""
        wanted = None if columns is None else tuple(columns)
        with super().plan(since=since) as plan:
            parts = [replace(one, wanted=wanted) for one in plan.partitions if isinstance(one, DatasetPartition)]
            yield Plan(parts, plan.cursor)

    def read(self, partition: Partition) -> Iterator[pa.RecordBatch | BadRow]:
        """Yield the rows of a partition.

        Raises:
            SourceError: the dataset is another one than was planned.
        """
        assert isinstance(partition, DatasetPartition)
        layout = self._layout(partition.found).narrowed(partition.wanted)
        found = pa.schema([partition.found.field(name) for name in layout.sources])
        name = self.split if partition.shard is None else partition.key
        with self._told():
            opened = self._open(partition.revision)
            done = partition.start
            for table in self._tables(opened, partition, found.names):
                batch = as_columns(table, opened, found, self._origin())
                positions = positions_from(done + 1, batch.num_rows)
                done += batch.num_rows
                yield from layout.rows(batch, positions, origin=self._origin(), name=name)

    def _tables(self, opened: Opened, partition: DatasetPartition, columns: Sequence[str]) -> Iterator[pa.Table]:
        if partition.shard is not None:
            if opened.num_shards != partition.shards:
                raise SourceError(f"{self._origin()} had {partition.shards} shards, and has others now; run again")
            shard = opened.shard(num_shards=partition.shards, index=partition.shard)
            yield from shard.with_format("arrow").iter(batch_size=_STREAMED_ROWS)
            return
        if opened.num_rows != partition.rows:
            raise SourceError(f"{self._origin()} had {partition.rows:,} rows, and has others now; run again")
        # The files are mapped into memory, and what is not selected is not looked at.
        plain = opened.select_columns(list(columns)).with_format("arrow")
        step = max(1, BATCH_BYTES * plain.num_rows // max(1, plain.data.nbytes))
        for start in range(partition.start, partition.stop, step):
            yield plain[start : min(start + step, partition.stop)]

    def _open(self, revision: str | None) -> Any:
        """Return the split, as the package has it."""
        datasets = require_datasets()
        if self.path is not None:
            return self._open_files(datasets)
        return datasets.load_dataset(
            self.name,
            self.config,
            split=self.split,
            data_files=list(self.data_files) or None,
            revision=revision,
            streaming=self.streaming,
            token=self.token.resolve().get_secret_value() if self.token is not None else None,
        )

    def _open_files(self, datasets: Any) -> Any:
        assert self.path is not None
        place = local_path(self.path)
        if (place / "state.json").is_file() or (place / "dataset_dict.json").is_file():
            return self._saved(datasets, place)
        options = {"split": self.split, "streaming": self.streaming}
        if place.is_dir():
            return datasets.load_dataset(str(place), self.config, **options)
        files = [str(local_path(file.address)) for file in find_files(self.path)]
        return datasets.load_dataset(format_of(files), data_files=files, **options)

    def _saved(self, datasets: Any, place: Path) -> Any:
        """Return a split that ``save_to_disk`` wrote."""
        if "[" in self.split:
            raise SourceError(
                f"{self._origin()}: of what save_to_disk wrote, whole splits are read, not {self.split!r}"
            )
        if (place / "dataset_dict.json").is_file():
            splits = json.loads((place / "dataset_dict.json").read_text("utf-8"))["splits"]
            if self.split not in splits:
                raise SourceNotFoundError(
                    f"{self._origin()} has no split {self.split!r}; it has: {', '.join(splits)}; name one in the "
                    "option 'split'"
                )
            place = place / self.split
        if not json.loads((place / "state.json").read_text("utf-8"))["_data_files"]:
            raise self._empty()
        saved = datasets.load_from_disk(str(place))
        return saved.to_iterable_dataset(num_shards=max(1, len(saved.cache_files))) if self.streaming else saved

    def _empty(self) -> EmptySourceError:
        return EmptySourceError(f"{self._origin()}, split {self.split}, holds no rows")

    def _commit(self) -> str | None:
        """Return the commit that the revision stands for just now; without a connection, the revision."""
        if self.name is None:
            return None
        from huggingface_hub import HfApi

        token = self.token.resolve().get_secret_value() if self.token is not None else None
        try:
            return HfApi(token=token).dataset_info(self.name, revision=self.revision, timeout=30).sha or self.revision
        except errors_of_the_network() as error:
            if self.streaming or was_answered(error):
                raise
            return self.revision

    def _told(self) -> Any:
        return told(self._origin(), self.token.resolve().get_secret_value() if self.token is not None else None)

    def _origin(self) -> str:
        return f"the dataset {self.name if self.name is not None else self.path}"

    def _layout(self, found: pa.Schema) -> Layout:
        return ColumnNames(self.text_column, self.label_column, self.id_column).over(found, self._origin())
