"""validate, plan and template: what is offline."""

import json
import shlex
from pathlib import Path

import jsonschema
import pytest

from tests.cli_runner import CANARY, FAST, CliRunner, Said, line, lines, write_csv
from tests.source_files import ROOT

VALIDATION = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "schema", "input", "rows", "valid", "invalid", "issues", "ignored_columns", "exit",
    ],
    "properties": {
        "schema": {"const": "bulkcast.validation/1"},
        "input": {"type": "string"},
        "rows": {"type": "integer"},
        "valid": {"type": "integer"},
        "invalid": {"type": "integer"},
        "ignored_columns": {"type": "array", "items": {"type": "string"}},
        "exit": {"enum": [0, 3]},
        "issues": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [
                    "row", "column", "cell", "value", "code", "severity", "message", "fix",
                ],
                "properties": {
                    "row": {"type": ["integer", "null"]},
                    "column": {"type": ["string", "null"]},
                    "cell": {"type": ["string", "null"]},
                    "value": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                    "severity": {"enum": ["error", "warning", "note"]},
                    "message": {"type": "string"},
                    "fix": {"type": "string"},
                },
            },
        },
    },
}  # fmt: skip


@pytest.fixture
def faulty(cli: CliRunner) -> Path:
    wrong = lines(12)
    wrong[3][1] = "2.5E+07"
    wrong[5][2] = "0"
    wrong[7][3] = "sideways"
    return write_csv(cli.folder / "term.csv", wrong)


def test_a_sheet_without_fault_is_valid_and_says_what_to_type_next(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(4))

    said = cli.call("validate", sheet)

    assert said.status == 0
    assert "4 rows" in said.out
    assert "4 valid" in said.out
    assert f"bulkcast apply {sheet}" in said.err


def test_what_is_the_same_of_many_rows_is_told_once_with_its_rows(cli: CliRunner) -> None:
    table = lines(40)
    for n in (*range(3, 9), 20):
        table[n][3] = "sideways"
    sheet = write_csv(cli.folder / "term.csv", table)

    said = cli.call("validate", sheet)
    chinese = cli.call("validate", sheet, "--lang", "zh")

    assert said.out.count("sideways is not one of") == 1
    assert "rows 5-10, 22" in said.out
    assert "7 places" in said.out
    assert "第 5-10、22 行" in chinese.out
    wrong = [i for i in cli.call("validate", sheet, "--json").document["issues"] if i["row"]]
    assert [i["row"] for i in wrong if i["value"] == "sideways"] == [5, 6, 7, 8, 9, 10, 22]


def test_a_crowd_that_differs_in_its_values_is_one_line_with_the_first(cli: CliRunner) -> None:
    table = lines(40)
    for n in range(1, 31):
        table[n][3] = f"way{n}"
    sheet = write_csv(cli.folder / "term.csv", table)

    said, every = cli.call("validate", sheet), cli.call("validate", sheet, "--all")

    assert "way1, …" in said.out
    assert "rows 3-32" in said.out
    assert "way2" not in said.out
    assert all(f"way{n} is not one of" in every.out for n in range(1, 31))


def test_few_values_that_are_wrong_are_listed_each_with_its_cell(cli: CliRunner) -> None:
    table = lines(12)
    for n in (2, 4, 6):
        table[n][3] = f"way{n}"
    sheet = write_csv(cli.folder / "term.csv", table)

    said = cli.call("validate", sheet)

    assert all(part in said.out for part in ("D4", "way2", "D6", "way4", "D8", "way6"))


def test_every_problem_is_listed_with_its_cell_and_its_fix(cli: CliRunner, faulty: Path) -> None:
    said = cli.call("validate", faulty)

    assert said.status == 3
    for told in ("B5", "id.scientific", "F7", "rule.playback_needs_recording", "D9", "sideways"):
        assert told in said.out
    assert "Format the column as text" in said.out
    assert "9 valid" in said.out
    assert "3 invalid" in said.out


def test_problems_beyond_fifty_are_counted_and_listed_with_all(cli: CliRunner) -> None:
    switches = ["recordState", "liveState", "openState", "allowUnloggedChat", "recordType",
                "watchByLogin", "useCoMainRecord"]  # fmt: skip
    rows = [[str(25096001 + n), *[f"perhaps{n}"] * len(switches)] for n in range(10)]
    sheet = cli.folder / "term.csv"
    sheet.write_text("\n".join(map(",".join, [["activityId", *switches], *rows])), encoding="utf-8")

    cut, whole = cli.call("validate", sheet), cli.call("validate", sheet, "--all")

    assert "and 20 more" in cut.out
    assert cut.out.count("is not one of") == 50
    assert "more;" not in whole.out
    assert whole.out.count("is not one of") == 70


