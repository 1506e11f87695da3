"""Sending a result sheet again: what it says was done is told, and never taken back unsaid."""

import csv
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.endpoints import WEBCAST
from bulkcast.messages import explain
from bulkcast.model import Change, Invalid, Issue, Outcome, RowStatus, Target
from bulkcast.pipeline import RESUBMITTED, Prepared, Selection, SheetOptions, prepare
from bulkcast.sandbox import Classroom, Sandbox, World
from bulkcast.sandbox.faults import read_script
from tests.cli_runner import FAST, CliRunner, clearing, lines, write_csv
from tests.sheets import edited, read_rows

Row = tuple[str, str, str]
"""Classroom, login, status."""

RUN = "20270301-080000-ab12"
HEAD = ("activityId", "watchByLogin", "bulkcast_status", "bulkcast_run")
Treatment = Literal["error", "in-order", "last"]


def result_sheet(path: Path, *rows: Row, run: str = RUN) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEAD)
        writer.writerows([*row, run if row[2] else ""] for row in rows)
    return path


def resubmitted(path: Path, *rows: Row, duplicates: Treatment = "error", **more: Any) -> Prepared:
    options = SheetOptions(duplicates=duplicates, **more)
    return prepare(result_sheet(path, *rows), options, Selection(statuses=RESUBMITTED))


def found(prepared: Prepared, row: int) -> tuple[Issue, ...]:
    return next(checked.issues for checked in prepared.checked.rows if checked.row == row)


def sent(prepared: Prepared) -> list[int]:
    return [row for request in prepared.plan.requests for row in request.rows]


# ------------------------------------------------------------------ the same classroom twice


@pytest.mark.parametrize("status", ["applied", "unchanged", "superseded"])
@pytest.mark.parametrize(("first", "second"), [("", "kept"), ("kept", "")])
def test_a_row_that_contradicts_one_sent_already_is_an_error_that_names_it(
    tmp_path: Path, status: str, first: str, second: str
) -> None:
    rows = [("1", "1", status if first else "rejected"), ("1", "0", status if second else "")]

    prepared = resubmitted(tmp_path / "t.csv", *rows)

    (row,) = prepared.checked.rows
    assert isinstance(row, Invalid)
    assert [i.code for i in row.issues] == ["target.sent_already"]
    assert f"Row {5 - row.row}, which was sent already" in str(row.issues[0].message)
    assert sent(prepared) == []


@pytest.mark.parametrize("duplicates", ["error", "in-order", "last"])
def test_a_row_that_wants_what_was_sent_already_is_sent(
    tmp_path: Path, duplicates: Treatment
) -> None:
    rows = [("1", "on", "applied"), ("1", "1", "unconfirmed")]

    prepared = resubmitted(tmp_path / "t.csv", *rows, duplicates=duplicates)

    assert sent(prepared) == [3]
    assert found(prepared, 3) == ()


@pytest.mark.parametrize("status", ["rejected", "invalid", "too_late", "not_sent"])
def test_a_row_that_took_no_effect_contradicts_nobody(tmp_path: Path, status: str) -> None:
    sheet = result_sheet(tmp_path / "t.csv", ("1", "1", status), ("1", "0", "rejected"))

    prepared = prepare(sheet, selection=Selection(rows=frozenset({3})))

    assert sent(prepared) == [3]


def test_a_row_that_may_have_taken_effect_is_not_taken_back_either(tmp_path: Path) -> None:
    sheet = result_sheet(tmp_path / "t.csv", ("1", "1", "unconfirmed"), ("1", "0", ""))

    prepared = prepare(sheet, selection=Selection(rows=frozenset({3})))

    assert sent(prepared) == []


@pytest.mark.parametrize("duplicates", ["in-order", "last"])
def test_with_an_order_the_row_further_down_counts_and_says_so(
    tmp_path: Path, duplicates: Treatment
) -> None:
    rows = [("1", "1", "applied"), ("1", "0", "rejected")]

    prepared = resubmitted(tmp_path / "t.csv", *rows, duplicates=duplicates)

    assert sent(prepared) == [3]
    assert [i.code for i in found(prepared, 3)] == ["target.replaces"]


