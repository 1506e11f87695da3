"""How plausible a text is, if its bytes were saved in a certain encoding."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Final

DEFAULT_ENCODING: Final = "gb18030"
"""The most likely encoding of a file without a BOM; it includes GBK and GB2312."""
SINGLE_BYTE: Final = ("cp1258", "cp1252", "cp1251")
"""The single-byte encodings among those that are guessed; they have no Chinese."""
GUESSED_AMONG: Final = (
    *(DEFAULT_ENCODING, "big5", "cp950", "cp949", "cp932", "euc_jp"),
    *SINGLE_BYTE,
)
"""Encodings in which spreadsheet programs of this API's users save "CSV".  Others would accept any
bytes and turn a damaged file into readable nonsense."""
NEVER_GUESSED: Final = (
    *("cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874", "koi8_r", "cp866"),
    *("mac_roman", "mac_cyrillic", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_15"),
)
"""Never guessed, but a header that also reads well in one of these does not confirm a guess."""

_SIMPLIFIED: Final = (
    "一是人了不在有大中国和为这上他个地年来我会以到时要出的生学说道民家子也成行下们于后就发自"
    "之对得主长可过天作分方用多你着部能市等业全里工公经本都而高政法面门动日进区事代那去心小同"
    "北定开产前其军还然起种所如现理机体表力好外与文当两实重新三么只山水关明从化平建又制南内西"
    "没此将员名手最东头者月间无安看见各城十相但已些正口通想度加第她合院物性战由位常点海意场武"
    "使次二向治因立数样身情入原问把路被并利石老教万知级量任江及应省资委务元美特期世湖回系比气"
    "汉总展电科金先声提品设或义王社很统处四首共马形己儿司太目基领队直计别女权话少流命至报米给"
    "打变果书清活几州华解议更称程今决张导术府才保交放管结师便走达族反再题色五京河接条规式县白"
    "它改风光运信受什组听布百济党指论强做取技黄神选记斯真却职号界件花类何眼兵传带空干农边据集"
    "联古广完质阳难增历史专官每住商即步认车台林必死游举线言皇土团收考求德叫近备研争非具李众连"
    "调感转笑革该持始英克士尔让拉思根格造较际亲单朝红型价校约器字段周亚深候则功属积快图火千准"
    "究往极育装许参半令吃观鱼精办像帝八复影告远群包整构料随划算象容示投势热值夫网望源息语股铁"
    "断派速怎需片爱律纪支早况病境证编越局推满且列觉服双未居除乐企引标确织初青志率项飞球节察龙"
    "响药站施均消客失轻存低甚般击曾防请离落显罗营足素视护副食创余照兴占巴虽洲村费易试星木黑左"
    "宝置跟央识维采六底宫房音环案批切斗富乡另倒若按查故突责严桥模仅胜杀围席态破承招杨负层须父"
    "供续状域似依银范修找九致密终血旅钱赛独细效玉冲获习医演毛尽脸弹楼艺航陆右协七攻镇检写苏宗"
    "章注阿抗弟坐验封紧劳户优财养适陈喜卫排射哥油刻留急降念云微伤例景拿绝阶座刘刚害印亿沙母酒"
    "助闻超审待压升送监策略限竟香配藏敌呢差仍兰温园树征善波哪词岛止预怕继皮执味份角草男普答益"
    "谁船惊核街夏宣掌田久著画辑奇尼剑吧谈背免孩礼材愿洋春架筑括晚乱乎讲尚良友临激刀夜室既敢邦"
    "挥昌板胡欧福港叶简苦担句岁荆贵娘守辖威宜衣帮块堂额错剧充欢够孙班呼阵销坚练脚退读测吴希宁"
    "换版异某顾曲楚典朱毒菜判救宋茶洪含顺啊鲜败货矿端兄归冷忙买险康评肉吗厂永哈沉散遗停笔假输"
    "牛洞松渐顶训录否述毕督控丰献姑忽爷互亮纳襄登咱钟伯臣雄季脑介鄂召饭暗扩祖齐短烈赶牌恩诉移"
    "诗础露届蒙静喝盘卖植授伊湾博痛减穿逐秘庭陵固禁票灵杂姓泽吸侧庆妈遇追甲馆补唐炮沿殿刺怪彩"
    "俄旧警索岸轮妇载靠附毫怀软骨探雷旁罪枪牙迎序慢盛雨墙恶谷顿危稳熟"
)
"""The 1000 most frequent characters, most frequent first (counted in the dictionary of the
segmenter jieba, MIT licence)."""

_TO_TRADITIONAL: Final = str.maketrans(
    # The characters of them that differ in traditional Chinese, simplified → traditional.
    (
        "国为这个来会时学说们于后发对长过业里经门动进区开产军还种现机体与当两实么关从内没将员东头"
        "间无见战点场数样问并万级应资务气汉总电声设义统处马儿领队计别权话报给变书几华议称决张导术"
        "结师达题条规县风运组听济党论强黄选记却职号类传带干农边据联广质阳难历专认车台游举线团备争"
        "众连调转该尔让较际亲单红价约亚则属积图准极装许参吃观鱼办复远群构随划势热网语铁断爱纪况证"
        "编满觉双乐标确织项飞节龙响药轻击请离显罗营视护创余兴占虽费试宝识维采宫环斗乡责严桥仅胜杀"
        "围态杨负层须续状银范终钱赛独细冲获习医尽脸弹楼艺陆协镇检写苏验紧劳户优财养适陈卫云伤绝阶"
        "刘刚亿闻审压监敌兰温园树征词岛预继执谁惊画辑剑谈礼愿筑乱讲临挥欧叶简担岁荆贵辖帮块额错剧"
        "欢够孙阵销坚练脚读测吴宁换异顾顺鲜败货矿归买险评吗厂遗笔输渐顶训录毕丰献爷纳钟脑饭扩齐赶"
        "诉诗础届静盘卖湾减秘灵杂泽侧庆妈馆补旧轮妇载怀软枪墙恶顿稳"
    ),
    (
        "國爲這個來會時學說們於後發對長過業裏經門動進區開產軍還種現機體與當兩實麼關從內沒將員東頭"
        "間無見戰點場數樣問並萬級應資務氣漢總電聲設義統處馬兒領隊計別權話報給變書幾華議稱決張導術"
        "結師達題條規縣風運組聽濟黨論強黃選記卻職號類傳帶幹農邊據聯廣質陽難歷專認車臺遊舉線團備爭"
        "衆連調轉該爾讓較際親單紅價約亞則屬積圖準極裝許參喫觀魚辦復遠羣構隨劃勢熱網語鐵斷愛紀況證"
        "編滿覺雙樂標確織項飛節龍響藥輕擊請離顯羅營視護創餘興佔雖費試寶識維採宮環鬥鄉責嚴橋僅勝殺"
        "圍態楊負層須續狀銀範終錢賽獨細衝獲習醫盡臉彈樓藝陸協鎮檢寫蘇驗緊勞戶優財養適陳衛雲傷絕階"
        "劉剛億聞審壓監敵蘭溫園樹徵詞島預繼執誰驚畫輯劍談禮願築亂講臨揮歐葉簡擔歲荊貴轄幫塊額錯劇"
        "歡夠孫陣銷堅練腳讀測吳寧換異顧順鮮敗貨礦歸買險評嗎廠遺筆輸漸頂訓錄畢豐獻爺納鍾腦飯擴齊趕"
        "訴詩礎屆靜盤賣灣減祕靈雜澤側慶媽館補舊輪婦載懷軟槍牆惡頓穩"
    ),
)

_ABSENT: Final = -log(5)
"""Weight of a character that is not among the frequent ones."""
_FEW: Final = 3
"""Fewer different frequent characters than this prove nothing, however often they occur."""


_CLASS_CHARACTERS: Final = (
    "课班级师讲播直录放堂校英语数物化史考试练题期春秋初高周晚午节程导论老会员开欢迎"
)
"""Characters that are frequent in class schedules, whatever their rank elsewhere."""
_CLASS_RANK: Final = 60


def _weights(characters: Iterable[str]) -> Mapping[str, float]:
    """Logarithm of how much likelier a character is in Chinese text than in misread bytes.

    A character's frequency falls with its rank; in misread bytes each of 3,755 is as likely.
    """
    ranks = {c: rank for rank, c in enumerate(characters)}
    for c in _CLASS_CHARACTERS + _CLASS_CHARACTERS.translate(_TO_TRADITIONAL):
        ranks[c] = min(ranks.get(c, _CLASS_RANK), _CLASS_RANK)
    return {c: log(600 / (rank + 10)) for c, rank in ranks.items()}


_WEIGHTS: Final = {
    "gb18030": _weights(_SIMPLIFIED),
    "big5": (_traditional := _weights(_SIMPLIFIED.translate(_TO_TRADITIONAL))),
    "cp950": _traditional,
}


def chinese_score(text: str, encoding: str) -> float:
    """Score for `text` being Chinese that was saved in `encoding`; 0 or less means no sign of it.

    >>> chinese_score("高级英语班直播", "gb18030") > 5 > 0 > chinese_score("捞促绰啊", "gb18030")
    True
    """
    weights = _WEIGHTS.get(encoding, {})
    non_ascii = [c for c in text if not c.isascii() and unicodedata.category(c)[0] not in "PZ"]
    sum_ = sum(weights.get(c, _ABSENT) for c in non_ascii)
    return sum_ if len(weights.keys() & set(non_ascii)) >= _FEW else min(sum_, 0)


_MOSTLY_EVERYDAY: Final = 0.8
"""Share of everyday characters in real text.  In Big5 read as GBK it is less than half; personal
names have the rarest characters but stay above it among other words."""
_LONG_ENOUGH: Final = 8
"""From this many characters on it is no coincidence that all are everyday in another encoding."""
_ORDINARY_FROM: Final = 6
"""From this many characters on it is no coincidence that all are in GB 2312."""
_TWO_BYTES: Final = "\u07ff"
"""The last character that has two bytes in UTF-8."""


def reread(cell: str, encoding: str, other: str) -> str | None:
    """A cell that was read in `encoding`, read in another one; None if it does not fit."""
    try:
        return cell.encode(encoding).decode(other)
    except UnicodeError:
        return None


@dataclass(frozen=True, slots=True)
class Everyday:
    """How many of a text's characters are in daily use."""

    n: int
    """Number of characters outside ASCII."""
    share: float
    """Share of everyday characters among them."""