def test_notes_are_listed_only_on_request(cli: CliRunner) -> None:
    odd = line(1)
    odd[1] = "２５０９６００１"
    sheet = write_csv(cli.folder / "term.csv", [odd])

    brief, verbose = cli.call("validate", sheet), cli.call("validate", sheet, "-v")

    assert "note  " not in brief.out
    assert "1 note" in brief.out
    assert "２５０９６００１" in verbose.out


def test_the_validation_document_keeps_to_its_schema(cli: CliRunner, faulty: Path) -> None:
    said = cli.call("validate", faulty, "--json")

    jsonschema.validate(said.document, VALIDATION)
    assert said.document["rows"] == 12
    assert said.document["valid"] + said.document["invalid"] == 12
    assert said.document["ignored_columns"] == ["lesson"]
    assert said.document["exit"] == said.status == 3
    assert {i["cell"] for i in said.document["issues"] if i["severity"] == "error"} >= {"B5", "D9"}


@pytest.mark.parametrize("options", [(), ("--json",), ("-v",)])
def test_a_password_is_never_shown(cli: CliRunner, options: tuple[str, ...]) -> None:
    secret = line(1)
    secret[6] = CANARY + "\x07"
    sheet = write_csv(cli.folder / "term.csv", [secret])

    said = cli.call("validate", sheet, *options)

    assert said.status == 3
    assert "cell.control_character" in said.out
    assert CANARY not in said.out + said.err


@pytest.mark.parametrize("options", [(), ("--json",), ("-v",)])
def test_a_cell_cannot_act_on_the_terminal(cli: CliRunner, options: tuple[str, ...]) -> None:
    evil = line(1)
    evil[2] = "[bold red]\x1b[2J\x1b]0;owned\x07\x9b31m"
    sheet = write_csv(cli.folder / "term.csv", [evil])
    sheet.write_text(
        sheet.read_text("utf-8").replace("lesson", "les\x1b[2Json\x9b1m"), encoding="utf-8"
    )

    said = cli.call("validate", sheet, *options)

    assert said.status == 3
    assert "[bold red]" in said.out
    assert not {"\x1b", "\x07", "\x9b"} & set(said.out + said.err)


def test_a_column_can_be_mapped_and_a_sheet_be_strict(cli: CliRunner) -> None:
    rows = [["Group", "recordState"], ["25096001", "1"]]
    sheet = cli.folder / "term.csv"
    sheet.write_text("\n".join(",".join(cells) for cells in rows), encoding="utf-8")

    assert cli.call("validate", sheet).status == 3
    assert cli.call("validate", sheet, "--map", "Group=activityId").status == 0
    assert cli.call("validate", sheet, "--map", "Group=activityId", "--strict").status == 3


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_quiet_says_what_is_wrong_and_nothing_else(
    cli: CliRunner, faulty: Path, command: str
) -> None:
    said = cli.call(command, faulty, "-q")

    assert (said.status, said.out) == (3, "")
    assert ("2.5E+07" in said.err) == (command == "validate")
    assert ("bulkcast validate" in said.err) == (command == "plan")
    assert "valid," not in said.err


# ------------------------------------------------------------------ plan


