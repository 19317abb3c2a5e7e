"""Passages in several languages, and stretches of them to tell the language by."""

from __future__ import annotations

from collections.abc import Iterator

PASSAGES = {
    "en": "The weather was so bad that nobody wanted to leave the house before the evening. She told him that "
    "the train would be late, and that they should take the bus instead. Most of the villages along the "
    "river lost their mills when electricity came. You can pay at the counter or send the money later. "
    "Our neighbours have kept bees since last spring and give us a jar of honey now and then.",
    "de": "Das Wetter war so schlecht, dass niemand vor dem Abend das Haus verlassen wollte. Sie sagte ihm, "
    "dass der Zug sich verspäten würde und sie lieber den Bus nehmen sollten. Die meisten Dörfer am "
    "Fluss verloren ihre Mühlen, als der Strom kam. Man kann an der Kasse zahlen oder das Geld später "
    "überweisen. Unsere Nachbarn halten seit dem Frühjahr Bienen und schenken uns ab und zu ein Glas "
    "Honig.",
    "fr": "Il faisait si mauvais que personne ne voulait quitter la maison avant le soir. Elle lui a dit que "
    "le train serait en retard et qu'ils devraient plutôt prendre le bus. La plupart des villages au "
    "bord de la rivière ont perdu leurs moulins à l'arrivée de l'électricité. On peut payer à la caisse "
    "ou envoyer l'argent plus tard. Nos voisins élèvent des abeilles depuis le printemps et nous offrent "
    "parfois un pot de miel.",
    "es": "Hacía tan mal tiempo que nadie quería salir de casa antes de que llegara la noche. Ella le dijo que "
    "el tren llegaría tarde y que deberían tomar el autobús en su lugar. La mayoría de los pueblos a "
    "orillas del río perdieron sus molinos cuando llegó la electricidad. Se puede pagar en la caja o "
    "enviar el dinero más tarde. Nuestros vecinos crían abejas desde la primavera y de vez en cuando nos "
    "regalan un tarro de miel.",
    "it": "Il tempo era così brutto che nessuno voleva uscire di casa prima di sera. Lei gli disse che il "
    "treno sarebbe arrivato in ritardo e che dovevano prendere l'autobus. La maggior parte dei paesi "
    "lungo il fiume perse i mulini quando arrivò l'elettricità. Si può pagare alla cassa oppure spedire "
    "i soldi più tardi. I nostri vicini allevano api dalla primavera scorsa e ogni tanto ci regalano un "
    "vasetto di miele.",
    "pt": "O tempo estava tão ruim que ninguém queria sair de casa antes do anoitecer. Ela disse a ele que o "
    "trem iria atrasar e que eles deveriam pegar o ônibus. A maioria das aldeias à beira do rio perdeu "
    "os seus moinhos quando chegou a eletricidade. Você pode pagar no caixa ou enviar o dinheiro mais "
    "tarde. Os nossos vizinhos criam abelhas desde a primavera e às vezes nos dão um pote de mel.",
    "nl": "Het weer was zo slecht dat niemand voor de avond het huis wilde verlaten. Ze zei hem dat de trein "
    "te laat zou zijn en dat ze beter de bus konden nemen. De meeste dorpen langs de rivier verloren hun "
    "molens toen de elektriciteit kwam. U kunt aan de kassa betalen of het geld later overmaken. Onze "
    "buren houden sinds het voorjaar bijen en geven ons af en toe een pot honing.",
    "sv": "Vädret var så dåligt att ingen ville lämna huset före kvällen. Hon sade till honom att tåget skulle "
    "bli försenat och att de borde ta bussen i stället. De flesta byarna längs floden förlorade sina "
    "kvarnar när elektriciteten kom. Man kan betala i kassan eller skicka pengarna senare. Våra grannar "
    "har hållit bin sedan i våras och ger oss en burk honung då och då.",
    "pl": "Pogoda była tak zła, że nikt nie chciał wychodzić z domu przed wieczorem. Powiedziała mu, że pociąg "
    "się spóźni i że powinni raczej pojechać autobusem. Większość wsi nad rzeką straciła swoje młyny, "
    "kiedy pojawiła się elektryczność. Można zapłacić przy kasie albo wysłać pieniądze później. Nasi "
    "sąsiedzi od wiosny hodują pszczoły i czasem dają nam słoik miodu.",
    "cs": "Počasí bylo tak špatné, že před večerem nikdo nechtěl vyjít z domu. Řekla mu, že vlak bude mít "
    "zpoždění a že by měli raději jet autobusem. Většina vesnic podél řeky přišla o své mlýny, když byla "
    "zavedena elektřina. Můžete zaplatit u pokladny nebo poslat peníze později. Naši sousedé chovají od "
    "jara včely a občas nám dají sklenici medu.",
    "ru": "Погода была такой плохой, что никто не хотел выходить из дома до самого вечера. Она сказала ему, "
    "что поезд опоздает и что им лучше поехать на автобусе. Большинство деревень у реки лишилось своих "
    "мельниц, когда провели электричество. Можно заплатить в кассе или прислать деньги позже. Наши "
    "соседи с весны держат пчёл и иногда дают нам банку мёда.",
    "el": "Ο καιρός ήταν τόσο άσχημος που κανείς δεν ήθελε να βγει από το σπίτι πριν το βράδυ. Του είπε ότι το "
    "τρένο θα αργούσε και ότι έπρεπε να πάρουν το λεωφορείο. Τα περισσότερα χωριά κοντά στο ποτάμι "
    "έχασαν τους μύλους τους όταν ήρθε το ηλεκτρικό ρεύμα. Μπορείτε να πληρώσετε στο ταμείο ή να "
    "στείλετε τα χρήματα αργότερα.",
    "tr": "Hava o kadar kötüydü ki akşam olmadan kimse evden çıkmak istemedi. Ona trenin geç kalacağını ve "
    "bunun yerine otobüse binmeleri gerektiğini söyledi. Nehir boyundaki köylerin çoğu elektrik gelince "
    "değirmenlerini kaybetti. Kasada ödeyebilir ya da parayı daha sonra gönderebilirsiniz. Komşularımız "
    "ilkbahardan beri arı besliyor ve bize arada sırada bir kavanoz bal veriyor.",
    "ar": "كان الطقس سيئا جدا لدرجة أن أحدا لم يرغب في مغادرة المنزل قبل المساء. أخبرته أن القطار سيتأخر وأن "
    "عليهم أن يستقلوا الحافلة بدلا من ذلك. فقدت معظم القرى الواقعة على ضفاف النهر مطاحنها عندما وصلت "
    "الكهرباء. يمكنكم الدفع عند الصندوق أو إرسال المال في وقت لاحق. يربي جيراننا النحل منذ الربيع "
    "ويعطوننا أحيانا جرة من العسل.",
    "hi": "मौसम इतना खराब था कि शाम होने से पहले कोई भी घर से बाहर नहीं जाना चाहता था। उसने उसे बताया कि ट्रेन "
    "देर से आएगी और उन्हें बस से जाना चाहिए। बिजली आने पर नदी किनारे के अधिकतर गाँवों की चक्कियाँ बंद हो "
    "गईं। आप काउंटर पर भुगतान कर सकते हैं या पैसे बाद में भेज सकते हैं।",
    "zh": "天气非常糟糕，所以在傍晚之前没有人愿意离开家门，大家都坐在屋子里喝茶聊天，等待雨停下来，然后再决定要"
    "不要出去走一走。她告訴他火車會晚點，所以他們應該改坐公共汽車去城裡，這樣就不會錯過晚上的音樂會了，而"
    "且車票也比火車便宜很多。通电以后，河边的大多数村庄都失去了自己的磨坊，只有老人们还记得水车转动的声音"
    "。你可以在柜台付款，也可以以后再把钱寄来。我们的邻居从春天开始养蜂，不时送给我们一罐蜂蜜，味道比商店"
    "里卖的好得多。",
    "ja": "天気がとても悪かったので、夕方になるまで誰も家を出たがらず、みんなで部屋の中に座ってお茶を飲みながら"
    "雨が止むのを待っていました。彼女は彼に、電車が遅れるので代わりにバスに乗ったほうがいいと言い、そうす"
    "れば夜のコンサートにも間に合うはずだと付け加えた。電気が通ると、川沿いの村のほとんどは水車小屋を失い"
    "ました。お支払いは窓口でも、後日の送金でも構いません。隣の家は春から蜂を飼っていて、ときどき蜂蜜を一"
    "瓶分けてくれます。",
    "ko": "날씨가 너무 나빠서 저녁이 되기 전에는 아무도 집을 나서려고 하지 않았고 모두 방 안에서 비가 그치기를 "
    "기다렸다. 그녀는 기차가 늦을 것이니 대신 버스를 타야 한다고 그에게 말했고 그러면 음악회에 늦지 않을 "
    "것이라고 했다. 전기가 들어오자 강가의 마을은 대부분 방앗간을 잃었다. 창구에서 돈을 내거나 나중에 "
    "보내도 된다. 이웃은 봄부터 벌을 치며 가끔 꿀 한 병을 나누어 준다.",
}
"""Several sentences of each language, by ISO 639-1; the Chinese ones are in both scripts."""

SPACELESS = ("zh", "ja")
"""Languages that are written without spaces."""


def stretches(language: str, length: int = 50) -> Iterator[str]:
    """Yield stretches of a passage of at least so many characters, one from each word on; by tens without spaces."""
    passage = PASSAGES[language]
    if language in SPACELESS:
        for start in range(0, len(passage) - length, 10):
            yield passage[start : start + length]
        return
    words = passage.split()
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            stretch = " ".join(words[start:end])
            if len(stretch) >= length:
                yield stretch
                break