@pytest.mark.parametrize("duplicates", ["in-order", "last"])
def test_with_an_order_a_row_overtaken_by_one_sent_already_is_not_sent(
    tmp_path: Path, duplicates: Treatment
) -> None:
    rows = [("1", "1", "rejected"), ("1", "0", "applied"), ("2", "1", "rejected")]

    prepared = resubmitted(tmp_path / "t.csv", *rows, duplicates=duplicates)

    outcome = prepared.plan.settled[2]
    assert sent(prepared) == [4]
    assert outcome == Outcome(RowStatus.SUPERSEDED, "target.overtaken", {"other": "3"})
    assert "row 3, further down" in explain(outcome.code, outcome.args, WEBCAST)[0]
    assert prepared.plan.settled[3].status is RowStatus.APPLIED


def test_with_last_rows_of_a_classroom_go_as_its_last_one_does(tmp_path: Path) -> None:
    rows = [("1", "1", "rejected"), ("1", "0", "applied"), ("1", "1", "rejected")]

    prepared = resubmitted(tmp_path / "t.csv", *rows, duplicates="last")

    assert sent(prepared) == [2, 4]


def test_one_classroom_under_two_ids_is_seen_where_the_row_sent_gives_both(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "activityId,classId,watchByLogin,bulkcast_status,bulkcast_run\n"
        f"1,9,1,applied,{RUN}\n,9,0,rejected,{RUN}\n",
        encoding="utf-8",
    )

    prepared = prepare(path, selection=Selection(statuses=RESUBMITTED))

    assert [i.code for i in found(prepared, 3)] == ["target.sent_already"]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["1", "2"]),
            st.sampled_from(["0", "1"]),
            st.sampled_from(["applied", "unchanged", "rejected", "unconfirmed", ""]),
        ),
        min_size=1,
        max_size=7,
    ),
    duplicates=st.sampled_from(["error", "in-order", "last"]),
)
def test_what_a_classroom_ends_with_is_what_its_rows_say_together(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], duplicates: Treatment
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"

    prepared = resubmitted(path, *rows, duplicates=duplicates)

    kept = {n: row for n, row in enumerate(rows, 2) if row[2] in {"applied", "unchanged"}}
    changes = {row.row: row for row in prepared.checked.rows if isinstance(row, Change)}
    for id_ in ("1", "2"):
        before = [kept[n] for n in kept if kept[n][0] == id_]
        after = [changes[n] for n in sent(prepared) if changes[n].target.id == int(id_)]
        if not (before and after):
            continue
        last = max(n for n, row in enumerate(rows, 2) if row[0] == id_)
        ends = after[-1].settings[0][1]
        # An order makes the last row of the sheet count; without one nothing is taken back.
        assert ends == int(before[-1][1] if duplicates == "error" else rows[last - 2][1])
    assert len(changes) + prepared.invalid + len(kept) + len(prepared.checked.overtaken) == len(
        rows
    )


# ------------------------------------------------------------------ runs that nobody knows


def unknown(cli: CliRunner, *argv: str | Path) -> Any:
    return cli.call("resubmit", *argv, "--json", *FAST)


def test_rows_done_by_runs_unknown_here_are_kept_and_counted_once(cli: CliRunner) -> None:
    sheet = result_sheet(
        cli.folder / "t.csv", ("1", "1", "applied"), ("2", "1", "unchanged"), ("3", "0", "")
    )

    with clearing(cli):
        said = unknown(cli, sheet, "-y")

    (issue,) = said.document["issues"]
    assert said.status == 0
    assert said.document["counts"]["applied"] == 2
    assert (issue["code"], issue["severity"]) == ("results.unknown_run", "warning")
    assert issue["message"].startswith("2 rows are left as done")
    assert RUN in issue["message"]
    assert said.err.count("results.unknown_run") == 1


