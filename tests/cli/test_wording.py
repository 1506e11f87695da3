"""What people read: settings by their own headers, states and answers in their own words."""

import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import Role
from bulkcast.cli import language
from bulkcast.endpoints import WEBCAST
from bulkcast.languages import translator
from bulkcast.model import RowStatus, Target, Text
from bulkcast.problems import PROBLEMS, issue
from tests.cli_runner import FAST, CliRunner, clearing, line, lines, write_csv

OWN = "备注,活动,录课,录课类型,直播,回放\n"
_NAMED = (c.key for c in WEBCAST.columns if c.role is not Role.INSTITUTION)  # an ordinary word
KEYS = re.compile(r"\b(" + "|".join(_NAMED) + r")\b")


@pytest.fixture(autouse=True)
def _room_for_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


# ------------------------------------------------------------------ settings by their headers


def own_headers(folder: Path, *rows: str) -> Path:
    sheet = folder / "term.csv"
    sheet.write_text(OWN + "\n".join(rows) + "\n", encoding="utf-8")
    return sheet


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_problem_names_settings_as_the_users_own_headers_spell_them(
    cli: CliRunner, lang: str
) -> None:
    sheet = own_headers(cli.folder, "a,25096001,0,0,1,1", "b,,1,0,1,1", "c,25096002,1,,,")

    said = cli.call("validate", sheet, "--lang", lang, "--map", "活动=activityId")

    for wanted in {
        "en": ("直播 is on while 录课 is off", "Switch 录课 on, or 直播 off", "Fill in 活动",
               "The row sets only 录课; ClassIn treats 录课, 录课类型, 直播, 回放 as one set"),
        "zh": ("“直播”为开，而“录课”为关", "请把“录课”设为开，或把“直播”设为关", "请填写 活动",
               "只填写了 录课；ClassIn 把 录课、录课类型、直播、回放 视为一组"),
    }[lang]:  # fmt: skip
        assert wanted in said.out
    assert KEYS.search(said.out) is None, said.out


def test_a_result_sheet_and_its_run_name_settings_as_the_sheet_does(cli: CliRunner) -> None:
    sheet = own_headers(cli.folder, "a,25096001,0,0,1,1", "b,25096002,1,0,1,1")
    mapped = ("--map", "活动=activityId")

    with clearing(cli):
        sent = cli.call("apply", sheet, "-y", *FAST, *mapped, "-o", cli.folder / "out.csv")
        shown = cli.call("runs", "show")

    assert "录课 (1)" not in sent.out
    assert "On (1)" in sent.err
    results = (cli.folder / "out.csv").read_text("utf-8-sig")
    assert "[直播] 直播 is on while 录课 is off." in results
    assert "直播 is on while 录课 is off." in shown.out
    # What is typed again is no prose.
    told = re.sub(r"--map \S+", "", sent.out + sent.err + shown.out + results)
    assert KEYS.search(told) is None


def test_a_setting_without_a_column_is_named_by_its_label() -> None:
    needs = issue("rule.viewing_needs_login", row=7)
    chinese = translator("zh").with_headers({"liveState": "直播?"})

    assert "Login to watch on" in translator("en").say(needs.message)
    assert "“登录观看”" in chinese.say(needs.message)
    assert (
        chinese.tell("{settings}", settings=SettingNames(("liveState", "openState")))
        == "直播?、网页回放"
    )
    assert chinese.tell("{where}", where=Target("classId", 7)) == "课堂ID 7"


@pytest.mark.parametrize("code", PROBLEMS)
def test_no_problem_spells_a_key_that_it_could_name(code: str) -> None:
    problem = PROBLEMS[code]
    literal = re.sub(r"\{\w+\}", "", problem.message + problem.fix)

    assert KEYS.search(literal) is None
    named = set(re.findall(r"\{(\w+)\}", problem.message + problem.fix)) & set(WEBCAST.by_key)
    told = translator("en").say(Text(problem.message)) + translator("en").say(Text(problem.fix))
    assert all(WEBCAST.by_key[key].label.en in told for key in named)


