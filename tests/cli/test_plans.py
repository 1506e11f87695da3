"""plan -o, apply PLAN, --changed-only, --max-changes and undo, as they are typed."""

import json
import os
import re
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bulkcast.ledger import claim, open_ledger
from bulkcast.sandbox import World
from tests.cli_runner import CANARY, FAST, CliRunner, clearing, lines, write_csv

KEYS = ("duration_s", "ends_at", "too_late", "first_too_late_row", "rate_needed")


def dated(path: Path, n: int, begins_in: float) -> Path:
    """n classes that all begin so many seconds from now."""
    begins = f"{datetime.fromtimestamp(time.time() + begins_in, UTC):%Y-%m-%dT%H:%M:%S+00:00}"
    rows = [f"{25096000 + i},{begins},1" for i in range(n)]
    path.write_text("\n".join(["activityId,startTime,recordState", *rows]), encoding="utf-8")
    return path


# ------------------------------------------------------------------ the forecast


def test_a_plan_foretells_what_comes_too_late_and_what_pace_would_save_it(cli: CliRunner) -> None:
    sheet = dated(cli.folder / "term.csv", 120, begins_in=20 * 60 + 30 + 60.5)

    said = cli.call("plan", sheet, "--rate", "1/s")
    document = cli.call("plan", sheet, "--rate", "1/s", "--json").document

    told = document["forecast"]
    assert tuple(told) == KEYS
    assert told["too_late"] == pytest.approx(60, abs=3)
    assert told["first_too_late_row"] == pytest.approx(62, abs=3)
    assert told["duration_s"] == pytest.approx(60, abs=3)
    assert told["ends_at"] == pytest.approx(time.time() + 60, abs=20)
    assert "rows would be too late and not be sent:" in said.out
    (said_rate,) = re.findall(r"--rate (\d+)/min would save them", said.out)
    needed = int(told["rate_needed"].removesuffix("/min"))
    assert 119 <= int(said_rate) <= needed <= 150
    faster = cli.call("plan", sheet, "--rate", f"{needed + 20}/min", "--json").document["forecast"]
    assert [faster[key] for key in KEYS[2:]] == [0, None, None]


def test_validate_foretells_it_for_a_dated_sheet_and_says_nothing_of_another(
    cli: CliRunner,
) -> None:
    late = dated(cli.folder / "late.csv", 3, begins_in=60)
    fine = dated(cli.folder / "fine.csv", 3, begins_in=86400)
    undated = write_csv(cli.folder / "undated.csv", lines(3))

    told = cli.call("validate", late).out
    assert "3 rows are already locked and are not sent:" in told
    assert "row 2, activityId 25096000: already locked at 20" in told
    assert "--rate" not in told
    assert "The 3 rows that lock are all sent in time." in cli.call("validate", fine).out
    assert cli.call("validate", late, "--json").document["forecast"]["too_late"] == 3
    assert "forecast" not in cli.call("validate", undated, "--json").document


