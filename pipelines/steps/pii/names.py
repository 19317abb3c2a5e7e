"""Finding people's names, by Presidio with a model of spaCy's."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from pipelines.errors import StepError
from pipelines.steps.pii.recogniser import Span

_AT_ONCE = 100_000
"""How many characters a model is given at once: spaCy takes no more than a million, and some memory for each."""

_STRETCH = re.compile(rf"[\s\S]{{1,{_AT_ONCE}}}(?!\S)|[\s\S]{{1,{_AT_ONCE}}}")
"""A stretch of a text for a model, which ends where a word does if it can."""


@lru_cache(maxsize=4)
def person_names(model: str) -> Callable[[str], Iterator[Span]]:
    """Return what finds the names of people in a text, after loading the model, which takes some seconds.

    Args:
        model: an installed package of spaCy's, e.g. ``en_core_web_lg``, or a directory that a pipeline was saved in;
            it must label entities. Its language is that of the texts.

    Raises:
        StepError: Presidio or the model is not installed.
    """
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError:
        raise StepError(
            'names are found by Presidio, which is not installed; run: pip install "headrace[names]"'
        ) from None
    try:
        pipeline = spacy.load(model)
    except OSError:
        raise StepError(
            f"there is no model {model!r} of spaCy's, neither as a package nor as a directory; "
            f"run: python -m spacy download {model}, or leave name_model out"
        ) from None
    language = str(pipeline.lang)
    engine = SpacyNlpEngine()
    engine.nlp = {language: pipeline}  # type: ignore[assignment]  # how Presidio takes one that is loaded
    people = SpacyRecognizer(supported_language=language, supported_entities=[_PERSON])
    registry = RecognizerRegistry(recognizers=[people], supported_languages=[language])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])

    def find(text: str) -> Iterator[Span]:
        for stretch in _STRETCH.finditer(text):
            found = analyzer.analyze(stretch[0], language=language, entities=[_PERSON])
            for one in sorted(found, key=lambda one: (one.start, -one.end)):
                yield Span(stretch.start() + one.start, stretch.start() + one.end)

    return find


_PERSON = "PERSON"
"""What Presidio calls a person's name."""
