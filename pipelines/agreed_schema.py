"""The schema that a pipeline has agreed on with its source: kept beside its run records, for its schema contract.

    runs/<pipeline>/schema.json      each column's name and type, and the run that they are from

It is learnt from the first run that ends well, and renewed by later ones that end well where the contract lets it
evolve: after the sink's commit, and as a whole. A run that is cut short anywhere leaves the one before, and what it had
found is drift again to the next.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from connectors.source import LABEL, TEXT
from pipelines.durable_file import replace_file, sync_directory
from pipelines.errors import SchemaDriftError, StateError
from pipelines.read_state import ReadState
from pipelines.schema_conformance import Conformance, ConformToSchema, conform
from pipelines.schema_contract import SchemaContract

if TYPE_CHECKING:
    from pipelines.pipeline import Pipeline

SCHEMA_VERSION = 1
"""The version of the form of ``schema.json``."""

_SHOWN_FAULTS = 20


@dataclass(frozen=True)
class AgreedSchema:
    """What ``schema.json`` says.

    Attributes:
        schema: the columns, without ``row_id``.
        run_id: the run that they are from.
        updated: when this was written, in ISO 8601 (UTC).
    """

    schema: pa.Schema
    run_id: str
    updated: str

    @property
    def columns(self) -> dict[str, str]:
        """The types by column, as text."""
        return {field.name: str(field.type) for field in self.schema}


class Agreement:
    """What a run makes of the columns it finds; see `of`."""

    def __init__(
        self, path: Path, name: str, contract: SchemaContract, required: tuple[str, ...], notice: Callable[[str], None]
    ) -> None:
        """Use `of`."""
        self._path, self._name, self._contract, self._required = path, name, contract, required
        self._notice = notice
        self._noticed: set[str] = set()
        self._latest: Conformance | None = None
        self.agreed = read_schema(path)

    @classmethod
    def of(cls, pipeline: Pipeline, runs: Path, notice: Callable[[str], None]) -> Agreement | None:
        """Return the agreement of a pipeline that has a contract; None for one that has none.

        Args:
            pipeline: the pipeline.
            runs: the directory of all run records.
            notice: is told of each drift, once.

        Raises:
            StateError: what was agreed on cannot be read.
        """
        if pipeline.schema_contract is None:
            return None
        required = (TEXT,) if pipeline.train is None else (TEXT, LABEL)
        return cls(schema_path(runs, pipeline.name), pipeline.name, pipeline.schema_contract, required, notice)

    def conform(self, found: pa.Schema) -> ConformToSchema:
        """Return what is to be done to rows of the columns `found`; the latest that was asked for is what is kept.

        Raises:
            SchemaDriftError: the contract does not allow what was found; all of it.
            SourceSchemaError: two columns have one name.
        """
        agreed = self.agreed.schema if self.agreed is not None else None
        conformance = conform(agreed, found, self._contract, self._required)
        if conformance.faults:
            raise SchemaDriftError(self._message(conformance.faults))
        for text in conformance.notices:
            if text not in self._noticed:
                self._noticed.add(text)
                self._notice(text)
        self._latest = conformance
        return conformance.step

    def keep(self, run_id: str) -> None:
        """Agree on what was found, at the end of a run; nothing is written where it is what was agreed on before.

        Raises:
            StateError: it cannot be written; what was agreed on before stays.
        """
        if self._latest is None or (self.agreed is not None and self._latest.agreed.equals(self.agreed.schema)):
            return
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.agreed = AgreedSchema(self._latest.agreed, run_id, now)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, _to_json(self.agreed))
        except OSError as error:
            raise StateError(f"{self._path} cannot be written: {error}; the schema agreed on is as before") from error

    def _message(self, faults: tuple[str, ...]) -> str:
        lines = [f"\n  {fault}" for fault in faults[:_SHOWN_FAULTS]]
        if len(faults) > _SHOWN_FAULTS:
            lines.append(f"\n  … and {len(faults) - _SHOWN_FAULTS} more")
        return (
            f"the columns are not as agreed on in {self._path} (schema_contract: {self._contract}):{''.join(lines)}\n"
            "nothing was read or written; mend the source, or let the contract say evolve or quarantine, or agree on "
            f"these columns in the next run: headrace state reset {self._name} --schema"
        )


def schema_path(runs: Path, pipeline: str) -> Path:
    """Return where the schema that a pipeline has agreed on is."""
    return runs / pipeline / "schema.json"


def read_schema(path: Path) -> AgreedSchema | None:
    """Return what a file says of the schema agreed on; None where there is none.

    Raises:
        StateError: it is damaged, was edited, or is of a later version.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        if said["version"] != SCHEMA_VERSION:
            raise StateError(f"{path} is of a later version; upgrade headrace")
        with pa.BufferReader(base64.b64decode(said["arrow"], validate=True)) as stream:
            found = AgreedSchema(pa.ipc.read_schema(stream), said["run_id"], said["updated"])
        if found.columns != said["columns"]:
            raise ValueError("columns and arrow do not say the same")
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise StateError(
            f"{path} cannot be read ({error}); restore it from a copy, or have the next run agree on what it finds: "
            f"headrace state reset {path.parent.name} --schema"
        ) from error


def reset_schema(runs: Path, pipeline: str) -> bool:
    """Forget what a pipeline has agreed on, so that the next run that ends well agrees on what it finds.

    Returns:
        Whether there was something to forget.

    Raises:
        StateError: an incremental run is under way.
    """
    path = schema_path(runs, pipeline)
    if not path.exists():
        return False
    with ReadState.hold(runs, pipeline):
        path.unlink(missing_ok=True)
        sync_directory(path.parent)
    return True


def _to_json(agreed: AgreedSchema) -> str:
    # The text of a type does not tell all types apart, so Arrow's own form stands beside it.
    arrow = base64.b64encode(agreed.schema.serialize().to_pybytes()).decode("ascii")
    said = {
        "version": SCHEMA_VERSION,
        "columns": agreed.columns,
        "run_id": agreed.run_id,
        "updated": agreed.updated,
        "arrow": arrow,
    }
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"
