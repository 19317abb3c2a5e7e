"""The steps between a source and the hand-over, and the contracts for one's own.

Importing this imports neither Spark nor Ray, so that a server can load the row steps alone.
"""

from __future__ import annotations

from pipelines.steps.arrow_function import ArrowFunction
from pipelines.steps.clean.lowercase import Lowercase
from pipelines.steps.clean.normalize_urls import NormalizeUrls
from pipelines.steps.clean.simplify_chinese import SimplifyChinese
from pipelines.steps.clean.strip_html import StripHtml
from pipelines.steps.corpus.balance import Balance
from pipelines.steps.corpus.decontaminate import Decontaminate
from pipelines.steps.corpus.deduplicate_lines import DeduplicateLines
from pipelines.steps.corpus.group_split import GroupSplit, TimeSplit
from pipelines.steps.corpus.join_table import JoinTable
from pipelines.steps.corpus.sample import Sample
from pipelines.steps.corpus.shuffle import Shuffle
from pipelines.steps.corpus.strip_boilerplate import StripBoilerplate
from pipelines.steps.deduplicate import Deduplicate
from pipelines.steps.deduplicate_near import DeduplicateNear
from pipelines.steps.detect_language import DetectLanguage
from pipelines.steps.map_labels import MapLabels
from pipelines.steps.normalize_text import NormalizeText
from pipelines.steps.python_row import PythonRow
from pipelines.steps.quality.c4_quality import C4Quality
from pipelines.steps.quality.fineweb_quality import FineWebQuality
from pipelines.steps.quality.flagged_words import FlaggedWords
from pipelines.steps.quality.gopher_quality import GopherQuality
from pipelines.steps.quality.gopher_repetition import GopherRepetition
from pipelines.steps.quality.length import Length
from pipelines.steps.quality.model_quality import ModelQuality
from pipelines.steps.redact_pii import RedactPii
from pipelines.steps.select_columns import SelectColumns
from pipelines.steps.shape.chunk import Chunk
from pipelines.steps.shape.count_tokens import CountTokens
from pipelines.steps.shape.keywords import Keywords
from pipelines.steps.shape.ngram_features import NgramFeatures
from pipelines.steps.shape.segment_chinese import SegmentChinese
from pipelines.steps.shape.split_sentences import SplitSentences
from pipelines.steps.shape.tokenize import Tokenize
from pipelines.steps.split import Split
from pipelines.steps.sql import Sql
from pipelines.steps.step import Outcome, RowStep, Step, TableStep
from pipelines.steps.word_count import WordCount

__all__ = [
    "ArrowFunction",
    "Balance",
    "C4Quality",
    "Chunk",
    "CountTokens",
    "Decontaminate",
    "Deduplicate",
    "DeduplicateLines",
    "DeduplicateNear",
    "DetectLanguage",
    "FineWebQuality",
    "FlaggedWords",
    "GopherQuality",
    "GopherRepetition",
    "GroupSplit",
    "JoinTable",
    "Keywords",
    "Length",
    "Lowercase",
    "MapLabels",
    "ModelQuality",
    "NgramFeatures",
    "NormalizeText",
    "NormalizeUrls",
    "Outcome",
    "PythonRow",
    "RedactPii",
    "RowStep",
    "Sample",
    "SegmentChinese",
    "SelectColumns",
    "Shuffle",
    "SimplifyChinese",
    "Split",
    "SplitSentences",
    "Sql",
    "Step",
    "StripBoilerplate",
    "StripHtml",
    "TableStep",
    "TimeSplit",
    "Tokenize",
    "WordCount",
]
