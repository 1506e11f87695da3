"""THE TABLE: `POST /lms/activity/setWebcast`, every parameter, rule, reply code and limit.

Source of everything not marked otherwise: docs.eeo.cn/api/en/broadcast/setWebcast.html, read
2026-11-23.  Short names of further sources: RULES = the vendor's appendix "rules", CREATE and
UPDATE = its createClass and updateClass pages, DUAL = its dual-teacher editClass page, HELP = its
help centre, V1 = its retired v1 pages, ERRORS = its "basic errors" page; all read 2026-11-23.
None of it was tried against the live API.
"""

from typing import Final

from bulkcast.catalogue import (
    OFF,
    ON,
    Cause,
    Choice,
    ChoiceKind,
    Clash,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Label,
    Limit,
    Lock,
    MomentKind,
    NameKind,
    Needs,
    ReplyCode,
    Role,
    Rule,
    Setting,
    TextKind,
    Together,
    TooFew,
)
from bulkcast.headers import fold
from bulkcast.model import ReplyClass, Severity

_SWITCH: Final = ChoiceKind()
_RECORDING: Final = ChoiceKind(
    (OFF.with_words("不录", "不录制", "不录课"), ON.with_words("录", "录制", "录课"))
)
_LIVE: Final = ChoiceKind((OFF.with_words("不直播", "不播"), ON.with_words("直播")))
_PERMISSION: Final = ChoiceKind(
    (OFF.with_words("不允许", "禁止", "不可以"), ON.with_words("允许", "可以"))
)
# What is disabled may be the ban or what it bans.
_BAN: Final = ChoiceKind(
    (OFF.without_words("disable", "disabled", "禁用", "已禁用", "停用", "已停用"),
     ON.without_words("enable", "enabled"))
)  # fmt: skip
_RECORD_TYPES: Final = ChoiceKind(
    (
        Choice(0, Label("Classroom", "录制教室"), ("record classroom", "教室")),
        Choice(1, Label("On-site", "录制现场"), ("record on-site", "on site", "onsite", "现场")),
        Choice(
            2, Label("Both", "两个都录"), ("record both", "都录", "两者", "教室和现场", "教室+现场")
        ),
    )
)