def test_with_strict_nothing_of_such_a_sheet_is_sent(cli: CliRunner) -> None:
    sheet = result_sheet(cli.folder / "t.csv", ("1", "1", "applied"), ("3", "0", ""))

    with clearing(cli) as sandbox:
        said = unknown(cli, sheet, "-y", "--strict")

    assert said.status == 3
    assert [i["severity"] for i in said.document["issues"]] == ["error"]
    assert "1 row is left as done" in said.err
    assert sandbox.log == []


def test_a_run_known_here_is_believed_and_one_that_was_purged_is_told(cli: CliRunner) -> None:
    out = cli.folder / "out.csv"

    with clearing(cli):
        cli.call("apply", write_csv(cli.folder / "term.csv", lines(3)), "-y", "-o", out, *FAST)
        known = unknown(cli, out, "-n")
        cli.call("purge", "--older-than", "0d", "-y")
        purged = unknown(cli, out, "-n")

    assert known.document["issues"] == []
    assert [i["code"] for i in purged.document["issues"]] == ["results.unknown_run"]


# ------------------------------------------------------------------ held against the ledger


def room(number: int, *faults: str) -> Classroom:
    return Classroom((Target("activityId", number),), script=read_script(list(faults), WEBCAST))


REFUSED_ONCE = World(limit=None, classrooms=(room(9, "code:121601031"),))


def wishes(path: Path, *rows: tuple[str, str]) -> Path:
    """A sheet of one setting, classroom by classroom."""
    text = "".join(f"{target},{login}\n" for target, login in rows)
    path.write_text(f"activityId,watchByLogin\n{text}", encoding="utf-8")
    return path


def seen(sandbox: Sandbox, number: int) -> list[Any]:
    """What one classroom was sent, one after another."""
    bodies = [dict(r.body or {}) for r in sandbox.log if r.target and r.target.id == number]
    return [body["watchByLogin"] for body in bodies]


@pytest.mark.parametrize("duplicates", ["in-order", "last"])
def test_rows_of_one_classroom_that_were_applied_in_an_order_are_no_edited_rows(
    cli: CliRunner, duplicates: str
) -> None:
    sheet = wishes(cli.folder / "t.csv", ("1", "1"), ("1", "0"), ("9", "1"))
    out, again = cli.folder / "out.csv", ("--duplicates", duplicates, "-y")

    with clearing(cli, REFUSED_ONCE) as sandbox:
        cli.call("apply", sheet, "-o", out, *again, *FAST)
        said = unknown(cli, out, *again)

    assert said.document["counts"]["applied"] == 3
    assert seen(sandbox, 9) == [1, 1]
    assert seen(sandbox, 1)[-1] == 0


@pytest.mark.parametrize("kept", ["applied", "unchanged"])
def test_a_row_that_is_done_and_was_edited_is_named_and_nothing_is_sent(
    cli: CliRunner, kept: str
) -> None:
    sheet = wishes(cli.folder / "t.csv", ("1", "1"), ("9", "1"))
    out = cli.folder / "out.csv"
    changed_only = ["--changed-only"] if kept == "unchanged" else []
    first = wishes(cli.folder / "first.csv", ("1", "1"))

    with clearing(cli, REFUSED_ONCE) as sandbox:
        cli.call("apply", first, "-y", *FAST)
        cli.call("apply", sheet, "-o", out, "-y", *changed_only, *FAST)
        assert read_rows(out)[0]["bulkcast_status"] == kept
        sends = len(sandbox.log)
        said = unknown(cli, edited(out, cli.folder / "e.csv", watchByLogin="0"), "-y")
        assert (said.status, len(sandbox.log)) == (2, sends)
        freed = edited(out, cli.folder / "f.csv", watchByLogin="0", bulkcast_status="")
        unknown(cli, freed, "-y")

    assert "row 2 changed since an earlier run was done with" in said.err
    assert seen(sandbox, 1)[-1] == 0


