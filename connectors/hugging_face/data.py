"""Opening datasets of Hugging Face's, and taking their rows as Arrow."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from connectors.errors import ConnectorError, SourceError, SourceNotFoundError, SourceSchemaError

if TYPE_CHECKING:
    import datasets

Opened: TypeAlias = "datasets.Dataset | datasets.IterableDataset"

_FORMATS = {
    ".json": "json", ".jsonl": "json", ".ndjson": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet",
    ".arrow": "arrow", ".txt": "text",
}  # fmt: skip
"""The formats of data files that the package ``datasets`` is told to read by their suffixes."""

_COMPRESSED = (".gz", ".zst", ".bz2", ".xz")


def require_datasets() -> Any:
    """Return the package ``datasets``.

    Raises:
        SourceError: it is missing.
    """
    try:
        import datasets
    except ImportError as error:
        raise SourceError(
            f"HuggingFaceDataset needs datasets ({error}); pip install 'headrace[huggingface]'"
        ) from error
    return datasets


def format_of(files: Sequence[str]) -> str:
    """Return the format of data files, by their suffixes.

    Raises:
        SourceError: a suffix says none, or they say different ones.
    """
    formats: dict[str, str] = {}
    for file in files:
        name = file.lower()
        for suffix in _COMPRESSED:
            name = name.removesuffix(suffix)
        found = next((kind for suffix, kind in _FORMATS.items() if name.endswith(suffix)), None)
        if found is None:
            raise SourceError(f"{file}: its suffix says no format that datasets can read; known: {', '.join(_FORMATS)}")
        formats.setdefault(found, file)
    if len(formats) > 1:
        raise SourceError(f"{' and '.join(list(formats.values())[:2])} are of different formats; name files of one")
    return next(iter(formats))


@contextmanager
def told(origin: str, secret: str | None) -> Iterator[None]:
    """Turn the errors of the package ``datasets`` into ours, and keep it from drawing progress bars.

    Args:
        origin: what is opened, for people.
        secret: what must not be shown.

    Raises:
        SourceNotFoundError: there is no such dataset, configuration or split, or no such file.
        SourceError: it cannot be reached, or read.
    """
    datasets = require_datasets()
    drawn = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    except ConnectorError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        StopIteration,
        datasets.exceptions.DatasetsError,
        *errors_of_the_network(),
    ) as error:
        raise _as_said(origin, error, secret) from None
    finally:
        if drawn:
            datasets.enable_progress_bars()


def errors_of_the_network() -> tuple[type[BaseException], ...]:
    """Return the errors by which the hub's client says that it cannot be reached, or what it answers."""
    # The client is built on one or the other, and hands on what that raises.
    clients = [sys.modules[name] for name in ("httpx", "httpx2", "requests") if name in sys.modules]
    found = [getattr(client, "HTTPError", None) or client.RequestException for client in clients]
    return (ConnectionError, *found)


def was_answered(error: BaseException) -> bool:
    """Tell whether the hub itself says that there is no such thing for us, rather than that it cannot be reached."""
    return getattr(getattr(error, "response", None), "status_code", None) in (401, 403, 404)


def columns_of(opened: Opened) -> pa.Schema:
    """Return the columns of a dataset, with the names of class labels in place of their numbers."""
    schema = opened.features.arrow_schema if opened.features is not None else _first(opened).schema
    return pa.schema([(field.name, _type(opened, field)) for field in schema])


def as_columns(table: pa.Table, opened: Opened, found: pa.Schema, origin: str) -> pa.RecordBatch:
    """Return rows of a dataset as one batch of the columns `found`.

    Raises:
        SourceSchemaError: they have other columns, as may be where a file differs from the first one.
    """
    arrays = []
    for field in found:
        if field.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table.column(field.name).combine_chunks()
        column = column.storage if isinstance(column, pa.ExtensionArray) else column
        names = _names(opened, field.name)
        try:
            arrays.append((_named(column, names) if names is not None else column).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceSchemaError(
                f"{origin}: column {field.name!r} is {column.type} in some rows and {field.type} in others, and cannot "
                f"be both ({error}); read it without streaming, or convert it"
            ) from error
    return pa.RecordBatch.from_arrays(arrays, schema=found)


def _first(opened: Opened) -> pa.Table:
    return next(iter(opened.with_format("arrow").iter(batch_size=100)))


def _names(opened: Opened, column: str) -> list[str] | None:
    """Return the names of a column of class labels, or of lists of them."""
    datasets = require_datasets()
    feature = (opened.features or {}).get(column)
    if isinstance(feature, list) and feature:
        feature = feature[0]
    inner = getattr(feature, "feature", feature)
    return list(inner.names) if isinstance(inner, datasets.ClassLabel) and inner.names else None


def _type(opened: Opened, field: pa.Field) -> pa.DataType:
    kind = field.type.storage_type if isinstance(field.type, pa.ExtensionType) else field.type
    if _names(opened, field.name) is None:
        return kind
    return pa.list_(pa.string()) if _is_list(kind) else pa.string()


def _named(column: pa.Array, names: list[str]) -> pa.Array:
    """Return class labels by name; a number that stands for no class, as -1 does by convention, is null."""
    if _is_list(column.type):
        # Flattened lists leave out what null lists hide, so they are counted anew.
        lengths = pc.fill_null(pc.list_value_length(column), 0)
        ends = pc.cumulative_sum(lengths.cast(pa.int32()))
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), ends])
        mask = column.is_null() if column.null_count else None
        return pa.ListArray.from_arrays(offsets, _named(pc.list_flatten(column), names), mask=mask)
    known = pc.and_(pc.greater_equal(column, 0), pc.less(column, len(names)))
    return pa.array(names, pa.string()).take(pc.if_else(known, column, None))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _as_said(origin: str, error: BaseException, secret: str | None) -> SourceError:
    cause = error.__cause__ or error.__context__
    said = " ".join(str(error).split()) or type(error).__name__
    if cause is not None and "generating the dataset" in said:
        said += f" ({' '.join(str(cause).split())})"
    said = said.replace(secret, "***") if secret else said
    if isinstance(error, StopIteration):
        return SourceNotFoundError(f"{origin}: no file matches, or all are empty; check 'path' or 'data_files'")
    if isinstance(error, errors_of_the_network()) and not was_answered(error):
        return SourceError(
            f"{origin} cannot be reached: {said}; check the connection (and HF_HUB_OFFLINE), or download the dataset "
            "beforehand and give its directory as 'path'"
        )
    if isinstance(error, FileNotFoundError) or was_answered(error):
        return SourceNotFoundError(
            f"{origin} is not there: {said}; check the name; a private or gated dataset needs the option 'token'"
        )
    if isinstance(error, ValueError) and any(word in said for word in ("split", "BuilderConfig", "Config name")):
        return SourceNotFoundError(f"{origin}: {said}; check 'split' and 'config'")
    return SourceError(f"{origin} cannot be read: {said[:1000]}")