_COLUMNS: Final = (
    Setting(
        "activityId", IdKind(), Label("Activity ID", "活动ID"),
        Label(
            "The LMS activity id of the classroom, as createClass returned it. Wins over the "
            "classroom id when a row has both.",
            "课堂的 LMS 活动 ID（由 createClass 返回）。同一行两个 ID 都有时以它为准。",
        ),
        role=Role.TARGET, aliases=("课堂活动ID", "课节活动ID", "LMS活动ID"),
    ),
    Setting(
        "classId", IdKind(), Label("Classroom ID", "课堂ID"),
        Label(
            "The classroom (lesson) id. Not the id of the class group, which consoles call 班级ID.",
            "课堂（课节）ID。注意不是班级ID。",
        ),
        role=Role.TARGET, aliases=("课节ID", "Lesson ID", "單課ID", "单课ID"),
    ),
    Setting(
        "courseId", IdKind(), Label("Course ID", "班级ID"),
        Label(
            "The class group's id, which the API calls course. Optional; sent when given.",
            "班级（课程）ID，API 称为 course。可不填，填了就一并发送。",
        ),
        role=Role.CONTEXT, aliases=("课程ID", "班级（课程）ID", "Class (Course) ID"),
        vendor_undefined=Label("whether it is checked against the classroom", "是否与课堂核对"),
        sources=("CREATE: 班级（课程）ID is the API's courseId",),
    ),
    Setting(
        "startTime", MomentKind(), Label("Start time", "上课时间"),
        Label(
            "When the class begins: a date cell, 2027-03-01 08:00, or Unix seconds. Never sent; "
            "it tells which rows lock first.",
            "开课时间：日期单元格、2027-03-01 08:00 或 Unix 秒。不会发送，只用来判断哪些行先锁定。",
        ),
        role=Role.SCHEDULE, aliases=("开始时间", "开课时间", "开课/开始时间", "Begin time", "Starts at"),
    ),
    Setting(
        "institution", NameKind(), Label("Institution", "机构"),
        Label(
            "For which institution the row is: the name of a profile in config.toml. Never sent. A "
            "sheet without this column is for one institution.",
            "该行属于哪个机构：填 config.toml 中配置的名称。不会发送。没有这一列的表格只用于一个机构。",
        ),
        role=Role.INSTITUTION, aliases=("所属机构", "機構", "所屬機構", "Institution profile"),
    ),
    Setting(
        "recordState", _RECORDING, Label("Cloud recording", "云端录课"),
        Label(
            "Record the class in the cloud. Live streaming and playback need it.",
            "是否云端录课。网页直播和网页回放都需要先开启录课。",
        ),
        aliases=("Recording", "Record", "录课", "云录课", "云端录制"), lock=Lock.BEFORE_CLASS,
        billed=Label("each minute recorded and each month it is stored", "录制分钟数和按月存储"),
        sources=(
            "RULES: editable until 20 minutes before class", "CREATE: live and playback need it",
            "HELP: billed from the prepaid balance",
        ),
    ),
    Setting(
        "recordType", _RECORD_TYPES, Label("Recording type", "录课类型"),
        Label(
            "What is recorded: the classroom, the on-site camera, or both.",
            "录制内容：教室、现场，或两个都录。",
        ),
        aliases=("Record type", "录制类型", "录制方式", "录制内容", "录课方式"), lock=Lock.BEFORE_CLASS,
        sources=("RULES", "V1: on-site needs recording on, and an edition that has it"),
    ),
    Setting(
        "liveState", _LIVE, Label("Web live", "网页直播"),
        Label(
            "Stream the class on the web. Needs cloud recording; traffic is billed.",
            "是否网页直播。需要开启云端录课；按流量计费。",
        ),
        aliases=("Web live streaming", "Live", "Live streaming", "直播"), lock=Lock.BEFORE_CLASS,
        billed=Label("each GB its viewers load", "观看流量（GB）"),
        sources=("RULES", "CREATE: needs recordState 1", "HELP: billed from the prepaid balance"),
    ),
    Setting(
        "openState", _SWITCH, Label("Web playback", "网页回放"),
        Label(
            "Let the recording be watched on the web. Needs cloud recording; traffic is billed.",
            "是否网页回放（公开回放）。需要开启云端录课；按流量计费。",
        ),
        aliases=("Playback", "Replay", "回放", "公开回放"), lock=Lock.UNLESS_RECORDED,
        billed=Label("each GB its viewers load", "观看流量（GB）"),
        sources=(
            "RULES: editable at any time if recording is on", "CREATE: needs recordState 1",
            "HELP: billed from the prepaid balance",
        ),
    ),
    Setting(
        "useCoMainRecord", _SWITCH, Label("Use main classroom's recording", "使用主课堂录课"),
        Label(
            "Dual-teacher sub-classrooms only: play the main classroom's recording.",
            "仅双师子课堂：使用主课堂的录课回放。",
        ),
        aliases=("使用主课堂的录课回放", "主课堂录课"), lock=Lock.BEFORE_CLASS,
        vendor_undefined=Label(
            "its values (1 use, 0 do not, as in editClass) and when it locks",
            "取值（按 editClass：1 使用，0 不使用）以及何时锁定",
        ),
        sources=("DUAL: 1 = use, 0 = no; with 1 the four recording and live values must be 0",),
    ),
    Setting(
        "omoStationBroadcast", _SWITCH, Label("OMO live session", "OMO站播"),
        Label(
            "OMO station broadcast. Needs the institution's value-added switch.",
            "OMO 站播。需要机构开通增值服务。",
        ),
        aliases=("OMO", "OMO直播"), lock=Lock.BEFORE_CLASS,
        sources=("HELP: editable until 20 minutes before class", "HELP: a value-added switch"),
    ),
    Setting(
        "watchByLogin", _SWITCH, Label("Login to watch", "登录观看"),
        Label(
            "Viewers of live and playback must log in to ClassIn.",
            "观看网页直播和回放时要求用户登录 ClassIn 账号。",
        ),
        aliases=("Require login", "Watch by login", "需登录观看", "要求登录"),
        sources=("HELP: for this classroom only",),
    ),
    Setting(
        "watchPassword", TextKind(secret=True), Label("Watch password", "观看密码"),
        Label(
            "Password for live and playback. Format the cell as text so that 0123 stays 0123.",
            "观看直播和回放的密码。请把单元格设为文本格式，0123 才会保持 0123。",
        ),
        aliases=("Password", "密码", "直播密码"),
        vendor_undefined=Label(
            "its length, its characters, and whether an empty text switches it off",
            "长度、允许的字符，以及空文本是否会关闭密码",
        ),
        sources=("HELP: covers live and playback of this classroom",),
    ),
    Setting(
        "allowUnloggedChat", _PERMISSION, Label("Chat without login", "未登录聊天"),
        Label(
            "Viewers who are not logged in may chat and like.",
            "允许未登录用户参与直播聊天和点赞。",
        ),
        aliases=("Allow unlogged chat", "允许未登录用户聊天"),
        sources=("HELP: chat and likes",),
    ),
    Setting(
        "webcastAllForbidden", _BAN, Label("All forbidden", "全体禁止"),
        Label(
            "Documented as 'Disable all web live streaming'; the console's only control of that "
            "shape mutes all chat. Try it on one classroom first.",
            "文档写作“禁用所有网页直播”，但控制台里形态相同的开关是“全体禁言”。请先用一个课堂试验。",
        ),
        aliases=("Webcast all forbidden", "全体禁言", "网页直播全体禁言"),
        vendor_undefined=Label(
            "whether it disables streaming, as the page says, or mutes the chat",
            "是如文档所说禁用直播，还是禁言",
        ),
        sources=("HELP: 网页直播禁言",),
    ),
    Setting(
        "liveAndPlaybackViewingSet", IntegerKind(), Label("Viewing permission", "观看权限设置"),
        Label(
            "Who may watch: anyone with the link, or only those chosen. The vendor has not "
            "published the values: passed through as given.",
            "观看权限：有链接即可观看，或仅指定人员。厂商未公布取值，按所填整数原样发送。",
        ),
        aliases=("Viewing set", "观看权限"),
        vendor_undefined=Label("its values", "取值"),
        sources=("HELP: 观看权限, two modes",),
    ),
    Setting(
        "liveAndPlaybackClassMemberState", IntegerKind(), Label("Members may watch", "课节成员可观看"),
        Label(
            "Members of this classroom may watch. Values unpublished: passed through as given.",
            "本课节的成员可观看。厂商未公布取值，按所填整数原样发送。",
        ),
        aliases=("Class member state", "本课节的成员可观看", "成员可观看"),
        vendor_undefined=Label("its values (0 and 1 are a guess)", "取值（0 和 1 只是推测）"),
        sources=("HELP: needs login to watch",),
    ),
    Setting(
        "liveAndPlaybackUserState", IntegerKind(), Label("Chosen students may watch", "所选学生可观看"),
        Label(
            "The students listed may watch. Values unpublished: passed through as given.",
            "所选学生可观看。厂商未公布取值，按所填整数原样发送。",
        ),
        aliases=("User state", "指定学生可观看"),
        vendor_undefined=Label("its values (0 and 1 are a guess)", "取值（0 和 1 只是推测）"),
        sources=("HELP: needs login to watch",),
    ),
    Setting(
        "liveAndPlaybackStudentUids", IdListKind(), Label("Student UIDs", "学生UID"),
        Label(
            "ClassIn UIDs of the students who may watch, separated by commas or spaces. Not the "
            "console's student ids.",
            "可观看学生的 ClassIn UID，用逗号或空格分隔。不是控制台里的 studentId。",
        ),
        aliases=("Student UID list", "Students", "学生UID列表", "可观看学生"),
        vendor_undefined=Label(
            "whether it replaces or appends, its greatest length, and what empty means",
            "是替换还是追加、最多多少个，以及为空的含义",
        ),
        sources=("HELP: UIDs come from register; the console's studentId is another number",),
    ),
    Setting(
        "webcastIntroduce", TextKind(cut_at=1000), Label("Live introduction", "直播介绍"),
        Label(
            "The text on the live page. Up to 1000 characters are known to be safe.",
            "直播页面上的介绍文字。1000 个字符以内是安全的。",
        ),
        aliases=("Introduction", "Description", "直播简介", "介绍", "简介"),
        vendor_undefined=Label("its limit and whether HTML is accepted", "长度上限，以及是否接受 HTML"),
        sources=("V1: classIntroduce is cut at 1000 characters without a word",),
    ),
    Setting(
        "customColumn", TextKind(cut_at=50), Label("Custom column", "自定义列"),
        Label(
            "A tag of your own, up to 50 characters.",
            "自定义标记，50 个字符以内。",
        ),
        aliases=("Custom", "自定义"),
        vendor_undefined=Label("whether it alone counts as a setting", "单独填写它是否算作一项设置"),
        sources=("RULES: siblings cut it at 50 characters without a word",),
    ),
)  # fmt: skip

