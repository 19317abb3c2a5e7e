"""The steps between a source and the hand-over, and the contracts for one's own.

Importing this imports neither Spark nor Ray, so that a server can load the row steps alone.
"""

from __future__ import annotations

from pipelines.steps.arrow_function import ArrowFunction
from pipelines.steps.deduplicate import Deduplicate
from pipelines.steps.deduplicate_near import DeduplicateNear
from pipelines.steps.detect_language import DetectLanguage
from pipelines.steps.map_labels import MapLabels
from pipelines.steps.normalize_text import NormalizeText
from pipelines.steps.quality.c4_quality import C4Quality
from pipelines.steps.quality.fineweb_quality import FineWebQuality
from pipelines.steps.quality.gopher_quality import GopherQuality
from pipelines.steps.quality.gopher_repetition import GopherRepetition
from pipelines.steps.redact_pii import RedactPii
from pipelines.steps.select_columns import SelectColumns
from pipelines.steps.split import Split
from pipelines.steps.sql import Sql
from pipelines.steps.step import Outcome, RowStep, Step, TableStep
from pipelines.steps.word_count import WordCount

__all__ = [
    "ArrowFunction",
    "C4Quality",
    "Deduplicate",
    "DeduplicateNear",
    "DetectLanguage",
    "FineWebQuality",
    "GopherQuality",
    "GopherRepetition",
    "MapLabels",
    "NormalizeText",
    "Outcome",
    "RedactPii",
    "RowStep",
    "SelectColumns",
    "Split",
    "Sql",
    "Step",
    "TableStep",
    "WordCount",
]