def could_be_legacy(cells: Iterable[str]) -> bool:
    """Whether cells read as UTF-8 may be GB18030, as `ƽʱ` is 平时.

    GB18030 bytes that are valid UTF-8 mostly give two-byte letters.  An accented letter in a Latin
    word, a word in one alphabet, Chinese or Korean are no coincidence and show that UTF-8 is meant.
    """
    non_ascii = [cell for cell in cells if not cell.isascii()]
    return bool(non_ascii) and sum(map(_is_utf8, non_ascii)) * 2 <= len(non_ascii)


def _is_utf8(cell: str) -> bool:
    """Whether a cell read as UTF-8 is certainly UTF-8."""
    non_ascii = "".join(c for c in cell if not c.isascii())
    made = reread(non_ascii, "utf-8", DEFAULT_ENCODING)
    is_default = made is not None and all(map(_is_gb2312, made))
    if long := [c for c in non_ascii if c > _TWO_BYTES]:
        if not all(map(_IS_WRITTEN, long)) or sum(map(_is_usual, long)) * 2 < len(long):
            return False
        share, other = (everyday(t or "", DEFAULT_ENCODING).share for t in (non_ascii, made))
        return not is_default or other < share
    plain = [c for c in cell if c.isascii()]
    n_plain = sum(map(str.isalpha if is_default else str.isalnum, plain))
    if all(map(_IS_LATIN, non_ascii)) and n_plain >= max(_LATIN_FROM, len(non_ascii)):
        return True
    letters = [c for c in non_ascii if c.isalpha()]
    return not is_default and len(letters) >= _ALPHABETIC_FROM and _is_of_one_alphabet(non_ascii)