def test_a_header_that_is_wrong_is_told_with_labels_and_mended_with_keys(cli: CliRunner) -> None:
    sheet = cli.folder / "a.csv"
    sheet.write_text("Class ID,录课,云录课\n1,1,1\n", encoding="utf-8")

    said = cli.call("validate", sheet, "--lang", "zh").out

    assert "班级ID 或 课堂ID" in said
    assert '--map "Class ID=courseId"' in said
    assert "云端录课" in said


# ------------------------------------------------------------------ what is sent and what is not


def test_a_resubmission_tells_what_was_applied_now_from_what_was_before(cli: CliRunner) -> None:
    rows = lines(5)
    rows[4] = ["课", "25096004", "maybe", "0", "1", "1", "x"]
    target = cli.folder / "out.csv"

    with clearing(cli):
        first = cli.call("apply", write_csv(cli.folder / "t.csv", rows), "-y", *FAST,
                          "-o", target)  # fmt: skip
        text = target.read_text("utf-8-sig").replace("maybe", "1")
        target.write_text(text, encoding="utf-8-sig")
        again = cli.call("resubmit", target, "-y", *FAST)
        newest = cli.call("runs", "show", "--lang", "zh")
        counted = cli.call("runs", "show", "--json").document["counts"]

    assert "in an earlier run" not in first.out
    assert "4 done by an earlier run and not sent again" in again.err
    assert "left out by your choice" not in again.err
    assert "5 ✓ applied  ClassIn acknowledged them: 1 now, 4 in an earlier run" in again.out
    assert "本次 1 行，之前的批次 4 行" in newest.out
    assert counted["applied"] == sum(counted.values()) == 5


def test_apply_lists_the_warnings_of_rows_before_it_sends_them(cli: CliRunner) -> None:
    rows = [[*line(n)[:3], "", "", "1", ""] for n in range(30)]
    sheet = write_csv(cli.folder / "t.csv", rows)

    with clearing(cli):
        some = cli.call("apply", sheet, "-y", *FAST)
        every = cli.call("apply", sheet, "-y", *FAST, "--all")

    assert "rule.partial_group · 30 places" in some.err
    assert some.err.count("The row sets only") == 1
    assert "rows 2-31" in some.err
    assert every.err.index("partial_group") < every.err.index("To send: 30 rows")


def dated(path: Path, *begin_in_s: float) -> Path:
    begins = (datetime.fromtimestamp(time.time() + s, UTC).isoformat() for s in begin_in_s)
    rows = [f"{25096000 + n},{at},1,0,1,1" for n, at in enumerate(begins)]
    head = "activityId,startTime,recordState,recordType,liveState,openState"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_rows_that_are_locked_already_are_neither_counted_nor_billed(cli: CliRunner) -> None:
    sheet = dated(cli.folder / "t.csv", 60, 86400)

    said = cli.call("plan", sheet)
    document = cli.call("plan", sheet, "--json").document

    assert "To send: 1 row, 1 classroom · 1 already locked and not sent" in said.out
    assert "1 row is already locked and is not sent:" in said.out
    assert re.search(r"row 2, activityId 25096000: already locked at 20\d\d-", said.out)
    assert "in 1 classroom" in said.out
    assert (document["to_send"], document["locked"], document["order"]) == (1, 1, [[3]])


def test_a_run_speaks_of_no_row_to_come_that_is_locked_already(cli: CliRunner) -> None:
    sheet = dated(cli.folder / "t.csv", 60, 86400)

    with clearing(cli):
        sent = cli.call("apply", sheet, "-y")

    assert "before it can be sent" not in sent.err
    assert "about less than" not in sent.err
    assert sent.status == 3


def test_a_result_sheet_that_is_left_alone_is_said_to_be(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(1))

    with clearing(cli):
        assert cli.call("apply", sheet, "-y", *FAST).status == 0
        (run,) = cli.call("runs", "--json").document["runs"]
        again = cli.call("results", run["run"])
        forced = cli.call("results", run["run"], "--force")

    assert "is there already and was left as it is; --force replaces it." in again.err
    assert "left as it is" not in forced.err