_FOUR: Final = ("recordState", "recordType", "liveState", "openState")
_ON: Final = frozenset({1})
_ANY_ON: Final = frozenset({1, 2})
_RECORDING_OFF: Final = frozenset({0})
_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

_RULES: Final[tuple[Rule, ...]] = (
    Clash("rule.live_needs_recording", _ERROR, "liveState", _ON, "recordState", _RECORDING_OFF),
    Clash("rule.playback_needs_recording", _ERROR, "openState", _ON, "recordState", _RECORDING_OFF),
    Clash("rule.type_needs_recording", _WARNING, "recordType", _ANY_ON, "recordState",
          _RECORDING_OFF),
    *(
        Clash("rule.main_recording_alone", _ERROR, "useCoMainRecord", _ON, key, _ANY_ON)
        for key in _FOUR
    ),
    Clash("rule.chat_needs_live", _WARNING, "allowUnloggedChat", _ON, "recordState",
          _RECORDING_OFF),
    Clash("rule.chat_needs_live", _WARNING, "allowUnloggedChat", _ON, "liveState", _RECORDING_OFF),
    TooFew("rule.login_needs_two", _WARNING, "watchByLogin", _ON,
           ("recordState", "liveState", "openState"), 2),
    Together("rule.partial_group", _WARNING, _FOUR),
    Needs(
        "rule.viewing_needs_login", _WARNING,
        ("liveAndPlaybackClassMemberState", "liveAndPlaybackUserState",
         "liveAndPlaybackStudentUids"),
        "watchByLogin", 1,
    ),
)  # fmt: skip

