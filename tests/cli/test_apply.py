"""apply, resubmit, resume, runs, results, doctor against a sandbox over HTTP."""

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import openpyxl
import pytest

from bulkcast.cli.progress import Display
from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.ledger import FILE_NAME
from bulkcast.model import RowStatus
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World, parse_world
from tests.cli_runner import (
    CANARY,
    FAST,
    HEADERS,
    CliRunner,
    Reached,
    clearing,
    line,
    lines,
    serving,
    write_csv,
    write_xlsx,
)
from tests.source_files import ROOT

STATES = (
    "applied", "unchanged", "invalid", "too_late", "rejected", "unconfirmed", "not_sent",
    "superseded",
)  # fmt: skip
RUN = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "schema", "run", "input", "rows", "counts", "requests", "elapsed_s", "results", "stopped",
        "issues", "ignored_columns", "exit",
    ],
    "properties": {
        "schema": {"const": "bulkcast.run/1"},
        "run": {"type": ["string", "null"]},
        "input": {"type": "string"},
        "rows": {"type": "integer"},
        "counts": {
            "type": "object",
            "additionalProperties": False,
            "required": list(STATES),
            "properties": {state: {"type": "integer"} for state in STATES},
        },
        "requests": {"type": "integer"},
        "elapsed_s": {"type": "number"},
        "results": {"type": ["string", "null"]},
        "stopped": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "required": ["reason", "code", "message"],
            "properties": {name: {"type": "string"} for name in ("reason", "code", "message")},
        },
        "issues": {"type": "array", "items": {"type": "object"}},
        "ignored_columns": {"type": "array", "items": {"type": "string"}},
        "exit": {"type": "integer"},
    },
}  # fmt: skip


def checked(document: Any) -> Any:
    """The document of a run, once it is what it should be."""
    jsonschema.validate(document, RUN)
    assert sum(document["counts"].values()) == document["rows"]
    return document


def statuses(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["bulkcast_status"] for row in csv.DictReader(file)]


def body(cells: list[str]) -> dict[str, object]:
    """What a row of `cli_runner.line` should be sent as."""
    numbers = {key: int(cell) for key, cell in zip(HEADERS[1:6], cells[1:6], strict=True)}
    return {**numbers, "watchPassword": cells[6]}


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "write"), [("csv", write_csv), ("xlsx", write_xlsx)])
def test_three_hundred_rows_arrive_once_each_as_their_cells_say(
    cli: CliRunner, suffix: str, write: Callable[[Path, list[list[str]]], Path]
) -> None:
    sheet = write(cli.folder / f"term.{suffix}", lines(300))

    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "-y", "--json", "--concurrency", "1", *FAST)

    document = checked(said.document)
    assert said.status == document["exit"] == 0
    assert document["counts"]["applied"] == document["requests"] == 300
    assert [received.body for received in sandbox.log] == [body(cells) for cells in lines(300)]
    assert Path(document["results"]).name == f"term.results-{document['run']}.{suffix}"


def test_the_result_workbook_has_an_outcome_beside_every_row(cli: CliRunner) -> None:
    sheet = write_xlsx(cli.folder / "term.xlsx", lines(3))

    with clearing(cli):
        said = cli.call("apply", sheet, "-y", "--json", *FAST)

    tab = openpyxl.load_workbook(said.document["results"]).active
    assert tab is not None
    rows = [[cell.value for cell in row] for row in tab.iter_rows()]
    assert rows[0][: len(HEADERS)] == list(HEADERS)
    assert [row[len(HEADERS)] for row in rows[1:]] == ["applied"] * 3


def test_the_summary_names_every_count_the_sheet_and_what_to_type_next(cli: CliRunner) -> None:
    wrong = lines(5)
    wrong[2][2] = "perhaps"
    sheet = write_csv(cli.folder / "term.csv", wrong)
    world = parse_world(
        '{"limit": null, "classrooms": [{"activityId": 25096001, "deleted": true}]}', name="w"
    )

    with clearing(cli, world):
        said = cli.call("apply", sheet, "-y", "-o", cli.folder / "out.csv", *FAST)

    assert said.status == 3
    for told in ("3 ✓ applied", "1 ✗ invalid", "1 ✗ rejected", "5 rows", "out.csv"):
        assert told in said.out
    assert f"bulkcast resubmit {cli.folder / 'out.csv'}" in said.err


