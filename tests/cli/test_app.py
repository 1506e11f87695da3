"""The door: light, harmless to terminals and pipes, heeding signals, silent on secrets."""

import gc
import io
import json
import os
import re
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from bulkcast.cli import exit_status
from bulkcast.cli.language import spell
from bulkcast.cli.params import duration
from bulkcast.cli.streams import BrokenPipeSafeStream
from bulkcast.sandbox import parse_world
from tests.cli_runner import CANARY, FAST, CliRunner, Reached, clearing, lines, write_csv
from tests.source_files import HEAVY, ROOT, UNUSED_BY_VALIDATE

COMMANDS = (
    "demo", "template", "validate", "plan", "apply", "resubmit", "resume", "runs", "results",
    "purge", "explain", "doctor", "sandbox", "serve", "worker", "fleet",
)  # fmt: skip

LONG = pytest.mark.long
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals and terminals")


# ------------------------------------------------------------------ help and usage


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from bulkcast.cli import run; status = run(['--help']);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=30,
        text=True,
    )

    assert said.returncode == 0
    assert said.stderr.strip() == "[]"


@pytest.mark.parametrize("options", [(), ("--json",), ("--lang", "zh")])
@pytest.mark.parametrize(
    "sheet", ["activityId,recordState\n10001,1\n", "activityId,recordState\nx,2\n"]
)
def test_validate_of_a_csv_loads_nothing_it_does_not_use(
    tmp_path: Path, sheet: str, options: tuple[str, ...]
) -> None:
    path = tmp_path / "ten.csv"
    path.write_text(sheet, encoding="utf-8")
    program = (
        "import sys; from bulkcast.cli import run; run(['validate', *sys.argv[1:]]);"
        f"print([m for m in {UNUSED_BY_VALIDATE!r} if m in sys.modules])"
    )

    said = subprocess.run(
        [sys.executable, "-c", program, path, *options],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=30,
        encoding="utf-8",
    )

    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines()[-1] == "[]"


def test_help_lists_the_commands_in_the_order_of_their_use(cli: CliRunner) -> None:
    said = cli.call("--help")

    listed = [line.split()[0] for line in said.out.partition("Commands:")[2].splitlines() if line]
    assert tuple(word for word in listed if word in COMMANDS) == COMMANDS


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("group", [(), ("runs",), ("fleet",)])
def test_no_command_s_summary_is_cut_short_on_a_narrow_terminal(
    cli: CliRunner, group: tuple[str, ...], lang: str
) -> None:
    cli.set(COLUMNS="80")

    said = cli.call(*group, "--help", "--lang", lang)

    assert said.status == 0
    assert "..." not in said.out.replace("[ARGS]...", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_promises_no_secret_option(
    cli: CliRunner, command: str
) -> None:
    said = cli.call(command, "--help")

    assert said.status == 0
    assert "--secret" not in said.out


def test_the_version_is_told(cli: CliRunner) -> None:
    assert cli.call("--version").out.startswith("bulkcast 0.")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90), ("45m", 2700), ("8h", 28800), ("45", 2700), ("1.5 H", 5400), ("0", 0),
        ("1d", 86400),
    ],
)  # fmt: skip
def test_a_time_is_read_with_its_unit(text: str, seconds: float) -> None:
    assert duration("m", 0, 86400).convert(text, None, None) == seconds


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("aply",), "apply"),
        (("apply",), "SHEET"),
        (("apply", "x.csv", "--yess"), "--yes"),
        (("apply", "x.csv", "-y", "--rate", "fast"), "950/min"),
        (("apply", "x.csv", "-y", "--timeout", "nan"), "between"),
        (("apply", "x.csv", "-y", "--max-outage", "8 days"), "45m or 8h"),
        (("apply", "x.csv", "-y", "--max-outage", "-1"), "between 0s and 24h"),
        (("apply", "x.csv", "-y", "--only", "wrong"), "rejected"),
        (("apply", "x.csv", "-y", "--map", "=x"), "column of the sheet=setting"),
        (("apply", "x.csv", "-y", "--sandbox", "--profile", "branch"), "--profile"),
        (("apply", "missing\x1b[2J.csv", "-y"), "There is no file"),
        (("validate", "."), "folder"),
        (("validate", "-"), "give a file"),
        (("template", "-"), "give a file"),
        (("template", "term.csv"), ".xlsx"),
        (("apply", "x.csv", "-y", "--sandbox", "-o", "-"), "give a file"),
        (("apply", "x.csv", "-y", "--sandbox", "-o", "x.csv"), "exists already"),
        (("apply", "x.csv", "-y", "--sandbox", "-o", ".", "--force"), "no file"),
        (("apply", "x.csv", "-y", "--sandbox", "-o", os.devnull, "--force"), "no file"),
        (("apply", "x.csv", "-y", "--sandbox", "-o", "nowhere/y.csv"), "no folder"),
        (("sandbox", "--world", "nowhere.json"), "nowhere.json"),
        (("sandbox", "--port", "70000"), "65535"),
        (("demo", "--dir", "."), "--dir"),
        (("results", "x"), "no run x"),
        (("purge", "-y", "--run", "x"), "no run x"),
        (("purge", "-y", "--older-than", "soon"), "30d or 12h"),
        (("purge",), "--yes"),
    ],
)
def test_what_cannot_start_exits_2_with_one_sentence(
    cli: CliRunner, argv: tuple[str, ...], told: str
) -> None:
    cli.monkeypatch.chdir(cli.folder)
    write_csv(cli.folder / "x.csv", lines(1))

    said = cli.call(*argv)

    assert said.status == 2
    assert told in said.err
    assert said.err.startswith("bulkcast: ")
    assert len(said.err.splitlines()) == 1
    assert "\x1b" not in said.err
    assert said.out == ""