_R = ReplyClass
_ASK: Final = Label(
    "Ask your ClassIn account manager to enable it, or take it out of the sheet.",
    "请联系 ClassIn 客户经理开通，或从表格中去掉该设置。",
)
_CHECK_ID: Final = Label(
    "Check the id in this row against ClassIn.", "请对照 ClassIn 检查这一行的 ID。"
)
_FIX_ROW: Final = Label(
    "Check the settings in this row and send it again.", "请检查这一行的设置后重新提交。"
)
_AGAIN: Final = Label(
    "Send the row again; repeating it is harmless.", "请重新提交这一行，重复发送没有副作用。"
)
_LOCKED: Final = Label(
    "Settings of this class can no longer be changed; take the locked ones out of the row.",
    "该课堂的设置已不能修改，请从这一行去掉已锁定的设置。",
)
_SLOWER: Final = Label("Send again at a lower --rate.", "请用更低的 --rate 重新提交。")
_CREDENTIALS: Final = Label(
    "Check BULKCAST_SID and BULKCAST_SECRET against the console (My institution > API).",
    "请对照控制台（我的机构 > API对接）检查 BULKCAST_SID 和 BULKCAST_SECRET。",
)
_CLOCK: Final = Label("Set this computer's clock and time zone right.", "请校准本机的时钟和时区。")
_LATER: Final = Label("Wait until ClassIn is back, then resume.", "请等待 ClassIn 恢复后继续。")