def test_a_mended_result_sheet_is_resubmitted_where_it_failed_only(cli: CliRunner) -> None:
    wrong = lines(5)
    wrong[2][2] = "perhaps"
    sheet = write_csv(cli.folder / "term.csv", wrong)
    out = cli.folder / "out.csv"

    with clearing(cli) as sandbox:
        cli.call("apply", sheet, "-y", "-o", out, *FAST)
        out.write_text(out.read_text("utf-8-sig").replace("perhaps", "1"), encoding="utf-8")
        said = cli.call("resubmit", out, "-y", "--json", *FAST)

    assert said.status == 0
    assert checked(said.document)["counts"]["applied"] == 5
    assert said.document["requests"] == 1
    assert sandbox.log[-1].body == body(line(2))


def test_a_sheet_no_run_has_written_to_is_not_resubmitted(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    said = cli.call("resubmit", sheet, "-y")

    assert said.status == 2
    assert f"bulkcast apply {sheet}" in said.err


def test_rows_the_sheet_does_not_have_are_no_success(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    said = cli.call("apply", sheet, "-y", "--sandbox", "--rows", "40-50")

    assert said.status == 2
    assert "from 2 to 4" in said.err


@pytest.mark.long  # a minute: a row is tried again for that long
def test_a_row_nobody_confirmed_ends_with_4(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    world = parse_world(
        '{"limit": null, "classrooms": [{"activityId": 25096001, "faults": ["reset*"]}]}', name="w"
    )

    with clearing(cli, world):
        said = cli.call("apply", sheet, "-y", "--json", *FAST)

    assert said.status == said.document["exit"] == 4
    assert said.document["counts"]["unconfirmed"] == 1
    assert said.document["counts"]["applied"] == 2


def test_a_classin_out_of_reach_ends_with_5(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    with clearing(cli):
        pass  # nothing answers at that address any more

    said = cli.call("apply", sheet, "-y", "--json", "--max-outage", "0", *FAST)

    assert said.status == said.document["exit"] == 5
    assert said.document["stopped"]["reason"] == "outage"
    assert said.document["counts"]["not_sent"] == 3


def test_a_wrong_secret_costs_a_handful_of_requests(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(200))

    with clearing(cli) as sandbox:
        cli.set(BULKCAST_SECRET=CANARY)
        said = cli.call("apply", sheet, "-y", "--json", *FAST)

    document = checked(said.document)
    assert said.status == document["exit"] == 6
    assert sandbox.received <= 3
    assert document["counts"]["not_sent"] >= 200 - sandbox.received
    assert document["counts"]["applied"] == 0
    assert document["stopped"]["reason"] == "credentials"
    assert CANARY not in said.out + said.err


@pytest.mark.slow
@pytest.mark.parametrize("offset", [-900.0, 900.0])
def test_a_clock_that_is_off_is_told_and_costs_no_row(cli: CliRunner, offset: float) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(30))

    with clearing(cli, clock_offset_s=offset):
        said = cli.call("apply", sheet, "-y", "--json", *FAST)

    assert said.status == 0
    assert checked(said.document)["counts"]["applied"] == 30
    assert "clock" in said.err
    assert "900 s" in said.err or "15 min" in said.err


@pytest.mark.slow
def test_without_a_terminal_yes_has_to_be_said(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with clearing(cli) as sandbox:
        said = cli.spawn("apply", sheet)

    assert said.status == 2
    assert "--yes" in said.err
    assert sandbox.received == 0


def test_a_dry_run_sends_nothing_and_needs_no_credentials(cli: CliRunner) -> None:
    wrong = lines(3)
    wrong[0][2] = "perhaps"
    good = write_csv(cli.folder / "good.csv", lines(3))
    bad = write_csv(cli.folder / "bad.csv", wrong)

    said = cli.call("apply", good, "-n")
    document = checked(cli.call("apply", bad, "-n", "--json").document)

    assert said.status == 0
    assert "nothing was sent" in said.err
    assert document["run"] is None
    assert document["exit"] == 3
    assert (document["counts"]["invalid"], document["counts"]["not_sent"]) == (1, 2)
    assert document["stopped"]["reason"] == "dry_run"
    assert not (cli.folder / "home").exists()


def test_on_invalid_stop_holds_every_row_back(cli: CliRunner) -> None:
    wrong = lines(3)
    wrong[0][2] = "perhaps"
    sheet = write_csv(cli.folder / "term.csv", wrong)

    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "-y", "--on-invalid", "stop", "--json")

    assert sandbox.received == 0
    assert said.status == checked(said.document)["exit"] != 0
    assert (said.document["counts"]["invalid"], said.document["counts"]["not_sent"]) == (1, 2)


def test_the_embedded_sandbox_never_sees_the_environments_credentials(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(5))
    sandbox = Sandbox(World(), secret=SANDBOX_SECRET)

    with serving(sandbox) as root_url:
        cli.use(root_url, CANARY)
        cli.set(BULKCAST_SID="1000082")
        said = cli.call("apply", sheet, "--sandbox", "-y", *FAST)

    assert said.status == 0
    assert sandbox.received == 0
    assert "1000082" not in said.out + said.err
    assert CANARY not in "".join(
        path.read_bytes().decode("latin-1") for path in cli.folder.rglob("*") if path.is_file()
    )


def test_results_are_not_overwritten_without_force(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    out = cli.folder / "out.csv"
    out.write_text("precious", encoding="utf-8")

    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "-y", "-o", out, *FAST)
        assert sandbox.received == 0
        forced = cli.call("apply", sheet, "-y", "-o", out, "--force", *FAST)

    assert said.status == 2
    assert "--force" in said.err
    assert forced.status == 0
    assert statuses(out) == ["applied", "applied"]


def test_missing_credentials_are_named(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    said = cli.call("apply", sheet, "-y")

    assert said.status == 2
    assert "BULKCAST_SID" in said.err
    assert "--sandbox" in said.err


# ------------------------------------------------------------------ afterwards


def test_runs_lists_the_newest_first_and_results_writes_a_sheet_again(cli: CliRunner) -> None:
    first = write_csv(cli.folder / "first.csv", lines(2))
    second = write_csv(cli.folder / "second.csv", lines(3))
    again = cli.folder / "again.csv"

    with clearing(cli):
        names = [
            cli.call("apply", s, "-y", "--json", *FAST).document["run"] for s in (first, second)
        ]
    listed = cli.call("runs")
    document = cli.call("runs", "--json").document
    said = cli.call("results", names[1], "-o", again)

    assert sorted(run["run"] for run in document["runs"]) == sorted(names)
    created = [run["created_at"] for run in document["runs"]]
    assert created == sorted(created, reverse=True)
    assert all(run["state"] == "finished" for run in document["runs"])
    assert names[0] in listed.out
    assert "second.csv" in listed.out
    assert said.status == 0
    assert statuses(again) == ["applied"] * 3


@pytest.mark.slow
def test_results_are_counted_by_a_column(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    sheet.write_text(
        "campus,activityId,watchByLogin\n"
        "North,25096001,1\nSouth,25096002,1\nNorth,25096003,perhaps\n",
        encoding="utf-8",
    )

    with clearing(cli):
        run = cli.call("apply", sheet, "-y", "--json", *FAST).document["run"]
    said = cli.call("results", run, "-o", cli.folder / "a.csv", "--by", "campus")
    document = cli.call(
        "results", run, "-o", cli.folder / "b.csv", "--by", "campus", "--json"
    ).document

    assert "North" in said.out
    assert document["counts"] == [
        {"value": "North", "applied": 1, "invalid": 1},
        {"value": "South", "applied": 1, "invalid": 0},
    ]


def test_there_are_no_runs_at_first(cli: CliRunner) -> None:
    said, document = cli.call("runs"), cli.call("runs", "--json").document

    assert said.status == 0
    assert "no runs" in said.err
    assert document == {"schema": "bulkcast.runs/1", "runs": []}
    assert cli.call("resume", "--sandbox").status == 2


def test_even_a_quiet_run_says_why_it_stopped(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    with clearing(cli):
        cli.set(BULKCAST_SECRET=CANARY)
        said = cli.call("apply", sheet, "-y", "-q", *FAST)

    assert said.status == 6
    assert "Stopped (credentials): The signature is wrong" in said.err
    assert "Check BULKCAST_SID" in said.err
    assert "To send" not in said.err
    assert said.out == ""
    assert "not sent" in said.err
    assert "Result sheet: " in said.err


def test_a_quiet_run_that_went_well_says_nothing(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    sheet.write_bytes(sheet.read_text(encoding="utf-8").replace("课", "数学一班").encode("gbk"))

    with clearing(cli):
        sent = cli.call("apply", sheet, "-y", "-q", *FAST)
        checked = cli.call("validate", sheet, "-q")
        shown = cli.call("runs", "show", "-q")
        doctor = cli.call("doctor", "-q")

    for said in (sent, checked, shown, doctor):
        assert (said.status, said.out, said.err) == (0, "", "")


def test_rows_left_out_by_a_limit_are_told_with_how_to_send_the_rest(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    with clearing(cli):
        said = cli.call("apply", sheet, "-y", "--limit", "1", *FAST)

    assert said.status == 0
    assert "2 rows are left out, as asked; the exit status, 0," in said.out
    assert "Next, to send the rest: bulkcast resubmit " in said.err


def test_the_doctor_finds_right_and_wrong_credentials(cli: CliRunner) -> None:
    with clearing(cli):
        well = cli.call("doctor")
        cli.set(BULKCAST_SECRET=CANARY)
        ill = cli.call("doctor", "--json")

    assert well.status == 0
    assert ill.status == 6
    assert {f["name"]: f["well"] for f in ill.document["findings"]}["credentials"] is False
    assert CANARY not in ill.out + ill.err


def test_the_doctor_looks_at_the_ledger_where_credentials_are_missing(cli: CliRunner) -> None:
    home = Path(cli.env["BULKCAST_HOME"])
    none_yet = cli.call("doctor", "--json")
    home.mkdir(parents=True, exist_ok=True)
    (home / FILE_NAME).write_bytes(b"x" * 5000)
    damaged = cli.call("doctor", "--json")
    told = cli.call("doctor", "--lang", "zh")

    assert [f["well"] for f in none_yet.document["findings"]] == [False, True]
    assert "set BULKCAST_SID" in none_yet.document["findings"][0]["message"]
    assert none_yet.status == none_yet.document["exit"] == 2
    assert [f["name"] for f in damaged.document["findings"]] == ["configuration", "ledger"]
    assert "damaged or no ledger" in damaged.document["findings"][1]["message"]
    assert damaged.status == told.status == 6
    assert "BULKCAST_SID" in told.out


def test_a_run_in_the_sandbox_is_kept_apart_and_can_be_resubmitted(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(4))
    world = cli.folder / "my world.json"
    world.write_text(
        '{"classrooms": [{"activityId": 25096001, "faults": ["code:121601045"]}]}',
        encoding="utf-8",
    )
    out = cli.folder / "out.csv"
    words = ("--sandbox", "--world", world, "-y", *FAST)

    first = cli.call("apply", sheet, "-o", out, *words)
    second = cli.call("resubmit", out, "--json", "--sandbox", "-y", *FAST)

    assert first.status == 3
    assert "--sandbox" in first.err.splitlines()[-1]
    assert second.document["counts"]["applied"] == 4
    listed = cli.call("runs", "--json").document["runs"]
    assert [run["run"].startswith("sandbox-") for run in listed] == [True, True]
    assert cli.call("runs", "--sandbox", "--json").document["runs"] == listed


@pytest.mark.slow
def test_a_second_run_for_the_same_institution_is_turned_away(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(60))
    under_way = Reached(5)

    with clearing(cli, clock=under_way):
        process = cli.start("apply", sheet, "-y", "--json", "--rate", "10/s",
                             "--tz", "Pacific/Apia")  # fmt: skip
        under_way.wait()
        said = cli.call("apply", sheet, "-y", *FAST)
        process.terminate()
        process.communicate(timeout=30)

    assert said.status == 7
    assert "is held by run" in said.err
    assert re.search(r"since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d Pacific/Apia\)", said.err)


@pytest.mark.slow
def test_a_cell_in_error_of_another_kind_of_sheet_stays_one_in_its_results(cli: CliRunner) -> None:
    sheet = cli.folder / "term.ods"
    sheet.write_bytes((ROOT / "samples" / "open-document.ods").read_bytes())

    with clearing(cli):
        applied = cli.call("apply", sheet, "-y", "--json", *FAST)
    again = cli.call("validate", applied.document["results"], "--json")

    issues = {issue["cell"]: issue["code"] for issue in again.document["issues"]}
    assert issues["B8"] == "cell.formula_error"


def test_rows_that_a_stopping_run_gives_back_are_left_and_not_failed() -> None:
    counts = {RowStatus.APPLIED: 5, RowStatus.REJECTED: 1, RowStatus.NOT_SENT: 14}
    seen = Progress(counts, 20, 6, 0.0, 0, BreakerState.HALF_OPEN, 0.0, 0.0)

    figures, _ = Display(1.0, lambda: 0.0).words(seen)

    assert figures.startswith("5 applied, 1 failed, 14 left")