def _is_usual(character: str) -> bool:
    """Whether a character is in common use; misread bytes give mostly rare ones."""
    if not _IS_EAST_ASIAN(character):
        return True
    return _is_gb2312(character) or any(test(character) for test in _EVERYDAY.values())


def _is_of_one_alphabet(text: str) -> bool:
    """Whether all letters belong to one alphabet in use today."""
    return any(all(map(one, text)) for one in _ALPHABETS)


def _among(ranges: str) -> Callable[[str], bool]:
    """A test whether a character is in these ranges, written as in a regular expression."""

    @cache
    def is_among(character: str) -> bool:
        return re.match(f"[{ranges}]", character) is not None

    return is_among


_LATIN: Final = "\u00a0-\u017f\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0300-\u0323"
_IS_LATIN: Final = _among(_LATIN)
"""Letters and signs of languages in Latin script, without phonetic and historic letters, which
misread bytes give."""
_IS_WRITTEN: Final = _among(
    "\u0e00-\u0e5b\u0900-\u0dff\u1e00-\u1fff\u2000-\u22ff\u2460-\u27bf\u3000-\u30ff"
    "\u3400-\u9fff\uac00-\ud7a3\ufe0f\ufeff\uff00-\uffee\U0001f000-\U0001faff"
)
"""Characters of three bytes and more in UTF-8 that are in use today."""
_IS_EAST_ASIAN: Final = _among("\u3400-\u9fff\uac00-\ud7a3")
_ALPHABETS: Final = (
    _IS_LATIN,
    _among("\u0370-\u03ff\u00a0-\u00bf"),
    _among("\u0400-\u045f\u0490-\u04e9\u00a0-\u00bf"),
    _among("\u0591-\u05f4\u00a0-\u00bf"),
    _among("\u060c-\u06d5\u06f0-\u06f9\u00a0-\u00bf"),
    _among("\u0531-\u058a\u00a0-\u00bf"),
)
_LATIN_FROM: Final = 2
"""Plain letters that a word with accented ones must have."""
_ALPHABETIC_FROM: Final = 3


