"""Raw text in, an evaluated text classifier out.

    from pipelines import Pipeline, Session, load

    result = load("news_topics.yaml").run()

What needs Ray or Spark is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.errors import PipelineError, SpecError

if TYPE_CHECKING:
    from pipelines.bundle import Bundle
    from pipelines.handback import to_spark
    from pipelines.handoff import to_ray
    from pipelines.pipeline import Pipeline
    from pipelines.session import Session
    from pipelines.spec import load

__all__ = ["Bundle", "Pipeline", "PipelineError", "Session", "SpecError", "load", "to_ray", "to_spark"]

_HOMES = {
    "Bundle": "pipelines.bundle",
    "Pipeline": "pipelines.pipeline",
    "Session": "pipelines.session",
    "load": "pipelines.spec",
    "to_ray": "pipelines.handoff",
    "to_spark": "pipelines.handback",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
