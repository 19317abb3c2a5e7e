from __future__ import annotations

import json
from typing import Literal

import pytest

from training.encoder import ScratchEncoder, learn_tokenizer
from training.errors import EncoderError

CHINESE = ["我很喜欢这本书，内容很好", "这本书不好，我不喜欢", "酒店很好，服务很好", "酒店不好，服务很差"] * 10
ENGLISH = ["The match was won by a late goal", "The bank's shares fell", "A goal won the match"] * 10


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_a_text_is_cut_into_known_pieces_between_an_opening_and_a_closing(
    kind: Literal["bpe", "unigram", "wordpiece"],
) -> None:
    tokenizer = learn_tokenizer(ScratchEncoder(vocabulary=150, tokenizer=kind), CHINESE + ENGLISH)
    assert [tokenizer.token_to_id(token) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")] == [0, 1, 2, 3]
    for text in (CHINESE[0], ENGLISH[0]):
        tokens = tokenizer.encode(text).tokens
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
        assert "[UNK]" not in tokens
    assert tokenizer.encode("☃").ids == [2, 1, 3]
    assert tokenizer.get_vocab_size() <= 150


def test_pieces_span_chinese_words_except_those_of_wordpiece() -> None:
    pieces = learn_tokenizer(ScratchEncoder(vocabulary=150), CHINESE).encode("酒店很好").tokens[1:-1]
    characters = (
        learn_tokenizer(ScratchEncoder(vocabulary=150, tokenizer="wordpiece"), CHINESE).encode("酒店很好").tokens[1:-1]
    )
    assert len(pieces) < 4
    assert characters == ["酒", "店", "很", "好"]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_the_same_texts_give_the_same_vocabulary(kind: Literal["bpe", "wordpiece"]) -> None:
    scratch = ScratchEncoder(vocabulary=150, tokenizer=kind)
    first, second = (json.loads(learn_tokenizer(scratch, CHINESE + ENGLISH).to_str()) for _ in range(2))
    assert first == second


def test_no_text_at_all_is_an_error() -> None:
    with pytest.raises(EncoderError, match="the training texts are empty"):
        learn_tokenizer(ScratchEncoder(), ["", " "])