def test_the_sheet_from_before_takes_nothing_back_that_was_mended_and_acknowledged(
    cli: CliRunner,
) -> None:
    sheet = wishes(cli.folder / "t.csv", ("9", "1"), ("2", "1"))
    out = cli.folder / "out.csv"

    with clearing(cli, REFUSED_ONCE) as sandbox:
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
        unknown(cli, edited(out, cli.folder / "mended.csv", watchByLogin="0"), "-y")
        stale = unknown(cli, out, "-y", "-o", cli.folder / "stale.csv")
        assert seen(sandbox, 9) == [1, 0]
        meant = unknown(cli, edited(out, cli.folder / "m.csv", bulkcast_status=""), "-y")

    row = read_rows(cli.folder / "stale.csv")[0]
    assert stale.document["counts"]["superseded"] == 1
    assert (row["bulkcast_code"], stale.status) == ("run.superseded", 0)
    assert "empty its bulkcast_status" in row["bulkcast_fix"]
    assert meant.document["counts"]["applied"] == 2
    assert seen(sandbox, 9) == [1, 0, 1]


@pytest.mark.parametrize("since", ["1", ""])
def test_a_row_that_nothing_contradicts_is_sent_from_whichever_sheet(
    cli: CliRunner, since: str
) -> None:
    sheet = wishes(cli.folder / "t.csv", ("9", "1"), ("2", "1"))
    out = cli.folder / "out.csv"

    with clearing(cli, REFUSED_ONCE) as sandbox:
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
        if since:
            cli.call("apply", wishes(cli.folder / "s.csv", ("9", since)), "-y", *FAST)
        said = unknown(cli, out, "-y")

    assert said.document["counts"]["applied"] == 2
    assert seen(sandbox, 9)[-1] == 1
    assert len(seen(sandbox, 9)) == 2 + bool(since)


def test_a_newer_run_that_set_something_else_there_overtakes_nothing(cli: CliRunner) -> None:
    sheet = wishes(cli.folder / "t.csv", ("9", "1"), ("2", "1"))
    out, other = cli.folder / "out.csv", cli.folder / "other.csv"
    other.write_text("activityId,recordState\n9,1\n", encoding="utf-8")

    with clearing(cli, REFUSED_ONCE):
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
        cli.call("apply", other, "-y", *FAST)
        said = unknown(cli, out, "-y")

    assert said.document["counts"]["applied"] == 2


def test_rows_that_were_applied_are_sent_again_where_that_is_asked_for(cli: CliRunner) -> None:
    sheet, newer = (wishes(cli.folder / f"{n}.csv", ("1", n)) for n in "10")
    out = cli.folder / "out.csv"

    with clearing(cli) as sandbox:
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
        cli.call("apply", newer, "-y", *FAST)
        cli.call("apply", out, "--only", "applied", "-y", *FAST)

    assert seen(sandbox, 1) == [1, 0, 1]


def test_a_row_edited_in_the_sheet_from_before_is_a_new_wish(cli: CliRunner) -> None:
    sheet = wishes(cli.folder / "t.csv", ("9", "1"), ("2", "1"))
    out = cli.folder / "out.csv"

    with clearing(cli, REFUSED_ONCE) as sandbox:
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
        cli.call("apply", wishes(cli.folder / "s.csv", ("9", "1")), "-y", *FAST)
        unknown(cli, edited(out, cli.folder / "e.csv", watchByLogin="0"), "-y")

    assert seen(sandbox, 9) == [1, 1, 0]


def test_what_another_institution_acknowledged_is_not_claimed_of_this_one(cli: CliRunner) -> None:
    sheet = wishes(cli.folder / "t.csv", ("9", "1"), ("2", "1"))
    out = cli.folder / "out.csv"

    with clearing(cli, REFUSED_ONCE):
        cli.call("apply", sheet, "-o", out, "-y", *FAST)
    with clearing(cli, World(sid="99000002")) as other:
        cli.set(BULKCAST_SID="99000002")
        said = unknown(cli, out, "-y")

    assert (said.status, other.log) == (2, [])
    assert "an earlier run sent row 3 to institution 99000001" in said.err
