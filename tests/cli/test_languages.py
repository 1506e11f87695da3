"""Every sentence a user meets is there in both languages, and none goes past the translator."""

import ast
import io
import re
import string
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from bulkcast.cli import language
from bulkcast.cli.app import bulkcast
from bulkcast.cli.console import Symbols
from bulkcast.cli.render import Problems, problems
from bulkcast.dispatcher.write_ordering import WAITED
from bulkcast.i18n import ENGLISH
from bulkcast.languages import FOLDERS, of_terminal, translator
from bulkcast.model import Severity, Text
from bulkcast.problems import issue
from tests import translations
from tests.cli_runner import FAST, CliRunner, clearing, line, lines, write_csv, write_xlsx
from tests.english_words import english_in
from tests.english_words import strings as _strings
from tests.source_files import ROOT

STALE = f"run: {translations.COMMAND}"
LANGS = tuple(FOLDERS)


@pytest.fixture(autouse=True)
def _room_for_every_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")


# ------------------------------------------------------------------ the catalogues


def _fields(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("lang", LANGS)
def test_every_sentence_of_the_code_is_translated_and_none_is_in_doubt(lang: str) -> None:
    catalogue = translations.read(lang)
    known = {m.id if isinstance(m.id, tuple) else (m.id,): m for m in catalogue if m.id}

    assert set(translations.sentences()) == set(known), STALE
    assert [i for i, m in known.items() if not all(_strings(m))] == [], "these wait for their words"
    assert [i for i, m in known.items() if m.fuzzy] == []


@pytest.mark.parametrize("lang", LANGS)
def test_a_translation_has_the_same_blanks_as_its_sentence(lang: str) -> None:
    wrong = [
        message.id
        for message in translations.read(lang)
        if message.id
        for template in [message.id if isinstance(message.id, str) else message.id[-1]]
        if any(_fields(told) != _fields(template) for told in _strings(message))
    ]

    assert wrong == []


@pytest.mark.parametrize("lang", LANGS)
def test_a_command_that_is_named_is_named_alike(lang: str) -> None:
    """What stands in `…`, options and variables are typed, so they are not translated."""
    typed = re.compile(r"`[^`{]*`|--[a-z-]+|BULKCAST_\w+|[a-z]+[A-Z]\w+")
    wrong = [
        message.id
        for message in translations.read(lang)
        if isinstance(message.id, str) and message.id
        if not set(typed.findall(message.id)) <= set(typed.findall(_strings(message)[0]))
    ]

    assert wrong == []


@pytest.mark.parametrize("lang", LANGS)
def test_the_compiled_catalogue_is_that_of_the_translations(lang: str) -> None:
    catalogue = translations.read(lang)
    catalogue.project, catalogue.version = "another", "header"  # as another Babel writes another

    compiled = translations.compiled(catalogue)
    committed = translations.mo_path(lang).read_bytes()

    assert compiled != committed
    assert translations.entries(committed) == translations.entries(compiled), STALE


# ------------------------------------------------------------------ no way past the translator


def _calls(folder: Path) -> Iterator[tuple[Path, ast.Call, str]]:
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                yield path, node, getattr(node.func, "attr", getattr(node.func, "id", ""))


def _written(node: ast.expr) -> str:
    """What a literal says apart from what fills it."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_written(value) for value in values)
        case _:
            return ""


def test_an_error_keeps_its_sentence_apart_from_what_fills_it() -> None:
    names = set(translations._EXCEPTIONS)

    glued = [
        f"{path.name}:{call.lineno}"
        for path, call, name in _calls(ROOT / "bulkcast")
        if name in names and isinstance(call.args[0], ast.JoinedStr)
    ]

    assert glued == [], "an f-string cannot be translated: give a template and its arguments"


def test_nothing_is_shown_that_was_not_handed_to_the_translator() -> None:
    shown = {"Text", "whole", "append", "warn", "confirm", "UsageError", "fail", "add_column"}

    past = [
        f"{path.name}:{call.lineno}: {_written(call.args[0])}"
        for path, call, name in _calls(ROOT / "bulkcast" / "cli")
        if name in shown and re.search(r"[A-Za-z]{3}", _written(call.args[0]))
    ]

    assert past == [], "wrap it in tr()"


# ------------------------------------------------------------------ what is really said

SAMPLES = sorted(
    p for p in (ROOT / "samples").rglob("*") if p.suffix in {".csv", ".tsv", ".xlsx", ".xls"}
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_no_english_is_left_in_what_is_said_of_a_sheet(sample: Path, cli: CliRunner) -> None:
    said = cli.call("validate", sample, "--all", "-v", "--lang", "zh")
    listed = cli.call("validate", sample, "--json", "--lang", "en")
    data = listed.document["issues"] if listed.out else []
    cells = [str(part) for issue in data for part in (issue["value"], issue["column"])]
    cells += listed.document["ignored_columns"] if listed.out else []
    cells += [part for issue in data for part in re.findall("“(.+?)”", issue["message"])]

    spoken = re.sub(r"\w+…", "", said.out + said.err)  # a cell that was shortened

    assert english_in(spoken, str(sample), "Classes", *cells) == set(), spoken


def test_no_english_is_left_in_the_help_of_any_command(cli: CliRunner) -> None:
    for name in ("", *bulkcast.commands):
        said = cli.call(*([name] if name else []), "--help", "--lang", "zh")

        assert said.status == 0
        assert english_in(said.out) == set(), said.out


@pytest.mark.parametrize(
    "argv",
    [
        ("nonsense",), ("apply",), ("apply", "a.csv", "--nonsense"), ("results", "r"),
        ("apply", "a.csv", "--rows", "x"),
        ("apply", "a.csv"), ("apply", "a.csv", "--yes", "--rate", "x"),
        ("apply", "a.csv", "--yes", "--timeout", "0"), ("validate", "a.csv", "--tz", "Nowhere"),
        ("validate", "a.csv", "--map", "x"), ("validate", "a.csv", "--only"), ("plan",),
        ("plan", "a.csv", "--only", "x"), ("plan", "a.csv", "--limit", "0"), ("runs",),
        ("resume", "r", "--sandbox"), ("doctor",), ("doctor", "--sandbox", "--profile", "p"),
        ("validate", "."), ("validate", "a.csv", "--encoding", "x"), ("sandbox", "--port", "x"),
        ("validate", "a.csv", "b.csv"), ("validate", "a.csv", "--delimiter", "xx"),
        ("resubmit", "a.csv", "--yes"), ("apply", "a.csv", "--yes", "--force=1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_no_english_is_left_in_what_goes_wrong(argv: tuple[str, ...], cli: CliRunner) -> None:
    cli.monkeypatch.chdir(write_csv(cli.folder / "a.csv", lines(2)).parent)

    said = cli.call(*argv, "--lang", "zh")

    assert english_in(said.out + said.err, *argv, str(cli.folder)) == set(), said.err


def test_no_english_is_left_in_a_run_and_its_result_sheet(cli: CliRunner) -> None:
    rows = [
        *lines(3),
        ["课", "待定", "maybe", "0", "1", "1", "x"],
        [*line(1)[:2], "1", "1", "0", "0", ""],
    ]
    sheet = write_csv(cli.folder / "term.csv", rows)
    target = cli.folder / "out.csv"
    data = (sheet.read_text("utf-8"), str(target), sheet.name)

    with clearing(cli):
        sent = cli.call("apply", sheet, "--yes", *FAST, "-o", target, "--lang", "zh")
        again = cli.call("resubmit", target, "--yes", *FAST, "--lang", "zh")
        seen = [
            cli.call(*words, "--lang", "zh")
            for words in (
                ("runs",),
                ("doctor",),
                ("plan", sheet),
                ("apply", sheet, "-n"),
                ("runs", "show"),
                ("runs", "show", "--only", "invalid"),
                ("runs", "--state", "crashed"),
                ("results", sent.out.partition("results-")[2][:20], "-o", cli.folder / "a.html"),
            )
        ]

    spoken = [said.out + said.err for said in (sent, again, *seen)]
    for text in (*spoken, target.read_text("utf-8-sig")):
        assert english_in(text, *data) == set(), text
    assert "已应用" in sent.out


def dated(path: Path, begins_in: Sequence[float], recorded: int = 1, free: int = 1) -> Path:
    """Classes that begin so many seconds from now."""
    begins = (datetime.fromtimestamp(time.time() + s, UTC).isoformat() for s in begins_in)
    rows = [f"{25096000 + i},{at},{recorded},{free}" for i, at in enumerate(begins)]
    text = "\n".join(["activityId,startTime,recordState,openState", *rows])
    path.write_text(text, encoding="utf-8")
    return path


def test_no_english_is_left_in_what_is_foreseen(cli: CliRunner) -> None:
    """In time, locked already, saved by a pace that ClassIn allows or does not, saved by none."""
    minute = 20 * 60 + 30 + 1
    begins = {
        "fine": [86400.0] * 3,
        "locked": [60.0] * 9,
        "slow": [minute + 60.0] * 120,
        "fast": [minute + 2.0] * 120,
        "both": [60.0, *[minute + 60.0] * 120],
        "hopeless": [60.0, minute - 1.0],
    }
    said = {}

    for name, times in begins.items():
        sheet = dated(cli.folder / f"{name}.csv", times)
        for argv in (("validate", sheet), ("plan", sheet, "--rate", "1/s")):
            told = cli.call(*argv, "--lang", "zh")
            said[name] = told.out
            assert english_in(told.out + told.err, str(sheet)) == set(), told.out

    assert "都能及时发送" in said["fine"]
    assert "已经锁定，不会发送" in said["locked"]
    assert "可赶上这些行" in said["slow"]
    assert "超过了 ClassIn 文档允许" in said["fast"]
    assert "可赶上这些行" in said["both"]


def test_no_english_is_left_in_a_plan_its_memory_and_its_undoing(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(4))
    plan = cli.folder / "term.plan"
    late = dated(cli.folder / "late.csv", [60.0])
    data = (sheet.read_text("utf-8"), str(cli.folder), "term late back.doc")

    with clearing(cli):
        frozen = cli.call("plan", sheet, "-o", plan, "--lang", "zh")
        calls = [
            ("apply", plan, "-n", "--sandbox"),
            ("apply", plan, "-y", "--strict"),
            ("apply", plan, "-y", *FAST),
            ("plan", sheet, "--changed-only", "-v"),
            ("apply", sheet, "--changed-only", "-y"),
            ("plan", sheet, "--max-changes", "x"),
            ("apply", sheet, "-y", "--max-changes", "1"),
            ("apply", sheet, "-y", "--approve", "0123456789abcdef"),
            ("apply", "-", "-y"),
            ("plan", late, "--send-free"),
            ("undo", "0", "-o", cli.folder / "undone.csv"),
        ]
        said = [frozen, *(cli.call(*argv, "--lang", "zh") for argv in calls)]
        changed = [*line(0)[:2], "0", "1", "0", "0", "geheim"]
        write_csv(sheet, [changed, line(1), [*line(9)[:2], "0", "0", "0", "0", "geheim"]])
        said.append(cli.call("apply", plan, "-y", "--lang", "zh"))
        said.append(cli.call("apply", sheet, "-y", *FAST, "--lang", "zh"))
        newest, *_, first = [r["run"] for r in cli.call("runs", "--json").document["runs"]]
        said += [
            cli.call(*argv, "--lang", "zh")
            for argv in (
                ("plan", sheet, "-v"),
                ("undo", first, "-o", cli.folder / "none.csv"),
                ("undo", newest, "-o", cli.folder / "back.doc"),
                ("undo", newest, "-o", cli.folder / "back.csv"),
                ("purge", "--older-than", "0d", "-y"),
                ("purge", "--older-than", "0d", "-y"),
                ("runs",),
            )
        ]
        plan.write_text(plan.read_text("utf-8").replace("term.csv", "gone.csv"), encoding="utf-8")
        said.append(cli.call("apply", plan, "-y", "--lang", "zh"))

    texts = [told.out + told.err for told in said]
    for text in (*texts, (cli.folder / "back.csv").read_text("utf-8-sig")):
        assert english_in(text, *data) == set(), text
    assert "下一步，原样发送该计划" in texts[0]
    assert "再批准" in "".join(texts)
    assert "恢复为批次" in "".join(texts)


def test_no_english_is_left_in_the_remark_on_requests_that_waited() -> None:
    words = {"n": "3", "longest": "5"}

    told = translator("zh").say(Text(WAITED, words))

    assert english_in(told) == set()
    assert "3" in told
    assert "5" in told


def test_what_a_reader_in_another_process_refuses_is_told_in_both_languages(
    cli: CliRunner,
) -> None:
    sheet = cli.folder / "old.xls"
    sheet.write_bytes((ROOT / "samples" / "old-kind.xls").read_bytes()[:3000])

    english, chinese = (cli.call("validate", sheet, "--lang", lang).err for lang in ("en", "zh"))

    assert "old.xls: The workbook is damaged; open it and save it again as .xlsx." in english
    assert "old.xls：工作簿已损坏；请打开并重新另存为 .xlsx。" in chinese


@pytest.mark.slow
def test_no_english_is_left_in_the_demo(cli: CliRunner) -> None:
    folder = cli.folder / "demo"

    said = cli.call("demo", "--dir", folder, "--lang", "zh")

    assert english_in(said.out + said.err, str(folder), "term results mended SHEET") == set(), (
        said.out
    )


def test_json_has_the_same_keys_codes_and_states_in_both_languages(cli: CliRunner) -> None:
    sheet = write_xlsx(cli.folder / "a.xlsx", [*lines(2), ["x", "待定", "maybe", "", "", "", ""]])
    told = ("message", "fix")

    english, chinese = (
        cli.call("validate", sheet, "--json", "--lang", lang).document for lang in ("en", "zh")
    )

    assert [i["message"] for i in english["issues"]] != [i["message"] for i in chinese["issues"]]
    for document in (english, chinese):
        document["issues"] = [
            {k: v for k, v in issue.items() if k not in told} for issue in document["issues"]
        ]
    assert english == chinese


# ------------------------------------------------------------------ which language


@pytest.mark.parametrize(
    ("environ", "lang"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "zh-Hans"}, "zh"),
        ({"LANG": "de_DE", "LANGUAGE": "de:zh"}, "zh"),
        ({"LANG": "zh_CN", "LC_MESSAGES": "en_US"}, "en"),
        ({"LANG": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN", "LC_ALL": "C", "LANGUAGE": "zh"}, "en"),
        ({"LANG": "zha_CN"}, "en"),
        ({"LANG": "ja_JP"}, "en"),
    ],
)
def test_the_terminal_says_which_language_is_spoken(environ: dict[str, str], lang: str) -> None:
    assert of_terminal(environ) == lang


def test_what_the_command_line_asks_for_comes_before_the_terminal(cli: CliRunner) -> None:
    cli.set(LC_ALL="zh_CN.UTF-8")

    assert "还没有任何批次" in cli.call("runs").err
    assert "no runs yet" in cli.call("runs", "--lang", "en").err


def test_a_language_nobody_asked_for_again_is_forgotten(cli: CliRunner) -> None:
    cli.call("nonsense", "--lang", "zh")

    assert "No such command" in cli.call("nonsense").err


def test_a_phrase_is_translated_and_a_cell_is_not() -> None:
    chinese = translator("zh")
    told = chinese.say(Text("The cell holds {what}, not a text.", {"what": Text("a number")}))

    assert told == "单元格中是数字，不是文本。"
    assert "a number" in chinese.say(Text("{value} is not an id.", {"value": "a number"}))


def test_a_detail_of_a_detail_is_translated_too() -> None:
    reason = Text("Connection refused")
    detail = Text("{host} does not answer ({why})", {"host": "api.eeo.cn:443", "why": reason})

    told = translator("zh").say(Text("No connection to ClassIn: {detail}.", {"detail": detail}))

    assert told == "无法连接 ClassIn：api.eeo.cn:443 没有应答（连接被拒绝）。"


def test_an_argument_nobody_gave_shows_as_an_ellipsis() -> None:
    assert ENGLISH.tell("{value} is not an id.") == "… is not an id."


def test_a_weight_has_a_word_in_every_language() -> None:
    assert all(translator("zh").tell(weight) != weight for weight in Severity)


def test_a_chinese_sentence_is_broken_where_the_terminal_ends_and_never_cut() -> None:
    found = issue("ids.not_a_list", row=2, part="小明", value="1001001")
    screen = Console(width=24, file=io.StringIO())

    with language.speaking("zh"):
        screen.print(*problems(Problems((((found,),),), 0), Symbols()))
        sentence = language.said(found.message)

    assert isinstance(screen.file, io.StringIO)
    shown = "".join(screen.file.getvalue().split())
    assert sentence.replace(" ", "") in shown.replace("第2行", "")
    assert max(cell_len(line) for line in screen.file.getvalue().splitlines()) <= 24


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_long_cell_leaves_its_sentence_room_on_a_narrow_terminal(lang: str) -> None:
    long = issue("text.cut", row=2, value="标" * 60, n="1200", most="50")
    found = replace(long, column="Chosen students may watch", cell="Q38")
    screen = Console(width=80, file=io.StringIO())

    with language.speaking(lang):
        screen.print(*problems(Problems((((found,),),), 0), Symbols()))
        sentence = language.said(found.message)

    assert isinstance(screen.file, io.StringIO)
    told = screen.file.getvalue()
    shown = re.sub(r"Q38.*…", "", told)
    assert "Q38" in told
    assert "".join(sentence.split()) in "".join(shown.split())
    assert max(map(cell_len, told.splitlines())) <= 80
    assert len(told.splitlines()) <= 7