def test_a_plan_counts_what_is_switched_and_sends_earliest_locks_first(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    sheet.write_text(
        "activityId,startTime,recordState,recordType,liveState,openState\n"
        "25096001,2099-03-03 08:00,1,0,1,1\n"
        "25096002,2099-03-01 08:00,1,0,0,1\n"
        "25096003,2099-03-02 08:00,1,0,0,1\n",
        encoding="utf-8",
    )

    said = cli.call("plan", sheet, "--rate", "1/s")

    assert said.status == 0
    assert "On (3)" in said.out
    assert "Off (2), On (1)" in said.out
    assert "3, 4, 2" in said.out
    assert "At 60/min: 2 s" in said.out


def test_a_plan_names_the_rows_whose_turn_comes_too_late(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    sheet.write_text(
        "activityId,startTime,recordState,recordType,liveState,openState\n"
        "25096001,2020-03-03 08:00,1,0,1,1\n"
        "25096002,2099-03-01 08:00,1,0,0,1\n",
        encoding="utf-8",
    )

    said, document = cli.call("plan", sheet), cli.call("plan", sheet, "--json").document

    assert "1 row is already locked and is not sent:" in said.out
    assert "activityId 25096001" in said.out
    assert [late["row"] for late in document["too_late"]] == [2]


def test_a_plan_holds_no_password(cli: CliRunner) -> None:
    secret = line(1)
    secret[6] = CANARY
    sheet = write_csv(cli.folder / "term.csv", [secret])

    said = cli.call("plan", sheet), cli.call("plan", sheet, "--json")

    assert [s.status for s in said] == [0, 0]
    assert CANARY not in "".join(s.out + s.err for s in said)
    assert said[1].document["settings"]["watchPassword"] == {"set": 1}


def test_rows_and_limit_narrow_a_plan(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(20))

    said = cli.call("plan", sheet, "--rows", "3,10-14", "--limit", "4", "--json")

    assert said.document["order"] == [[3], [10], [11], [12]]
    assert said.document["left_out"] == 16


@pytest.mark.parametrize("wrong", ["0", "5-", "9-5", "-", "a", "1-99999999", "5;6", "1-2-3", "²"])
def test_rows_that_are_none_are_refused(cli: CliRunner, wrong: str) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    said = cli.call("plan", sheet, f"--rows={wrong}")

    assert said.status == 2
    assert "5,9-20" in said.err


# ------------------------------------------------------------------ template


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_template_is_written_once_and_replaced_only_by_force(cli: CliRunner, lang: str) -> None:
    target = cli.folder / "fill in.xlsx"

    first = cli.call("template", target, "--lang", lang)
    again = cli.call("template", target)
    forced = cli.call("template", target, "--force", "--json")

    assert [first.status, again.status, forced.status] == [0, 2, 0]
    assert "exists already" in again.err
    assert forced.document["template"] == str(target)
    assert "no rows" in cli.call("validate", target).err


def test_a_template_takes_over_the_rows_of_a_sheet_and_they_mean_the_same(cli: CliRunner) -> None:
    wrong = lines(4)
    wrong[2][2] = "perhaps"
    old = write_csv(cli.folder / "old.csv", wrong)

    made = cli.call("template", cli.folder / "new.xlsx", "--from", old, "--json")
    before, after = (
        cli.call("validate", path, "--json").document for path in (old, made.document["template"])
    )

    assert made.document["rows"] == 4
    assert before["valid"] == after["valid"] == 3
    assert [i["code"] for i in after["issues"]] == [i["code"] for i in before["issues"]]
    assert after["ignored_columns"] == ["lesson"]


def test_a_template_makes_nothing_certain_that_was_a_guess(cli: CliRunner) -> None:
    samples = ROOT / "samples"
    new = cli.folder / "new.xlsx"

    doubtful = cli.call("template", new, "--from", samples / "big5-under-plain-headers.csv")
    guessed = cli.call("template", new, "--from", samples / "gbk-under-plain-headers.csv")

    assert doubtful.status == 2
    assert "big5-under-plain-headers.csv: The file does not say how" in doubtful.err
    assert guessed.status == 0
    assert "read as gb18030: “数学一班”" in guessed.err


def test_a_template_is_not_made_from_what_is_no_sheet(cli: CliRunner) -> None:
    said = cli.call("template", cli.folder / "new.xlsx", "--from", cli.folder / "none.csv")

    assert said.status == 2
    assert "There is no file" in said.err
    assert not (cli.folder / "new.xlsx").exists()


def test_an_unreadable_sheet_is_a_sentence_and_with_json_an_object(cli: CliRunner) -> None:
    sheet = cli.folder / "term.xlsx"
    sheet.write_bytes(b"PK\x03\x04 no workbook")

    said = cli.call("validate", sheet, "--json")

    assert said.status == 2
    assert said.out == ""
    sentence, document = said.err.splitlines()
    assert sentence.startswith("bulkcast: term.xlsx")
    assert json.loads(document)["error"]["code"] == "unreadable_sheet"


# ------------------------------------------------------------------ what to type next


def test_the_command_to_type_next_reads_the_sheet_as_this_one_did(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    sheet.write_bytes("lesson;aid;登录观看\n数学;25096001;1\n数学;x;1\n".encode("gb18030"))
    options = (
        "--map", "aid=activityId", "--encoding", "gb18030", "--delimiter", ";", "--tz", "UTC",
        "--strict", "--hidden", "skip",
    )  # fmt: skip

    checked = cli.call("validate", sheet, *options)
    sent = cli.call("apply", sheet, "--sandbox", "-y", *options, *FAST)

    follow = next_words(checked)
    assert follow[:3] == ["bulkcast", "apply", str(sheet)]
    tried = cli.call(*follow[1:], "--sandbox", "-y", "--json", *FAST)
    assert tried.document["counts"]["applied"] == 1
    again = next_words(sent)
    assert again[:2] == ["bulkcast", "resubmit"]
    assert "--encoding" not in again
    assert {"--sandbox", "--map", "--tz", "--strict", "--hidden"} <= set(again)
    assert cli.call(*again[1:], "-y", "--json").document["counts"]["invalid"] == 1


def next_words(said: Said) -> list[str]:
    """The command at the end of what was said, as a shell would take it."""
    return shlex.split("bulkcast " + said.err.split("bulkcast ")[-1])