def test_with_json_an_error_is_an_object_too(cli: CliRunner) -> None:
    said = cli.call("validate", "--json", "--nonsense")

    document = json.loads(said.err.splitlines()[-1])
    assert document["error"]["code"] == "usage"
    assert "--nonsense" in document["error"]["message"]


# ------------------------------------------------------------------ defects


def defect() -> Exception:
    """An exception as a defect would raise it, with a password among its words and locals."""
    password = CANARY
    try:
        int(password)
    except ValueError as exc:
        return exc
    raise AssertionError


def test_a_defect_is_owned_up_to_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    status = exit_status.tell(defect(), argv=["apply"], environ={})

    told = capsys.readouterr().err
    assert status == 1
    assert "defect of bulkcast itself (ValueError)" in told
    assert len(told.splitlines()) == 1
    assert CANARY not in told


def test_verbose_shows_where_a_defect_lies_but_no_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = defect()
    assert CANARY in "".join(traceback.format_exception(found))

    exit_status.tell(found, argv=["apply", "-v"], environ={})

    told = capsys.readouterr().err
    assert "int(password)" in told
    assert "test_app.py" in told
    assert CANARY not in told


def test_the_secret_is_taken_out_of_whatever_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    exit_status.tell(
        OSError(5, f"x {CANARY} y"), argv=["--json"], environ={"BULKCAST_SECRET": CANARY}
    )

    told = capsys.readouterr().err
    assert "x ••• y" in told
    assert CANARY not in told


# ------------------------------------------------------------------ streams


@pytest.mark.slow
def test_a_reader_that_has_left_is_no_error(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", [["课", "x", *row[2:]] for row in lines(400)])
    read, write = os.pipe()
    os.close(read)

    process = cli.start("validate", sheet, "--all", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 3
    assert "Error" not in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "gbk", "cp1252"])
def test_redirected_output_is_utf_8_whatever_the_code_page(cli: CliRunner, encoding: str) -> None:
    wrong = lines(2)
    wrong[0][2] = "也许 ✓"
    cli.set(PYTHONIOENCODING=encoding)
    sheet = write_csv(cli.folder / "课表.csv", wrong)

    said = cli.spawn("validate", sheet)

    assert said.status == 3
    assert "也许 ✓" in said.out
    assert "课表.csv" in said.err


@pytest.mark.slow
@posix
@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_stream_that_was_never_open_is_no_error(cli: CliRunner, closed: str) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    program = f'"{sys.executable}" -m bulkcast validate "{sheet}" {closed}'

    ended = subprocess.run(
        ["/bin/sh", "-c", program], env=cli.environment(), capture_output=True, check=False,
        timeout=30, text=True,
    )  # fmt: skip

    assert ended.returncode == 0
    assert "defect" not in ended.stdout + ended.stderr


EVERY_COMMAND = (
    "--help", "--version", "demo --dir D", "template t.xlsx", "validate {sheet}", "plan {sheet}",
    "apply {sheet} -y", "apply {sheet} -y --json", "apply {sheet} -y -q", "apply {sheet} -n",
    "resubmit {results} -y", "resume {run}", "runs", "runs show {run}", "results {run} -o r.csv",
    "undo {run} -o u.csv", "purge --yes", "doctor", "sandbox --help",
)  # fmt: skip
TELLS_MUCH = (
    "--help", "demo --dir D", "validate {sheet}", "apply {sheet} -y", "resume {run}",
    "undo {run} -o u.csv", "doctor",
)  # fmt: skip
"""Each kind of command that writes to standard error; the others are tried by a long proof."""


