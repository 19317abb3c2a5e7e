"""Learning the vocabulary of a tokenizer, the same one each time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

_MIN_OCCURRENCES = 2
"""How often a piece must occur to enter the vocabulary; what occurs once teaches nothing."""


def learn(
    kind: Literal["bpe", "unigram", "wordpiece"], size: int, texts: Iterable[str], special: Sequence[str]
) -> Tokenizer:
    """Learn a tokenizer of at most `size` tokens, which takes a text to ``[CLS]`` pieces ``[SEP]``.

    Pieces of ``bpe`` and ``unigram`` may span what lies between spaces and punctuation, so that in scripts without
    spaces words and phrases become tokens. Those of ``wordpiece`` follow BERT: Chinese characters stand alone.

    Args:
        kind: byte-pair encoding (Sennrich et al. 2016), unigram (Kudo 2018) or WordPiece (as in BERT).
        size: how many tokens at most, the special ones included.
        texts: what to learn from, read once.
        special: the padding, the unknown, the opening and the closing token, which get the ids 0 to 3.
    """
    _, unknown, opening, closing = special
    shared: dict[str, Any] = {"vocab_size": size, "special_tokens": list(special), "show_progress": False}
    if kind == "unigram":
        tokenizer = _phrases(Tokenizer(models.Unigram()))
        trainer: Any = trainers.UnigramTrainer(unk_token=unknown, **shared)
    elif kind == "bpe":
        tokenizer = _phrases(Tokenizer(models.BPE(unk_token=unknown)))
        trainer = trainers.BpeTrainer(min_frequency=_MIN_OCCURRENCES, **shared)
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(min_frequency=_MIN_OCCURRENCES, **shared)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{opening} $A {closing}", special_tokens=[(token, special.index(token)) for token in (opening, closing)]
    )
    return _renumbered(tokenizer, special) if kind == "wordpiece" else tokenizer


def _phrases(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    return tokenizer


def _renumbered(tokenizer: Tokenizer, special: Sequence[str]) -> Tokenizer:
    """Number the tokens in sorted order: the trainer finds the same ones each time, but numbers them at random."""
    state = json.loads(tokenizer.to_str())
    learnt = sorted(set(state["model"]["vocab"]) - set(special))
    state["model"]["vocab"] = {token: position for position, token in enumerate([*special, *learnt])}
    return Tokenizer.from_str(json.dumps(state))