@pytest.mark.parametrize(
    ("rate", "warned"), [("950/min", 0), ("1000/min", 0), ("1001/min", 1), ("20000/min", 1)]
)
def test_a_pace_beyond_the_documented_limit_is_warned_of(
    cli: CliRunner, rate: str, warned: int
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    said = "more than the 1,000 a minute ClassIn is documented to allow"
    assert cli.call("plan", sheet, "--rate", rate).out.count(said) == warned
    assert cli.call("apply", sheet, "--dry-run", "--rate", rate).err.count(said) == warned


def test_apply_tells_before_it_asks_what_would_be_too_late(cli: CliRunner) -> None:
    sheet = dated(cli.folder / "term.csv", 3, begins_in=60)

    said = cli.call("apply", sheet, "--dry-run")

    assert "To send: 0 rows · 3 already locked and not sent" in said.err
    assert "3 rows are already locked and are not sent:\n    row 2, " in said.err


def test_a_plan_says_what_is_switched_on_in_how_many_classrooms_and_what_that_costs(
    cli: CliRunner,
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(10))

    said, document = cli.call("plan", sheet), cli.call("plan", sheet, "--json").document

    assert "Off (5), On (5)" in said.out
    assert "10 rows, 10 classrooms" in said.out
    assert "liveState in 5 classrooms and openState in 10 classrooms: each GB" in said.out
    assert document["billed"][0]["classrooms"] == document["classrooms"] == 10
    assert document["changes"]["liveState"][0]["old"] == "unknown"


# ------------------------------------------------------------------ plan files


def test_a_frozen_plan_is_applied_as_it_is_or_not_at_all(cli: CliRunner) -> None:
    rows = lines(6)
    rows[0][6] = CANARY
    sheet = write_csv(cli.folder / "term.csv", rows)
    plan = cli.folder / "term.plan"

    with clearing(cli) as sandbox:
        made = cli.call("plan", sheet, "-o", plan)
        rows[3][4] = "1" if rows[3][4] == "0" else "0"
        write_csv(sheet, rows)
        refused = cli.call("apply", plan, "-y", *FAST)
        assert not sandbox.log
        rows[3][4] = "1" if rows[3][4] == "0" else "0"
        write_csv(sheet, rows)
        applied = cli.call("apply", plan, "-y", *FAST)
        assert len(sandbox.log) == 6

    assert made.status == applied.status == 0
    assert f"bulkcast apply {plan}" in made.err
    assert "holds the passwords of the sheet" in made.err
    assert refused.status == 2
    assert "row 5 was edited; nothing was sent" in refused.err
    assert CANARY not in made.out + made.err + applied.out + applied.err
    assert (cli.folder / "term.csv").exists()
    assert list(cli.folder.glob("term.results-*.csv"))
    if os.name == "posix":
        assert stat.S_IMODE(plan.stat().st_mode) == 0o600


def test_a_plan_file_needs_an_institution_to_be_for(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    assert cli.call("plan", sheet).status == 0
    said = cli.call("plan", sheet, "-o", cli.folder / "term.plan")

    assert said.status == 2
    assert "BULKCAST_SID" in said.err
    assert not (cli.folder / "term.plan").exists()


def test_a_plan_is_refused_for_another_institution_and_with_choices_of_its_own(
    cli: CliRunner,
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    plan = cli.folder / "term.plan"

    with clearing(cli):
        cli.call("plan", sheet, "-o", plan)
        chosen = cli.call("apply", plan, "-y", "--limit", "1")
        skipping = cli.call("apply", plan, "-y", "--changed-only")
    with clearing(cli) as other:
        elsewhere = cli.call("apply", plan, "-y")
        assert not other.log
    tried = cli.call("apply", plan, "-y", "--sandbox", *FAST)

    assert [said.status for said in (chosen, skipping, elsewhere)] == [2, 2, 2]
    assert "a plan is sent as it is" in chosen.err
    assert "term.plan is for institution" in elsewhere.err
    assert tried.status == 0
    assert "it is only tried out here" in tried.err


def test_a_plan_larger_than_expected_is_held_until_it_is_approved(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(10))

    with clearing(cli) as sandbox:
        for most in ("9", "50%"):
            held = cli.call("apply", sheet, "-y", "--max-changes", most, *FAST)
            assert held.status == 6
        wrong = cli.call("apply", sheet, "-y", "--max-changes", "9", "--approve", "0" * 16)
        assert (wrong.status, list(sandbox.log)) == (6, [])
        mark = held.err.partition("--approve ")[2].split()[0]
        approved = cli.call("apply", sheet, "-y", "--max-changes", "9", "--approve", mark, *FAST)
        small = cli.call("apply", sheet, "-y", "--max-changes", "10", *FAST)

    assert (approved.status, small.status) == (0, 0)
    assert "10 of 10 rows, more than --max-changes 50% allows; nothing was sent" in held.err
    assert mark in cli.call("plan", sheet).err


def test_rows_that_have_locked_already_do_not_count_against_what_was_expected(
    cli: CliRunner,
) -> None:
    begins = (datetime.fromtimestamp(time.time() + s, UTC).isoformat() for s in (60, 90, 9e4, 9e4))
    sheet = cli.folder / "term.csv"
    rows = [f"{25096000 + number},{at},1,0,0,0" for number, at in enumerate(begins)]
    head = "activityId,startTime,recordState,recordType,liveState,openState"
    sheet.write_text("\n".join([head, *rows]), encoding="utf-8")

    with clearing(cli):
        held = cli.call("apply", sheet, "-y", "--max-changes", "1", *FAST)
        sent = cli.call("apply", sheet, "-y", "--max-changes", "2", "--json", *FAST)

    assert held.status == 6
    assert "would send 2 of 4 rows, more than --max-changes 1 allows" in held.err
    assert "To send: 2 rows" in held.err
    assert sent.document["counts"]["applied"] == sent.document["counts"]["too_late"] == 2


@pytest.mark.parametrize("wrong", ["-1", "x", "101%", "%", "1.5"])
def test_a_share_that_is_none_is_refused(cli: CliRunner, wrong: str) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(1))

    said = cli.call("apply", sheet, "-y", f"--max-changes={wrong}")

    assert said.status == 2
    assert "a share such as 10%" in said.err


# ------------------------------------------------------------------ changed only, and undo


def test_a_sheet_applied_again_with_changed_only_sends_what_changed(cli: CliRunner) -> None:
    rows = lines(10)
    sheet = write_csv(cli.folder / "term.csv", rows)

    with clearing(cli) as sandbox:
        cli.call("apply", sheet, "-y", *FAST)
        again = cli.call("apply", sheet, "-y", "--changed-only", "--json", *FAST)
        assert len(sandbox.log) == 10
        rows[4][4] = "1" if rows[4][4] == "0" else "0"
        rows[4][6] = CANARY
        write_csv(sheet, rows)
        planned = cli.call("plan", sheet, "--changed-only", "-v")
        document = cli.call("plan", sheet, "--changed-only", "--json").document
        cli.call("apply", sheet, "-y", "--changed-only", *FAST)
        assert len(sandbox.log) == 11

    assert again.status == 0
    assert again.document["counts"]["unchanged"] == 10
    assert again.document["requests"] == 0
    assert "1 row, 1 classroom · 9 unchanged" in planned.out
    assert "liveState Off → On" in planned.out
    assert "another → set" in planned.out
    assert "ClassIn's console, or from another computer, is not seen" in planned.err
    assert document["unchanged"] == 9
    assert document["changes"]["liveState"] == [{"old": "Off", "new": "On", "rows": 1}]
    assert CANARY not in planned.out + planned.err + json.dumps(document)


def test_a_run_is_taken_back_by_the_sheet_that_undo_writes(cli: CliRunner) -> None:
    rows = lines(4)
    sheet = write_csv(cli.folder / "term.csv", rows)

    with clearing(cli) as sandbox:
        cli.call("apply", sheet, "-y", *FAST)
        before = {target: sandbox.settings_of(target) for target in sandbox.state}
        for row in rows[:2]:
            row[4] = "1" if row[4] == "0" else "0"
            row[6] = CANARY
        write_csv(sheet, rows)
        run = cli.call("apply", sheet, "-y", "--json", *FAST).document["run"]
        undone = cli.call("undo", run)
        target = cli.folder / f"term.undo-{run}.csv"
        applied = cli.call("apply", target, "-y", *FAST)
        assert {target: sandbox.settings_of(target) for target in sandbox.state} == before
        first = cli.call("undo", cli.call("runs", "--json").document["runs"][-1]["run"], "--json")

    assert (undone.status, applied.status) == (0, 0)
    assert "Brings 10 settings of 2 classrooms back" in undone.out
    assert f"bulkcast apply {target}" in undone.err
    assert CANARY not in undone.out + undone.err + target.read_text(encoding="utf-8-sig")
    assert (first.status, first.document["sheet"]) == (3, None)
    assert {lost["reason"] for lost in first.document["not_undone"]} == {"since"}
    assert len(first.document["not_undone"]) == 20


def test_what_stays_is_told_setting_by_setting_however_many_rows(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(300))
    with clearing(cli):
        cli.call("apply", sheet, "-y", *FAST)

    undone = cli.call("undo", "", "-o", cli.folder / "back.csv")

    assert undone.status == 3
    assert "1,500 settings stay as they are" in undone.out
    stays = [line.strip() for line in undone.out.splitlines() if "classrooms, rows" in line]
    keys = "recordState, recordType, liveState, openState, watchPassword"
    assert stays == [f"{keys}: 300 classrooms, rows 2-301"]


def test_the_sheet_says_in_a_few_lines_what_it_does_not_bring_back(cli: CliRunner) -> None:
    some = lines(60)
    with clearing(cli):
        cli.call("apply", write_csv(cli.folder / "a.csv", some[:20]), "-y", *FAST)
        off = [[*cells[:2], "0", "0", "0", "0", "other"] for cells in some]
        cli.call("apply", write_csv(cli.folder / "b.csv", off), "-y", *FAST)

    cli.call("undo", "", "-o", cli.folder / "back.csv")

    text = (cli.folder / "back.csv").read_text(encoding="utf-8-sig")
    kept = [line for line in text.splitlines() if "Not brought back" in line]
    assert len(kept) == 1
    assert (
        "Cloud recording, Recording type, Web live, Web playback, Watch password of rows 22-61"
        in kept[0]
    )
    assert cli.call("validate", cli.folder / "back.csv").status == 0


def test_a_run_under_way_is_not_undone(cli: CliRunner) -> None:
    with clearing(cli):
        cli.call("apply", write_csv(cli.folder / "a.csv", lines(2)), "-y", *FAST)
    home = cli.folder / "home"
    with open_ledger(home) as ledger:
        header = ledger.newest().header
        ledger.reopen(header.run)
    with claim(home, header.institution, run=header.run, since=""):
        said = cli.call("undo", header.run, "-o", cli.folder / "back.csv")

    assert said.status == 7
    assert f"run {header.run} is under way; undo it when it has ended" in said.err
    assert not (cli.folder / "back.csv").exists()


def test_undo_of_a_run_that_is_none_is_a_sentence(cli: CliRunner) -> None:
    said = cli.call("undo", "20270101")

    assert said.status == 2
    assert "no run 20270101" in said.err


def test_locked_rows_that_are_so_already_are_offered_to_be_sent_in_part(cli: CliRunner) -> None:
    begins = int(time.time()) + 20 * 60 + 90
    sheet = cli.folder / "term.csv"

    def write(tag: str, begins: int) -> None:
        sheet.write_text(
            f"activityId,startTime,recordState,customColumn\n25096001,{begins},1,{tag}\n",
            encoding="utf-8",
        )

    with clearing(cli, World(limit=None, first_whole=False)) as sandbox:
        write("first", begins)
        cli.call("apply", sheet, "-y", *FAST)
        write("second", begins - 300)
        planned = cli.call("plan", sheet)
        late = cli.call("apply", sheet, "-y", "--force", *FAST)
        assert len([r for r in sandbox.log if r.target]) == 1
        free = cli.call("apply", sheet, "-y", "--send-free", *FAST)
        assert sandbox.log[-1].body == {"activityId": 25096001, "customColumn": "second"}

    assert "what is locked in 1 row was last set as wanted; --send-free" in planned.out
    assert (late.status, free.status) == (3, 0)
