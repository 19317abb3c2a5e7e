"""The steps between a source and the hand-over, and the contracts for one's own.

Importing this imports neither Spark nor Ray, so that a server can load the row steps alone.
"""

from __future__ import annotations

from pipelines.steps.arrow_function import ArrowFunction
from pipelines.steps.deduplicate import Deduplicate
from pipelines.steps.map_labels import MapLabels
from pipelines.steps.normalize_text import NormalizeText
from pipelines.steps.select_columns import SelectColumns
from pipelines.steps.split import Split
from pipelines.steps.sql import Sql
from pipelines.steps.step import Outcome, RowStep, Step, TableStep
from pipelines.steps.word_count import WordCount

__all__ = [
    "ArrowFunction",
    "Deduplicate",
    "MapLabels",
    "NormalizeText",
    "Outcome",
    "RowStep",
    "SelectColumns",
    "Split",
    "Sql",
    "Step",
    "TableStep",
    "WordCount",
]