def implausibility(encoding: str, texts: Mapping[str, str]) -> tuple[float, int]:
    """Sort key for `encoding`, lower is likelier; `texts` has the file's text in each encoding.

    Frequent Chinese comes first; GB18030 wins a tie.
    """
    text = texts[encoding]
    shown = -max(chinese_score(text, encoding), 0)
    found = everyday(text, encoding)
    if encoding != DEFAULT_ENCODING:
        return shown, 1 if encoding in _EVERYDAY and found.share >= _MOSTLY_EVERYDAY else 2
    rivals = _EVERYDAY.keys() & texts.keys() - {DEFAULT_ENCODING}
    others = (everyday(texts[rival], rival) for rival in rivals)
    is_alone = not any(other.share == 1 and other.n >= _LONG_ENOUGH for other in others)
    return shown, 0 if is_alone and _looks_like_default(text) else 1


def _looks_like_default(text: str) -> bool:
    """Whether a text looks like Chinese that was saved as GB18030."""
    non_ascii = [c for c in text if not c.isascii()]
    is_common = everyday(text, DEFAULT_ENCODING).share >= _MOSTLY_EVERYDAY
    return is_common or (len(non_ascii) >= _ORDINARY_FROM and all(map(_is_gb2312, non_ascii)))


def are_sane_words(text: str) -> bool:
    """Whether all words with characters outside ASCII are letters in the usual case."""
    non_ascii = [word for word in _WORD_SIGNS.sub(" ", text).split() if not word.isascii()]
    return all(
        w.isalpha() and (w[1:].islower() or w.isupper() or w == w.lower()) for w in non_ascii
    )


def is_japanese(text: str) -> bool:
    """Whether a text has as many kana as Japanese has."""
    non_ascii = [c for c in text if not c.isascii()]
    return bool(non_ascii) and len(_KANA.findall(text)) * 3 >= len(non_ascii)


def everyday(text: str, encoding: str) -> Everyday:
    """The everyday characters of a text that was saved in `encoding`."""
    is_everyday = _EVERYDAY.get(encoding, str.isalpha)
    found = [is_everyday(c) for c in text if not c.isascii()]
    if encoding in _JAPANESE and not _KANA.search(text):
        return Everyday(len(found), 0.0)
    return Everyday(len(found), sum(found) / len(found) if found else 0.0)


def _has_lead_byte(encoding: str, *ranges: tuple[int, int]) -> Callable[[str], bool]:
    """A test whether a character has two bytes in `encoding`, the first of them in a range."""

    def test(character: str) -> bool:
        try:
            code = character.encode(encoding)
        except UnicodeEncodeError:
            return False
        return len(code) == 2 and any(first <= code[0] <= last for first, last in ranges)

    return test


_is_gb2312: Final = _has_lead_byte("gb2312", (0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xF7))
"""Whether a character is in GB 2312, level 1 or 2."""

_JAPANESE: Final = frozenset({"cp932", "euc_jp"})
_WORD_SIGNS: Final = re.compile("[-!-/:-@«»“”„’…–—\u00a0]")
"""Punctuation and spaces."""
_KANA: Final = re.compile("[\u3041-\u30ff]")
"""Any Japanese text longer than a name contains kana."""
_EVERYDAY: Final[Mapping[str, Callable[[str], bool]]] = {
    # The first level of GB 2312 has the 3,755 characters in daily use, that of Big5 5,401, that of
    # JIS X 0208 2,965, KS X 1001 the 2,350 syllables; before them come punctuation, full-width
    # letters and kana.
    "gb18030": _has_lead_byte("gb2312", (0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xD7)),
    "big5": _has_lead_byte("big5", (0xA1, 0xA2), (0xA4, 0xC6)),
    "cp950": _has_lead_byte("big5", (0xA1, 0xA2), (0xA4, 0xC6)),
    "cp932": _has_lead_byte("euc_jp", (0xA1, 0xA1), (0xA3, 0xA5), (0xB0, 0xCF)),
    "euc_jp": _has_lead_byte("euc_jp", (0xA1, 0xA1), (0xA3, 0xA5), (0xB0, 0xCF)),
    "cp949": _has_lead_byte("euc_kr", (0xA1, 0xA3), (0xB0, 0xC8)),
}
