from __future__ import annotations

import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier

from tests.training.sample_rows import sample_table
from training.baselines import fit_one, lacks_spaces, make_linear, sample


@pytest.mark.parametrize(
    ("texts", "unspaced"),
    [
        (["the bank's shares fell", "naïve café"], False),
        (["这本书很好"], True),
        (["我用 iPhone 12 Pro Max 拍照，效果很好"], True),
        (["この本はとても良い"], True),
        (["이 책은 아주 좋다"], False),
        (["He said 你好 and left the room without another word"], False),
        (["", "123 !?"], False),
        ([], False),
    ],
)
def test_scripts_without_spaces_are_recognised(texts: list[str], unspaced: bool) -> None:
    assert lacks_spaces(texts) is unspaced


def test_a_sample_depends_on_ids_and_seed_and_not_on_blocks() -> None:
    table = sample_table(1_000)
    half = sample([table], 0.5, seed=1)
    assert 400 < half.num_rows < 600
    assert sample([table.slice(300), table.slice(0, 300)], 0.5, seed=1) == half
    assert sample([table], 0.5, seed=2) != half
    assert sample([table], 1.0, seed=1).num_rows == 1_000


def test_the_majority_class_is_always_predicted() -> None:
    train = pa.concat_tables([sample_table(10), sample_table(1)])
    found = fit_one(
        "majority class", DummyClassifier(strategy="prior"), train, sample_table(9), ("money", "sport"), False
    )
    assert found.evaluation.accuracy == pytest.approx(5 / 9)
    assert found.evaluation.confusion == ((0, 4), (0, 5))
    assert (found.name, found.train_rows, found.sampled) == ("majority class", 11, False)


def test_words_or_characters_are_chosen_by_the_script() -> None:
    chinese = ["这本书很好", "酒店不好"] * 4
    name, characters = make_linear(chinese, 0)
    assert name == "TF-IDF (characters 1-3) + logistic regression"
    assert characters.fit(chinese, ["good", "bad"] * 4).predict(chinese).tolist() == ["good", "bad"] * 4
    assert make_linear(sample_table(4)["text"].to_pylist(), 0)[0] == "TF-IDF (words 1-2) + logistic regression"


def test_a_sample_is_named_as_one_and_an_unseen_class_gets_no_probability() -> None:
    train = sample_table(40)
    name, linear = make_linear(train["text"].to_pylist(), 0)
    found = fit_one(name, linear, train, sample_table(10, first=40), ("money", "nothing", "sport"), True)
    assert found.evaluation.accuracy == 1.0
    assert found.evaluation.per_class[1].support == 0
    assert found.name.endswith(", on a sample")