def test_a_run_that_is_over_is_resumed_in_one_sentence(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(1))

    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST)
        said = cli.call("resume")

    assert re.search(r"Run \S+ has nothing left to send\.", said.err)
    assert "Sending" not in said.err
    assert "left," not in said.err
    assert said.status == 0


# ------------------------------------------------------------------ words that are typed


@pytest.mark.parametrize("word", ["too_late", "too late", "Too-Late", "太迟", " 太迟 "])
def test_a_status_may_be_typed_as_it_is_printed_in_either_language(
    cli: CliRunner, word: str
) -> None:
    sheet = dated(cli.folder / "t.csv", 60)

    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST)
        said = cli.call("runs", "show", "--only", f"applied,{word}")

    assert said.status == 0
    assert "row 2" in said.out


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_status_is_understood_as_it_is_printed(lang: str) -> None:
    with language.speaking(lang):
        printed = {language.status_said(status): status for status in RowStatus}
        assert {word: language.status_of(word) for word in printed} == printed
        told = {language.state_said(state): state for state in language.STATES}
        assert {word: language.state_of(word) for word in told} == told


def test_a_word_that_is_no_status_is_told_which_there_are(cli: CliRunner) -> None:
    english = cli.call("runs", "show", "--only", "done")
    chinese = cli.call("runs", "--state", "好了", "--lang", "zh")

    assert english.status == chinese.status == 2
    assert "'done' is none of applied, unchanged, invalid, too_late" in english.err
    assert "已完成、已停止、进行中、中断、已清理" in chinese.err


def test_states_are_told_in_chinese_beside_the_word_of_the_sheet(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(2))

    with clearing(cli):
        sent = cli.call("apply", sheet, "-y", *FAST, "--limit", "1", "--lang", "zh")
        listed = cli.call("runs", "--lang", "zh", "--state", "已完成")

    assert "已应用（applied）" in sent.out
    assert "未发送（not_sent）" in sent.out
    assert "1 已应用、1 未发送" in listed.out
    assert "applied" not in listed.out


def answered(cli: CliRunner, sheet: Path, answer: str, lang: str) -> tuple[int, str]:
    """`apply` on a terminal, asked and answered; its exit status and what the terminal showed."""
    above, below = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bulkcast", "apply", str(sheet), *FAST, "--lang", lang],
        env=cli.environment(), stdin=below, stdout=below, stderr=below,
    )  # fmt: skip
    os.close(below)
    seen = _until(above, lambda shown: "N" in shown.rpartition("[y")[2])
    os.write(above, answer.encode())
    seen += _until(above, lambda _: False)
    os.close(above)
    return process.wait(30), seen


def _until(terminal: int, done: Callable[[str], bool]) -> str:
    shown = b""
    while not done(shown.decode("utf-8", "replace")):
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # nobody is at the other end any more
            break
    return shown.decode("utf-8", "replace")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.parametrize(
    ("answer", "lang", "status"),
    [("是\n", "zh", 0), ("yes\n", "en", 0), ("否\n", "zh", 130), ("\n", "en", 130),
     ("好吧\nＹ\n", "zh", 0)],
)  # fmt: skip
def test_a_question_is_answered_in_either_language(
    cli: CliRunner, answer: str, lang: str, status: int
) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(1))

    with clearing(cli) as sandbox:
        ended, shown = answered(cli, sheet, answer, lang)
        assert len(sandbox.log) == (status == 0)

    assert ended == status, shown
    assert ("请回答" in shown) == ("吧" in answer)


# ------------------------------------------------------------------ times