def _behind_shell(cli: CliRunner, typed: str, streams: str) -> subprocess.CompletedProcess[str]:
    """The command as a shell starts it, in a folder where a run was carried out before."""
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    with clearing(cli):
        before = cli.call("apply", sheet, "-y", "--json", *FAST).document
        argv = typed.format(sheet=sheet, run=before["run"], results=before["results"])
        return subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c",
             f'"{sys.executable}" -m bulkcast {argv} {streams}'],
            env=cli.environment(), cwd=cli.folder, capture_output=True, check=False, timeout=60,
            text=True,
        )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize(
    ("typed", "streams"),
    [
        *((typed, ">/dev/full") for typed in EVERY_COMMAND),
        *(pytest.param(typed, "2>/dev/full", marks=() if typed in TELLS_MUCH else LONG)
          for typed in EVERY_COMMAND),
        *(pytest.param(typed, ">/dev/full 2>&1", marks=LONG) for typed in EVERY_COMMAND),
    ],
)  # fmt: skip
def test_a_full_stream_is_told_in_a_sentence(cli: CliRunner, typed: str, streams: str) -> None:
    ended = _behind_shell(cli, typed, streams)

    told = ended.stdout + ended.stderr
    assert ended.returncode in {0, 2, 3 if typed.startswith("undo") else 0}
    assert "Traceback" not in told
    assert "Exception" not in told
    assert told.count("cannot be written") <= 1
    if "cannot be written" in told and "shows how the rows ended" not in told:
        assert ended.returncode == (3 if typed.startswith("undo") else 2)
    if streams == ">/dev/full":
        assert (
            "standard output cannot be written" in told
            or typed.startswith("purge")
            or "-q" in typed
        )


@posix
@LONG
@pytest.mark.parametrize("streams", ["2>&1 | head -1", ">&- 2>&-"])
@pytest.mark.parametrize("typed", EVERY_COMMAND)
def test_a_stream_that_nobody_reads_changes_no_exit_status(
    cli: CliRunner, typed: str, streams: str
) -> None:
    ended = _behind_shell(cli, typed, streams)

    told = ended.stdout + ended.stderr
    assert ended.returncode == (3 if typed.startswith("undo") else 0)
    assert "Traceback" not in told
    assert "Exception" not in told


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_nothing_is_sent_where_it_cannot_be_told(cli: CliRunner) -> None:
    ended = _behind_shell(cli, "apply {sheet} -y", "2>/dev/full")

    assert ended.returncode == 2
    assert "standard error cannot be written" in ended.stdout
    assert "nothing was sent" in ended.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_what_was_sent_stays_a_success_where_the_outcome_cannot_be_written(cli: CliRunner) -> None:
    ended = _behind_shell(cli, "apply {sheet} -y --json", ">/dev/full")

    assert ended.returncode == 0
    assert "standard output cannot be written" in ended.stderr
    assert "runs show" in ended.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete_what_is_typed(cli: CliRunner, shell: str) -> None:
    cli.set(_BULKCAST_COMPLETE=f"{shell}_source")
    installed = cli.spawn()
    at = "res" if shell == "fish" else "1"
    cli.set(_BULKCAST_COMPLETE=f"{shell}_complete", COMP_WORDS="bulkcast res", COMP_CWORD=at)
    completed = cli.spawn()

    assert "_bulkcast_completion" in installed.out
    assert {"resubmit", "resume", "results"} <= set(re.findall(r"[a-z]+", completed.out))
    assert installed.err + completed.err == ""


# ------------------------------------------------------------------ signals


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_a_signal_ends_a_run_in_order_and_resume_finishes_it(
    cli: CliRunner, name: str, status: int
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(60))
    under_way = Reached(8)

    with clearing(cli, clock=under_way) as sandbox:
        process = cli.start("apply", sheet, "-y", "--json", "--rate", "20/s")
        under_way.wait()
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=30)
        document = json.loads(out)
        resumed = cli.call("resume", "--json", "--rate", "max")

    counts = document["counts"]
    assert process.returncode == document["exit"] == status
    assert "Stopping" in err
    assert document["stopped"]["reason"] == "interrupted"
    assert 0 < counts["applied"] < 60
    assert counts["applied"] + counts["not_sent"] == 60
    assert Path(document["results"]).exists()
    assert resumed.status == 0
    assert resumed.document["counts"]["applied"] == 60
    assert sandbox.received == 60


