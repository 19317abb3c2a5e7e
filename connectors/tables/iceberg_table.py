"""Reaching an Iceberg table: its catalog, its files, and what the library's errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import pyarrow as pa
from pydantic import AfterValidator, BaseModel, Field

from connectors.arrow_types import change_leaves, plain_type
from connectors.errors import ConnectorError, SourceError, SourceNotFoundError
from connectors.object_store.store_options import StoreOptions, resolved, told

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table


def _in_a_namespace(table: str) -> str:
    if not all(part.strip() for part in table.split(".")) or "." not in table:
        raise ValueError(f"a table is named with its namespace, as in 'news.articles'; got {table!r}")
    return table


class IcebergOptions(BaseModel):
    """The options by which an Iceberg table is reached.

    Attributes:
        table: its name, behind that of its namespace: ``news.articles``.
        catalog: the catalog's name, by which a SQL catalog tells its tables from those of others.
        properties: how the catalog and its storage are reached, by PyIceberg's names: ``type`` (``sql``, ``rest``,
            ``glue``, ``hive``), ``uri``, ``warehouse``, ``s3.region``, …; keys, tokens and addresses with a password as
            references: ``${env:NAME}`` or ``${file:PATH}``. Executors read data files with these properties alone.
    """

    table: Annotated[str, AfterValidator(_in_a_namespace)]
    catalog: str = Field(default="default", min_length=1)
    properties: StoreOptions = ()

    @contextmanager
    def opened(self, failure: type[ConnectorError]) -> Iterator[Catalog]:
        """Yield the catalog.

        Raises:
            ConnectorError: an error of kind `failure`: the library is missing, or the catalog cannot be reached.
        """
        try:
            from pyiceberg.catalog import load_catalog
        except ImportError as error:
            raise failure(f"pyiceberg is missing ({error}); pip install 'headrace[iceberg]'") from error
        with self.faults(failure):
            catalog = load_catalog(self.catalog, **resolved(self.properties))
        try:
            yield catalog
        finally:
            catalog.close()

    def load_table(self, catalog: Catalog, failure: type[ConnectorError]) -> Table:
        """Return the table as it is now.

        Raises:
            SourceNotFoundError: there is none, and `failure` is of a source.
            ConnectorError: an error of kind `failure`: there is none, or it cannot be loaded.
        """
        from pyiceberg.exceptions import NoSuchTableError

        with self.faults(failure):
            try:
                return catalog.load_table(self.table)
            except NoSuchTableError:
                kind = SourceNotFoundError if failure is SourceError else failure
                raise kind(
                    f"there is no Iceberg table {self.table} in the catalog {self.catalog!r}; check the options "
                    "'table' and 'catalog', by whose name a SQL catalog knows its tables"
                ) from None

    def has_table(self, catalog: Catalog, failure: type[ConnectorError]) -> bool:
        """Tell whether there is a table."""
        with self.faults(failure):
            return catalog.table_exists(self.table)

    @contextmanager
    def faults(self, failure: type[ConnectorError], what: str = "") -> Iterator[None]:
        """Turn the library's errors into `failure`, with the table's name and no secret."""
        try:
            yield
        except ConnectorError:
            raise
        # The library raises its own errors, which have no common root, and those of Arrow and of the catalog's driver.
        except Exception as error:
            said = told(error, self.properties)
            cure = next((cure for sign, cure in _CURES if sign in f"{type(error).__name__}: {said}"), "")
            message = f"the Iceberg table {self.table} (catalog {self.catalog!r}){what}: {said}"
            # Not chained, as the library's own error may hold a secret.
            raise failure(message + (f"; {cure}" if cure else "")) from None


_CURES = (
    ("equality deletes", "rewrite the table's data files, which applies them, or read a copy"),
    ("Unsupported file format", "rewrite the table's data files as Parquet"),
    ("Unsupported table", "upgrade pyiceberg"),
    ("NoSuchNamespace", "create the namespace, or name another one in the option 'table'"),
    ("Unauthorized", "check the credentials in 'properties'"),
    ("Forbidden", "check the credentials in 'properties', and what they permit"),
    ("ACCESS_DENIED", "check the keys in 'properties', and what they permit"),
    ("unable to open database file", "check the option 'properties': a sqlite file is given by its absolute path"),
    ("authentication failed", "check user and password"),
    ("unsupported type", "convert the column, or leave it out"),
    ("is not a supported", "convert the column, or leave it out"),
)


def filesystem_of(table: Table) -> tuple[FileSystem, str]:
    """Return the file system that a table is on, and the path of the table there."""
    from pyiceberg.io.pyarrow import PyArrowFileIO

    files = PyArrowFileIO(table.io.properties)
    scheme, host, path = files.parse_location(table.location(), table.io.properties)
    return files.fs_by_scheme(scheme, host), path


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the columns with the types in which they are stored: Iceberg's, and times in UTC."""
    return pa.schema(
        [pa.field(one.name, change_leaves(plain_type(one.type), _stored, nullable=True)) for one in schema]
    )


def arrow_schema(schema: Any) -> pa.Schema:
    """Return the columns of an Iceberg schema in Arrow's types, as rows have them."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    found = schema_to_pyarrow(schema, include_field_ids=False)
    return pa.schema([field.with_type(plain_type(field.type)) for field in found])


def _stored(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp("us", "UTC")
    return pa.int32() if kind in (pa.int8(), pa.int16()) else kind