def test_a_run_is_listed_and_found_by_the_time_of_its_sheets_zone(cli: CliRunner) -> None:
    cli.set(TZ="America/New_York")
    sheet = write_csv(cli.folder / "t.csv", lines(1))
    ahead, behind = "Pacific/Kiritimati", "Pacific/Pago_Pago"  # 25 hours apart: never one day

    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST, "--tz", ahead)
        one = cli.call("runs")
        cli.call("apply", sheet, "-y", *FAST, "--tz", behind)
        two = cli.call("runs")
    newest, oldest = (r["run"] for r in cli.call("runs", "--json").document["runs"])
    day = datetime.fromtimestamp(time.time() + 14 * 3600, UTC).date().isoformat()

    assert f"Times are those of {ahead}." in one.out
    assert f" {ahead}" in two.out
    assert f" {behind}" in two.out
    found = cli.call("runs", "--since", day).out
    assert oldest in found
    assert newest not in found


def test_a_day_that_is_none_is_refused_in_words(cli: CliRunner) -> None:
    said = cli.call("runs", "--since", "明天", "--lang", "zh")

    assert said.status == 2
    assert "'明天' 不是日期；请写成 2027-03-01 的样子" in said.err
    assert cli.call("runs", "--until", "2027-02-30").status == 2


# ------------------------------------------------------------------ the help page


@pytest.mark.parametrize("width", [52, 80, 100])
@pytest.mark.parametrize("command", ["apply", "runs", "purge"])
def test_a_chinese_help_page_fits_its_terminal_and_loses_nothing(
    cli: CliRunner, command: str, width: int
) -> None:
    cli.set(COLUMNS="400")
    whole = cli.call(command, "--help", "--lang", "zh").out
    cli.set(COLUMNS=str(width))

    page = cli.call(command, "--help", "--lang", "zh").out

    assert max(cell_len(line) for line in page.splitlines()) <= width
    assert "".join(page.split()) == "".join(whole.split())
    assert not re.search(r"^\s*[，。、；：）]", page, re.MULTILINE), "a line begins with a mark"


def test_a_chinese_help_page_uses_the_width_it_has(cli: CliRunner) -> None:
    cli.set(COLUMNS="80")

    page = cli.call("--help", "--lang", "zh").out.splitlines()

    assert max(map(cell_len, page)) > 72


