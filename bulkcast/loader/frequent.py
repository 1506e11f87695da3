"""How Chinese a text is, by how often its characters are written.

A text in another language that is read in a Chinese encoding consists of Chinese characters, too,
but hardly ever of those in daily use.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from math import log
from typing import Final

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
"""The 1000 most frequent characters, the most frequent first (counted in the dictionary of the
segmenter jieba, MIT licence)."""

_OTHERWISE: Final = str.maketrans(
    # Those of them that are written otherwise in traditional Chinese, and how.
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
_FEW: Final = 3
"""Different frequent characters below which nothing is shown, however often they stand there."""


_OF_LESSONS: Final = (
    "课班级师讲播直录放堂校英语数物化史考试练题期春秋初高周晚午节程导论老会员开欢迎"
)
"""Frequent in sheets of classes, whatever they are elsewhere."""
_RANK_OF_LESSONS: Final = 60


def _weights(characters: Iterable[str]) -> Mapping[str, float]:
    """How much likelier a character is in Chinese than in what was meant to be none, as a log.

    A character's frequency falls with its rank; by accident each of 3,755 is as likely.
    """
    ranks = {c: rank for rank, c in enumerate(characters)}
    for c in _OF_LESSONS + _OF_LESSONS.translate(_OTHERWISE):
        ranks[c] = min(ranks.get(c, _RANK_OF_LESSONS), _RANK_OF_LESSONS)
    return {c: log(600 / (rank + 10)) for c, rank in ranks.items()}


_WEIGHTS: Final = {
    "gb18030": _weights(_SIMPLIFIED),
    "big5": (_traditional := _weights(_SIMPLIFIED.translate(_OTHERWISE))),
    "cp950": _traditional,
}


def chineseness(text: str, encoding: str) -> float:
    """How much speaks for `text` to be Chinese that was saved in `encoding`; 0 or less: nothing.

    >>> chineseness("高级英语班直播", "gb18030") > 5 > 0 > chineseness("捞促绰啊", "gb18030")
    True
    """
    weights = _WEIGHTS.get(encoding, {})
    odd = [c for c in text if not c.isascii() and unicodedata.category(c)[0] not in "PZ"]
    sum_ = sum(weights.get(c, _ABSENT) for c in odd)
    return sum_ if len(weights.keys() & set(odd)) >= _FEW else min(sum_, 0)
