"""The errors of the connectors.

    ConnectorError                the root: catch this to catch them all
    ├── SourceError               reading failed
    │   ├── SourceNotFoundError   the path, the package or the table is not there
    │   ├── EmptySourceError      it is there and holds nothing to read
    │   ├── ConnectionCutError    the connection to a store was cut, time and again
    │   ├── SourceSchemaError     a column that was asked for is absent, or has a type that text cannot have
    │   └── BadRowError           a malformed row was met under ``on_bad_rows="fail"``
    ├── SinkError                 writing failed; nothing of the commit is visible
    │   └── SinkExistsError       the target holds data and the mode forbids touching it
    └── SecretError               a secret's reference cannot be resolved

Every error takes one message, so that it survives pickling between processes.
"""

from __future__ import annotations


class ConnectorError(Exception):
    """Reading from a source or writing to a sink failed."""


class SourceError(ConnectorError):
    """A source cannot be read."""


class SourceNotFoundError(SourceError):
    """The path, the package or the table that a source names does not exist."""


class EmptySourceError(SourceError):
    """A source exists and holds nothing to read."""


class ConnectionCutError(SourceError):
    """The connection to a store was cut while it was read; reading may go on over another one."""


class SourceSchemaError(SourceError):
    """A source lacks a column that was asked for, or holds it in an unusable type."""


class BadRowError(SourceError):
    """A malformed row was met and the source is told to fail on it."""


class SinkError(ConnectorError):
    """A sink cannot be written; nothing of the failed commit is visible."""


class SinkExistsError(SinkError):
    """The target already holds data and the sink's mode forbids touching it."""


class SecretError(ConnectorError):
    """A secret's reference cannot be resolved."""