def test_lists_have_the_commas_of_their_language(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", [[*line(1)[:2], "maybe", *line(1)[3:]]])

    assert "0 (Off 关), 1 (On 开)" in cli.call("validate", sheet).out
    assert "0 (Off 关)、1 (On 开)" in cli.call("validate", sheet, "--lang", "zh").out


def test_a_header_in_both_languages_is_told_in_the_readers_own(cli: CliRunner) -> None:
    sheet = cli.folder / "a.csv"
    sheet.write_text("Activity ID 活动ID,网页直播 Web live,recordState\n1,1,0\n", encoding="utf-8")

    english, chinese = (cli.call("validate", sheet, "--lang", lang).out for lang in ("en", "zh"))

    assert "Web live is on while recordState is off." in english
    assert "“网页直播”为开，而“recordState”为关。" in chinese


def test_a_connection_that_is_refused_is_told_in_the_systems_words(cli: CliRunner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        port = taken.getsockname()[1]
        cli.use(f"http://127.0.0.1:{port}")
        reached = cli.call("doctor", "--lang", "zh")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        played = cli.call("sandbox", "--port", str(port), "--lang", "zh")

    assert "没有应答（它拒绝连接）" in reached.out
    assert f"无法监听 127.0.0.1 的端口 {port}（地址已被占用）" in played.err


def test_a_row_is_asked_for_the_id_that_its_sheet_has_a_column_for(cli: CliRunner) -> None:
    sheet = own_headers(cli.folder, "a,,1,0,1,1")

    said = cli.call("validate", sheet, "--map", "活动=activityId").out

    assert "→ Fill in 活动.\n" in said


def test_validate_offers_to_send_only_what_is_not_locked(cli: CliRunner) -> None:
    some = dated(cli.folder / "some.csv", 60, 86400, 86400)
    some.write_text(some.read_text("utf-8") + "x,,1,0,1,1\n", encoding="utf-8")
    none = dated(cli.folder / "none.csv", 60, 60)

    assert "or send the 2 valid rows now:" in cli.call("validate", some).err
    assert "Nothing can be sent as it is" in cli.call("validate", none).err


def test_apply_says_where_the_invalid_rows_are_explained(cli: CliRunner) -> None:
    sheet = own_headers(cli.folder, "a,25096001,0,0,1,1", "b,25096002,1,0,1,1")

    with clearing(cli):
        said = cli.call("apply", sheet, "-y", *FAST, "--map", "活动=activityId").err

    assert f"What is wrong with the invalid rows: bulkcast validate {sheet}" in said


def test_rows_that_are_not_all_named_are_told_in_the_language_spoken(cli: CliRunner) -> None:
    rows = [[*line(1)[:2], *line(n)[2:]] for n in range(30)]
    sheet = write_csv(cli.folder / "t.csv", rows)

    english, chinese = (cli.call("validate", sheet, "--lang", lang).out for lang in ("en", "zh"))

    more = re.search(r"Rows 3, 4, [\d, ]+ and (\d+) more set", english)
    assert more is not None
    assert f"（另有 {more[1]} 项）" in chinese
    assert " and " not in chinese
    assert "3、4、" in chinese


def test_an_undoing_names_what_stays_as_the_sheet_does(cli: CliRunner) -> None:
    sheet = own_headers(cli.folder, "a,25096001,1,0,1,1")

    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST, "--map", "活动=activityId")
    newest = cli.call("runs", "--json").document["runs"][0]["run"]
    said, chinese = (cli.call("undo", newest, "--lang", lang) for lang in ("en", "zh"))

    assert "录课, 录课类型, 直播, 回放: 1 classroom, row 2\n" in said.out
    assert "录课、录课类型、直播、回放：" in chinese.out
    assert cli.call("undo", newest, "--json").document["not_undone"][0]["setting"] == "recordState"


def test_a_sheet_without_rows_is_said_to_be_one(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", [])

    with clearing(cli):
        assert "There are no rows below the header yet." in cli.call("apply", sheet, "-y").err
        assert "There are no rows below the header yet." in cli.call("validate", sheet).err


def test_runs_of_two_institutions_say_which_is_whose(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(1))

    with clearing(cli) as sandbox:
        cli.call("apply", sheet, "-y", *FAST)
        one = cli.call("runs").out
        assert sandbox.log
    with clearing(cli):
        cli.set(BULKCAST_SID="77")
        cli.call("apply", sheet, "-y", *FAST)
        two = cli.call("runs").out

    assert "All of institution 99000001.\n" in one
    assert "All of" not in two
    assert re.search(r"t\.csv +77 ", two)
    assert re.search(r"t\.csv +99000001 ", two)


def test_a_page_tells_states_in_both_languages(cli: CliRunner) -> None:
    sheet = dated(cli.folder / "t.csv", 60)
    page = cli.folder / "run.html"

    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST)
        (run,) = cli.call("runs", "--json").document["runs"]
        assert cli.call("results", run["run"], "-o", page).status == 0

    text = page.read_text("utf-8")
    assert text.count('<span lang="zh">太迟（too_late）</span>') == 2
    assert text.count('<span lang="en">too_late</span>') == 2


@pytest.mark.parametrize("command", [("apply", "-y"), ("plan",)])
def test_rows_are_chosen_by_their_results_only_where_the_sheet_has_them(
    cli: CliRunner, command: tuple[str, ...]
) -> None:
    sheet = write_csv(cli.folder / "t.csv", lines(3))

    with clearing(cli) as sandbox:
        said = cli.call(*command, sheet, "--only", "rejected")
        assert not sandbox.log

    assert said.status == 2
    assert "t.csv is no result sheet: it has no column bulkcast_status" in said.err


def test_a_run_without_such_rows_says_so(cli: CliRunner) -> None:
    with clearing(cli):
        cli.call("apply", write_csv(cli.folder / "t.csv", lines(1)), "-y", *FAST)
        said = cli.call("runs", "show", "--only", "rejected", "--lang", "zh")

    assert "没有这样的行。" in said.out