@pytest.mark.slow
@posix
@pytest.mark.parametrize("more", [1, 4])
def test_a_second_interrupt_ends_at_once_and_keeps_the_books(cli: CliRunner, more: int) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    world = parse_world(
        '{"limit": null, "classrooms": [{"activityId": 25096002, "faults": ["hang:60"]}]}', name="w"
    )
    under_way = Reached(6)

    with clearing(cli, world, clock=under_way) as sandbox:
        process = cli.start("apply", sheet, "-y", "--json", "--rate", "5/s")
        under_way.wait()
        while sandbox.received < 3:
            assert process.poll() is None
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        told = any("no more rows" in line for line in iter(process.stderr.readline, ""))
        for _ in range(more):
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=15)

    assert told
    assert "Traceback" not in err
    document = json.loads(out)
    assert process.returncode == 130
    assert document["counts"]["unconfirmed"] == 1
    assert sum(document["counts"].values()) == 3
    assert document["elapsed_s"] < 10


# ------------------------------------------------------------------ a terminal


def at_a_terminal(cli: CliRunner, *argv: str | Path, typed: str = "") -> tuple[int, str]:
    """A command on a terminal of its own: its status and everything that appeared there."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    process = cli.start(*argv, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    seen = b""
    try:
        while chunk := os.read(ours, 65536):
            seen += chunk
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(ours)
    return process.wait(30), seen.decode()


@pytest.mark.slow
@posix
def test_at_a_terminal_it_asks_shows_its_progress_and_the_outcome(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(30))
    cli.set(TERM="xterm-256color", NO_COLOR="")

    with clearing(cli):
        status, seen = at_a_terminal(cli, "apply", sheet, "--rate", "15/s", typed="y\n")

    assert status == 0
    assert "Send 30 rows to institution" in seen
    assert "a minute" in seen
    assert "\x1b[3" in seen
    assert "applied" in seen


@pytest.mark.slow
@posix
def test_nothing_is_asked_where_the_results_could_not_be_written(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    cli.set(TERM="xterm")

    with clearing(cli):
        status, seen = at_a_terminal(cli, "apply", sheet, "-o", cli.folder / "no" / "x.csv")

    assert status == 2
    assert "Send 3 rows" not in seen


@pytest.mark.slow
@posix
def test_no_sends_nothing(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    cli.set(TERM="xterm")

    with clearing(cli) as sandbox:
        status, seen = at_a_terminal(cli, "apply", sheet, typed="n\n")

    assert status == 130
    assert "nothing was done" in seen
    assert sandbox.received == 0


@pytest.mark.slow
@posix
def test_in_a_narrow_terminal_a_run_still_shows_its_whole_name(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "a term with quite a long name of its own.csv", lines(3))
    cli.set(TERM="xterm", COLUMNS="44")
    with clearing(cli):
        run = cli.call("apply", sheet, "-y", "--json", "--rate", "max").document["run"]

    _, seen = at_a_terminal(cli, "runs")

    assert run in seen


@pytest.mark.slow
@posix
def test_no_color_is_honoured(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(10))
    cli.set(TERM="xterm-256color", NO_COLOR="1")

    with clearing(cli):
        status, seen = at_a_terminal(cli, "apply", sheet, "-y", "--rate", "20/s")

    assert status == 0
    assert "\x1b[3" not in seen
    assert "\x1b[1m" not in seen


@pytest.mark.slow
@posix
def test_a_dumb_terminal_is_sent_no_escapes(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(10))
    cli.set(TERM="dumb")

    with clearing(cli):
        status, seen = at_a_terminal(cli, "apply", sheet, "-y", "--rate", "20/s")

    assert status == 0
    assert "\x1b" not in seen


# ------------------------------------------------------------------ the sandbox command


@pytest.mark.slow
@posix
def test_the_sandbox_says_how_to_reach_it_and_ends_well(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    process = cli.start("sandbox", "--port", "0", "--limit", "max", "--json")
    assert process.stdout is not None
    cli.set(**json.loads(process.stdout.readline())["env"])
    said = cli.call("apply", sheet, "-y", "--json", "--rate", "max")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)

    assert said.document["counts"]["applied"] == 3
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("seconds", "said"), [(59.6, "1 min"), (3599.9, "1 h"), (61, "1 min 1 s"), (7260, "2 h 1 min")]
)
def test_durations_read_well_at_their_edges(seconds: float, said: str) -> None:
    assert spell(seconds) == said


def test_a_stream_that_python_closed_first_is_left_in_peace(
    capsys: pytest.CaptureFixture[str],
) -> None:
    beneath = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    stream = BrokenPipeSafeStream(beneath)
    beneath.close()

    stream.flush()

    del stream  # from Python 3.13 on, closing flushes once more
    gc.collect()
    assert "Exception ignored" not in capsys.readouterr().err
