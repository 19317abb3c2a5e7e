"""What a session is asked to be; free of Ray and Spark, so that a spec can hold it."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connectors.options import Items
from connectors.secret import Secret, SettingValue, sounds_secret

HADOOP_PREFIX = "spark.hadoop."
"""Settings with this prefix reach Hadoop's file systems, and can be given to a Spark that already runs."""

_RUNTIME_PREFIXES = (HADOOP_PREFIX, "spark.sql.")
_SIZE = re.compile(r"(\d+)([kmgt])b?", re.IGNORECASE)
_UNITS = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class SessionOptions(BaseModel):
    """The resources and settings of a session.

    Attributes:
        executors: how many Spark executors, each a Ray actor.
        executor_cores: how many cores each executor takes from Ray.
        executor_memory: heap of each executor, as Spark writes sizes (``1g``, ``512m``).
        address: the Ray cluster to join (``auto`` or ``host:port``); None starts Ray in this process.
        dashboard: whether a Ray that is started here serves its dashboard and its state API.
        object_store_memory: the size of the object store of a Ray that is started here; None leaves it to
            Ray.
        spark_conf: further Spark settings. A value may be a secret reference (``${env:NAME}``,
            ``${file:PATH}``), which is kept off every command line and given to Spark once it runs.
        start_timeout: seconds within which Ray and Spark must have started.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    executors: int = Field(default=1, ge=1)
    executor_cores: int = Field(default=1, ge=1)
    executor_memory: str = "1g"
    address: str | None = None
    dashboard: bool = False
    object_store_memory: str | None = None
    spark_conf: Items[SettingValue] = Field(
        default=(), json_schema_extra={"additionalProperties": {"type": ["string", "number", "boolean"]}}
    )
    start_timeout: float = Field(default=180.0, gt=0)

    @field_validator("spark_conf")
    @classmethod
    def _secrets_stay_off_command_lines(
        cls, value: tuple[tuple[str, Secret | str], ...]
    ) -> tuple[tuple[str, Secret | str], ...]:
        for key, item in value:
            if isinstance(item, str) and sounds_secret(key):
                raise ValueError(
                    f"{key}: its name says that it is a secret, and settings are seen on the JVMs' command "
                    "lines; give it by reference, as ${env:NAME} or ${file:PATH}"
                )
            if isinstance(item, Secret) and not key.startswith(_RUNTIME_PREFIXES):
                raise ValueError(
                    f"{key}: a secret can only be given to a Spark that runs already, and this one is read "
                    f"when it starts; settings that can be secret begin with {' or '.join(_RUNTIME_PREFIXES)}"
                )
        return value

    @field_validator("executor_memory", "object_store_memory")
    @classmethod
    def _is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            parse_size(value)
        return value


def parse_size(text: str) -> int:
    """Return the bytes that a size such as ``512m`` or ``2g`` stands for (powers of 1024, as Spark counts).

    Raises:
        ValueError: it is not written like that.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a size; write a whole number and a unit, like 512m or 2g")
    number, unit = match.groups()
    return int(number) * _UNITS[unit.lower()]