_REPLIES: Final = (
    # -------- on the endpoint's own page
    ReplyCode(1, _R.OK, Label("Applied.", "已应用。"), Label("", ""), on_page=True,
              cause=Cause.APPLIED),
    ReplyCode(101001001, _R.ROW, Label("Parameter error.", "参数错误。"), _FIX_ROW, on_page=True,
              cause=Cause.MALFORMED),
    ReplyCode(101002005, _R.CREDENTIALS,
              Label("The signature is wrong: SID and secret do not belong together.",
                    "签名异常：SID 与密钥不匹配。"), _CREDENTIALS, on_page=True,
              cause=Cause.WRONG_SIGNATURE),
    ReplyCode(101002006, _R.CLOCK,
              Label("The timestamp is more than 5 minutes off ClassIn's clock.",
                    "时间戳与 ClassIn 时间相差超过 5 分钟。"), _CLOCK, on_page=True,
              cause=Cause.WRONG_STAMP),
    ReplyCode(101002008, _R.CREDENTIALS,
              Label("The timestamp did not arrive: something on the way strips headers.",
                    "时间戳不存在：中间设备可能去掉了请求头。"),
              Label("Try another network, or ask your network's administrator.",
                    "请更换网络，或联系网络管理员。"), on_page=True, cause=Cause.NO_STAMP),
    ReplyCode(104, _R.TRANSIENT, Label("ClassIn reports an unknown error.", "ClassIn 返回未知错误。"),
              _AGAIN, on_page=True, ambiguous=True),
    ReplyCode(145, _R.TOO_LATE, Label("The class has already ended.", "课堂已经结束。"), _LOCKED,
              on_page=True, cause=Cause.ENDED),
    ReplyCode(350, _R.TOO_LATE,
              Label("Class begins in less than 20 minutes.", "距离开课不足 20 分钟，不能修改。"),
              _LOCKED, on_page=True, cause=Cause.STARTS_SOON),
    ReplyCode(121601005, _R.INSTITUTION,
              Label("The institution's edition has no web live streaming.", "机构版本不支持网页直播。"),
              _ASK, features=("liveState",), on_page=True),
    ReplyCode(121601006, _R.INSTITUTION,
              Label("The institution's edition has no on-site recording.", "机构版本不支持录制现场。"),
              _ASK, features=("recordType",), on_page=True),
    # Sibling pages give this code the text "web playback not supported".
    ReplyCode(121601009, _R.INSTITUTION,
              Label("Web live streaming or playback is not enabled for the institution.",
                    "机构未开通网页直播或网页回放。"),
              _ASK, features=("liveState", "openState"), on_page=True),
    ReplyCode(121601010, _R.INSTITUTION,
              Label("The institution has no permission for cloud recording.", "机构没有云端录课权限。"),
              _ASK, features=("recordState",), on_page=True),
    ReplyCode(121601031, _R.ROW,
              Label("The classroom does not belong to this institution.", "课堂不属于该机构。"),
              _CHECK_ID, on_page=True, cause=Cause.OTHER_INSTITUTION),
    ReplyCode(121601045, _R.ROW, Label("The classroom has been deleted.", "课堂已被删除。"),
              _CHECK_ID, on_page=True, cause=Cause.DELETED),
    ReplyCode(121604007, _R.INSTITUTION,
              Label("The institution cannot set OMO live sessions.", "机构不支持设置 OMO 站播。"),
              _ASK, features=("omoStationBroadcast",), on_page=True),
    ReplyCode(121604008, _R.ROW,
              Label("Only a dual-teacher sub-classroom can use the main classroom's recording.",
                    "只有双师子课堂可以使用主课堂的录课。"), _FIX_ROW, on_page=True,
              cause=Cause.NOT_DUAL_TEACHER),
    ReplyCode(122301037, _R.ROW,
              Label("Recording and live streaming settings do not match.", "录课与直播参数不匹配。"),
              Label("Give recording, type, live and playback together, recording on if live or "
                    "playback is.", "请同时填写录课、录课类型、直播、回放；开直播或回放时录课须为开。"),
              on_page=True, cause=Cause.MISMATCH),
    # -------- on siblings' pages; the same service may answer with them here
    ReplyCode(121601002, _R.OK_WARNING,
              Label("Applied, but the institution's classroom resources are over quota.",
                    "已应用，但机构的课堂资源超出配额。"),
              Label("Ask your ClassIn account manager about the quota.", "请联系 ClassIn 客户经理。")),
    ReplyCode(100, _R.ROW, Label("Parameters are missing or wrong.", "参数不全或错误。"), _FIX_ROW),
    ReplyCode(102, _R.CREDENTIALS,
              Label("No permission: wrong SID or secret, or the contract has ended.",
                    "没有权限：SID 或密钥错误，或合同到期、欠费。"), _CREDENTIALS),
    ReplyCode(114, _R.TRANSIENT, Label("ClassIn reports a server exception.", "ClassIn 服务端异常。"),
              _AGAIN, ambiguous=True),
    ReplyCode(124, _R.TOO_LATE,
              Label("Class begins in less than a minute.", "距离开课不足 1 分钟，不能修改。"), _LOCKED),
    ReplyCode(140, _R.TOO_LATE, Label("The class is running.", "课堂正在进行，不能修改。"), _LOCKED),
    ReplyCode(142, _R.ROW, Label("The course has no such classroom.", "班级下没有该课堂。"), _CHECK_ID,
              cause=Cause.OTHER_COURSE),
    ReplyCode(143, _R.ROW, Label("There is no such classroom.", "课堂不存在。"), _CHECK_ID),
    ReplyCode(144, _R.ROW, Label("The course is not this institution's.", "班级不属于该机构。"),
              _CHECK_ID),
    ReplyCode(147, _R.ROW, Label("There is no such course.", "班级不存在。"), _CHECK_ID),
    ReplyCode(149, _R.ROW, Label("The course has been deleted.", "班级已被删除。"), _CHECK_ID),
    ReplyCode(153, _R.ROW, Label("The course has expired.", "班级已过期。"), _CHECK_ID),
    ReplyCode(155, _R.ROW, Label("A list arrived empty or in the wrong form.", "数组为空或格式错误。"),
              _FIX_ROW),
    ReplyCode(212, _R.ROW, Label("The classroom has been deleted.", "课堂已被删除。"), _CHECK_ID),
    ReplyCode(221, _R.TRANSIENT, Label("ClassIn could not update the video settings.",
                                       "ClassIn 更新录播设置失败。"), _AGAIN, ambiguous=True),
    ReplyCode(222, _R.TRANSIENT, Label("ClassIn could not update the classroom.",
                                       "ClassIn 更新课堂失败。"), _AGAIN, ambiguous=True),
    ReplyCode(226, _R.ROW, Label("Live or playback needs recording on.", "直播或回放需要开启录课。"),
              _FIX_ROW),
    ReplyCode(251, _R.ROW, Label("Live or playback needs recording on.", "直播或回放需要开启录课。"),
              _FIX_ROW),
    ReplyCode(252, _R.TOO_LATE,
              Label("Recording and live can be changed only until 20 minutes before class.",
                    "录课和直播只能在开课 20 分钟前修改。"), _LOCKED),
    ReplyCode(253, _R.TRANSIENT, Label("ClassIn's video service asks to try later.",
                                       "ClassIn 视频服务异常，请稍后重试。"), _AGAIN, ambiguous=True),
    ReplyCode(269, _R.ROW, Label("The classroom's data are broken at ClassIn.", "课堂数据异常。"),
              Label("Delete the classroom in ClassIn and create it again.", "请删除课堂后重新创建。")),
    ReplyCode(369, _R.ROW, Label("This type of course or classroom is not supported.",
                                 "不支持该类型的班级或课堂。"), _CHECK_ID),
    ReplyCode(385, _R.TOO_LATE, Label("The class is over.", "已超过课堂结束时间。"), _LOCKED),
    ReplyCode(451, _R.ROW, Label("The introduction was refused: too long.", "直播介绍设置失败：超长。"),
              Label("Shorten the introduction.", "请缩短直播介绍。")),
    ReplyCode(454, _R.ROW, Label("The class overlaps a maintenance window.", "课堂与系统维护时间重叠。"),
              Label("Move the class or set it in the console.", "请调整课堂时间。")),
    ReplyCode(460, _R.THROTTLED, Label("ClassIn asks for fewer requests.", "请求过于频繁。"), _SLOWER),
    ReplyCode(464, _R.THROTTLED, Label("ClassIn asks for fewer requests.", "请求过于频繁。"), _SLOWER),
    ReplyCode(466, _R.ROW, Label("A classroom made in the client cannot be edited this way.",
                                 "客户端创建的课堂不能用此接口修改。"), _CHECK_ID),
    ReplyCode(875, _R.TOO_LATE,
              Label("Class begins in less than 5 minutes.", "距离开课不足 5 分钟，不能修改。"), _LOCKED),
    ReplyCode(901, _R.MAINTENANCE, Label("ClassIn is under maintenance.", "ClassIn 系统维护中。"),
              _LATER),
    ReplyCode(29149, _R.ROW, Label("The activity has been deleted.", "活动已被删除。"), _CHECK_ID),
    ReplyCode(30002, _R.ROW, Label("There is no such activity.", "活动不存在。"), _CHECK_ID),
    ReplyCode(101003001, _R.THROTTLED, Label("Requests come too often.", "请求过于频繁。"), _SLOWER,
              cause=Cause.TOO_OFTEN),
    ReplyCode(101003002, _R.THROTTLED,
              Label("An identical request arrived within 5 seconds.", "5 秒内收到相同的请求。"), _AGAIN,
              ambiguous=True),
    ReplyCode(110100069, _R.TOO_LATE, Label("The activity has ended.", "活动已结束。"), _LOCKED),
    ReplyCode(110100070, _R.ROW, Label("The activity is of another type.", "活动类型错误。"),
              _CHECK_ID),
    # An edition code that names no feature: the row's own settings are what it cannot have.
    ReplyCode(121601001, _R.INSTITUTION,
              Label("The institution's edition does not have this setting.", "机构版本不支持该设置。"),
              _ASK),
    ReplyCode(121601014, _R.ROW,
              Label("Recording and live streaming settings do not match.", "录课与直播参数不匹配。"),
              _FIX_ROW),
    ReplyCode(121601020, _R.ROW, Label("A setting's value is wrong.", "业务参数错误。"), _FIX_ROW),
    ReplyCode(121601021, _R.ROW, Label("The course is not this institution's.", "班级不属于该机构。"),
              _CHECK_ID),
    ReplyCode(121601022, _R.ROW, Label("The course is not a standard one.", "不是标准班级。"),
              _CHECK_ID),
    ReplyCode(121601023, _R.ROW, Label("The course has expired.", "班级已过期。"), _CHECK_ID),
    ReplyCode(121601030, _R.ROW, Label("Parameters are incomplete or wrong.", "参数不全或错误。"),
              _FIX_ROW),
    ReplyCode(121601032, _R.INSTITUTION,
              Label("The institution has no permission for this operation.", "机构没有该操作的权限。"),
              _ASK),
    ReplyCode(121601033, _R.TRANSIENT, Label("ClassIn could not process the classroom.",
                                             "课堂处理失败。"), _AGAIN, ambiguous=True),
    ReplyCode(121601034, _R.ROW, Label("Not a dual-teacher classroom.", "不是双师课堂。"), _CHECK_ID),
    ReplyCode(121601042, _R.TOO_LATE, Label("The classroom has ended or been deleted.",
                                            "课堂已结束或已删除。"), _LOCKED),
)  # fmt: skip

WEBCAST: Final = Endpoint(
    name="webcast",
    path="/lms/activity/setWebcast",
    columns=_COLUMNS,
    # 班级 ("class") is the API's course and 课堂 ("classroom") its class: an English "Class ID"
    # is as often one as the other.  The API's own spelling, `classId`, is not in doubt.
    ambiguous_headers={
        fold("Class ID"): ("courseId", "classId"),
        # Whether to record, or what.
        fold("录制"): ("recordState", "recordType"),
    },
    rules=_RULES,
    replies=_REPLIES,
    limit=Limit(
        1000, 60.0,
        "CREATE: 1000 calls a minute for createClass; nothing is published for setWebcast",
    ),
    lock_before_s=20 * 60,
    harmless=(("courseId", 0),),
)  # fmt: skip
