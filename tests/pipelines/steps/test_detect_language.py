from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.errors import StepError
from pipelines.steps import DetectLanguage
from pipelines.steps.kernel import run_step

SENTENCES = {
    "en": [
        "The weather was so bad that nobody wanted to leave the house before the evening.",
        "She told him that the train would be late, and that they should take the bus instead.",
    ],
    "de": [
        "Das Wetter war so schlecht, dass niemand vor dem Abend das Haus verlassen wollte.",
        "Sie sagte ihm, dass der Zug sich verspäten würde und sie lieber den Bus nehmen sollten.",
    ],
    "fr": [
        "Il faisait si mauvais que personne ne voulait quitter la maison avant le soir.",
        "Elle lui a dit que le train serait en retard et qu'ils devraient plutôt prendre le bus.",
    ],
    "es": [
        "Hacía tan mal tiempo que nadie quería salir de casa antes de que llegara la noche.",
        "Ella le dijo que el tren llegaría tarde y que deberían tomar el autobús en su lugar.",
    ],
    "it": [
        "Il tempo era così brutto che nessuno voleva uscire di casa prima di sera.",
        "Lei gli disse che il treno sarebbe arrivato in ritardo e che dovevano prendere l'autobus.",
    ],
    "pt": [
        "O tempo estava tão ruim que ninguém queria sair de casa antes do anoitecer.",
        "Ela disse a ele que o trem iria atrasar e que eles deveriam pegar o ônibus.",
    ],
    "nl": [
        "Het weer was zo slecht dat niemand voor de avond het huis wilde verlaten.",
        "Ze zei hem dat de trein te laat zou zijn en dat ze beter de bus konden nemen.",
    ],
    "pl": [
        "Pogoda była tak zła, że nikt nie chciał wychodzić z domu przed wieczorem.",
        "Powiedziała mu, że pociąg się spóźni i że powinni raczej pojechać autobusem.",
    ],
    "ru": [
        "Погода была такой плохой, что никто не хотел выходить из дома до самого вечера.",
        "Она сказала ему, что поезд опоздает и что им лучше поехать на автобусе.",
    ],
    "tr": [
        "Hava o kadar kötüydü ki akşam olmadan kimse evden çıkmak istemedi.",
        "Ona trenin geç kalacağını ve bunun yerine otobüse binmeleri gerektiğini söyledi.",
    ],
    "ar": [
        "كان الطقس سيئا جدا لدرجة أن أحدا لم يرغب في مغادرة المنزل قبل المساء.",
        "أخبرته أن القطار سيتأخر وأن عليهم أن يستقلوا الحافلة بدلا من ذلك.",
    ],
    "hi": [
        "मौसम इतना खराब था कि शाम होने से पहले कोई भी घर से बाहर नहीं जाना चाहता था।",
        "उसने उसे बताया कि ट्रेन देर से आएगी और उन्हें बस से जाना चाहिए।",
    ],
    "zh": [
        "天气非常糟糕，所以在傍晚之前没有人愿意离开家门，大家都坐在屋子里喝茶聊天，等待雨停下来，然后再决定要不要出去走一走。",
        "她告訴他火車會晚點，所以他們應該改坐公共汽車去城裡，這樣就不會錯過晚上的音樂會了，而且車票也比火車便宜很多。",
    ],
    "ja": [
        "天気がとても悪かったので、夕方になるまで誰も家を出たがらず、みんなで部屋の中に座ってお茶を飲みながら雨が止むのを待っていました。",
        "彼女は彼に、電車が遅れるので代わりにバスに乗ったほうがいいと言い、そうすれば夜のコンサートにも間に合うはずだと付け加えた。",
    ],
    "ko": [
        "날씨가 너무 나빠서 저녁이 되기 전에는 아무도 집을 나서려고 하지 않았고 모두 방 안에서 비가 그치기를 기다렸다.",
        "그녀는 기차가 늦을 것이니 대신 버스를 타야 한다고 그에게 말했고 그러면 음악회에 늦지 않을 것이라고 했다.",
    ],
}


def detected(step: DetectLanguage, *texts: str) -> list[dict[str, object]]:
    ids = [str(row) for row in range(len(texts))]
    columns = {"row_id": pa.array(ids, pa.string()), "text": pa.array(texts, pa.string())}
    outcome = run_step(step, pa.record_batch(columns))
    rejected = {row["row_id"]: row for row in outcome.rejected.to_pylist()}
    kept = {row["row_id"]: row for row in outcome.kept.to_pylist()}
    return [rejected.get(one) or kept[one] for one in ids]


@pytest.mark.parametrize("language", SENTENCES)
def test_languages_are_told(language: str) -> None:
    found = detected(DetectLanguage(), *SENTENCES[language])
    assert [row["language"] for row in found] == [language] * len(found)
    assert all(float(str(row["language_confidence"])) >= 0.65 for row in found), found


@pytest.mark.parametrize("text", ["", "12:30", "— !!", "ok"])
def test_what_is_too_short_is_undetermined(text: str) -> None:
    [found] = detected(DetectLanguage(), text)
    assert (found["language"], found["language_confidence"]) == ("und", 0.0)


def test_a_text_in_two_languages_is_of_the_greater_part() -> None:
    english, german = SENTENCES["en"], SENTENCES["de"]
    found = detected(
        DetectLanguage(), f"{english[0]} {german[0]} {english[1]}", f"{german[0]} {english[0]} {german[1]}"
    )
    assert [row["language"] for row in found] == ["en", "de"]


def test_other_languages_are_rejected_by_name() -> None:
    kept, other, short = detected(DetectLanguage(keep=("en",)), SENTENCES["en"][0], SENTENCES["de"][0], "")
    assert kept["language"] == "en"
    assert (other["rule"], other["value"]) == ("other_language", "de")
    assert (short["rule"], short["value"]) == ("other_language", "und")


def test_what_is_not_sure_enough_is_rejected() -> None:
    [found] = detected(DetectLanguage(keep=("en", "de"), min_confidence=1.0), SENTENCES["en"][0] + SENTENCES["de"][0])
    assert found["rule"] == "unsure_language"


def test_candidates_are_all_that_is_looked_for() -> None:
    [found] = detected(DetectLanguage(candidates=("de", "fr")), SENTENCES["en"][0])
    assert found["language"] in ("de", "fr")
    with pytest.raises(StepError, match=r"no language is known by xx; known: .*\ben\b"):
        DetectLanguage(candidates=("xx",)).apply(pa.record_batch({"row_id": ["a"], "text": ["one"]}))
