"""Every problem a sheet or a run can have: its code, severity, message and fix."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulkcast.model import Argument, Issue, Severity, Text


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem: its severity, a message, and what to do."""

    severity: Severity
    message: str
    fix: str = ""
    many: str = ""
    """The message if the argument `n` is not 1 and the plural differs."""

    def template(self, args: Mapping[str, Argument]) -> str:
        """The message for the number `n` in `args`."""
        return self.many if self.many and args.get("n", "1") != "1" else self.message


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

PROBLEMS: Final[Mapping[str, Problem]] = {
    # ---------------------------------------------------------------- the file
    "file.encoding_guessed": Problem(_W,
        "The file does not say how it is encoded; it was read as {encoding}: {samples}.",
        "If that looks wrong, say the encoding with --encoding; a file saved as CSV UTF-8 says it"
        " itself."),
    "file.encoding_doubtful": Problem(_E,
        "The file does not say how it is encoded, and what would be sent depends on it: read as"
        " {encoding} a cell is “{sample}”, as {other} “{other_sample}”.",
        "Save it as CSV UTF-8, or say its encoding, such as --encoding {encoding} or"
        " --encoding {other}."),
    "cell.holds_rows": Problem(_W,
        "Cell {place}, in quotes, holds a line that looks like a row of its own (id {ids}), which"
        " is not sent.",
        "If two stray quotes have made one cell of several rows from row {row_number} on, delete"
        " them.",
        many="Cell {place}, in quotes, holds {n} lines that look like rows of their own (ids"
        " {ids}), which are not sent."),
    # ---------------------------------------------------------------- the header row
    "header.near_miss": Problem(_E,
        "The column {value} is no setting, but nearly {suggestion}.",
        'Rename it to {suggestion}, or say what it is with --map "{value}={suggestion}".'),
    "header.unread_setting": Problem(_W,
        "The column {value} is not read, though {setting} is named in it.",
        'If it holds that setting, rename it to {setting} or add --map "{value}={setting}".'),
    "header.ambiguous": Problem(_E,
        "The column {value} could mean {candidates}.",
        'Rename it to the one you mean, or say so with --map "{value}={first}".'),
    "header.duplicate": Problem(_E,
        "The columns {value} and {other} both name {setting}.", "Keep one of them."),
    "header.no_target": Problem(_E,
        "No column names the classroom.",
        'Add a column {targets}, or say which one it is, as in --map "{example}".'),
    "header.no_setting": Problem(_E,
        "No column holds a setting, so there is nothing to apply.",
        "Add one of the settings' columns; `bulkcast template` writes a sheet with all of them."),
    "header.second_table": Problem(_E,
        "The row is the header of another table: {value} does not stand below its own name, so the"
        " rows beneath cannot be read by the first header.",
        "Put each table into a worksheet or file of its own, or the columns of all in one order."),
    "row.header_again": Problem(_E, "The row repeats the header.", "Delete the row."),
    "header.unknown_map": Problem(_E,
        "--map names {value}, which is {what}.",
        'Give it as --map "column of the sheet=setting".'),
    # ---------------------------------------------------------------- the institution
    "institution.missing": Problem(_E,
        "The row does not say for which institution it is.",
        "Fill in the name of a profile; a sheet for one institution needs no such column."),
    "institution.unknown": Problem(_E,
        "{value} is no profile in config.toml.",
        "Give one of these names: {known}. If the column says something else, rename it, or leave"
        ' it out with --map "{column}=".'),
    "institution.near_miss": Problem(_E,
        "{value} is no profile in config.toml, but nearly {suggestion}.",
        "Write {suggestion}, or add a profile of that name."),
    # ---------------------------------------------------------------- the target
    "target.missing": Problem(_E,
        "The row does not say which classroom it is for.", "Fill in {targets}."),
    "target.both": Problem(_N,
        "The row has both {activityId} and {classId}; only {activityId} is sent.",
        "Nothing to do if both name the same classroom."),
    "target.duplicate": Problem(_E,
        "Row {others} sets the same classroom differently.",
        "Keep one of the rows, or choose with --duplicates in-order or last.",
        many="Rows {others} set the same classroom differently."),
    "target.sent_already": Problem(_E,
        "Row {other}, which was sent already, sets the same classroom differently.",
        "Delete one of the two rows, or add --duplicates in-order: then the row further down"
        " counts."),
    "target.replaces": Problem(_N,
        "Row {other}, which was sent already, set the same classroom differently; this row is"
        " further down and counts.",
        "Nothing to do, or leave out --duplicates."),
    "target.overtaken": Problem(_N,
        "Not sent: row {other}, further down, sets the same classroom differently and was sent"
        " already.",
        "Nothing to do; if this row should count, delete row {other}, and this row's"
        " bulkcast_status."),
    "target.overruled": Problem(_N,
        "Row {other} sets the same classroom again; its settings are sent in place of this row's.",
        "Nothing to do, or leave out --duplicates last."),
    "row.nothing_to_set": Problem(_E,
        "The row sets nothing: every setting is blank.",
        "Fill in at least one setting, or delete the row."),
    # ---------------------------------------------------------------- an earlier run's results
    "results.unknown_run": Problem(_W,
        "{n} row is left as done because the sheet says so, by a run that this computer's ledger"
        " does not have: {runs}.",
        "Compare with ClassIn; to send such a row again, empty its bulkcast_status.",
        many="{n} rows are left as done because the sheet says so, by runs that this computer's"
        " ledger does not have: {runs}."),
    # ---------------------------------------------------------------- ids
    "id.not_a_number": Problem(_E,
        "{value} is not an id.", "Ids are digits only, such as 25096094."),
    "id.scientific": Problem(_E,
        "{value} is an id that a spreadsheet shortened; its last digits are gone.",
        "Format the column as text and paste the id again from ClassIn."),
    "id.precision_lost": Problem(_E,
        "{value} has more digits than a spreadsheet number keeps; the last ones are not real.",
        "Format the column as text and paste the id again from ClassIn."),
    "id.fraction": Problem(_E, "{value} is not a whole number.", "Paste the id from ClassIn."),
    "id.out_of_range": Problem(_E,
        "{value} is not between 1 and 9223372036854775807.", "Paste the id from ClassIn."),
    "id.became_date": Problem(_E,
        "The id has become the date {value}.",
        "Format the column as text and paste the id again from ClassIn."),
    "id.display_differs": Problem(_W,
        "The cell shows {value} but stores {stored}; {stored} is used.",
        "Format the column as text if the zeros belong to the id."),
    "id.display_shortened": Problem(_N,
        "The cell shows {value} in a narrow column and stores {read}, which is used.",
        "Format the column as text so that the whole id shows."),
    "ids.not_a_list": Problem(_E,
        "{part} in {value} is not a student UID.",
        "Separate UIDs of digits with commas, semicolons or spaces."),
    "ids.repeated": Problem(_N, "The list names {part} more than once; it is sent once."),
    # ---------------------------------------------------------------- ids, seen together
    "column.rounded": Problem(_W,
        "{n} long ids in the column {column} end in 000: a spreadsheet seems to have rounded them.",
        "Format the column as text and paste the ids again from ClassIn."),
    "column.counts_up": Problem(_W,
        "The ids in {column} count up by one over {n} rows in which nothing else about the class "
        "changes, as when a cell is dragged down.",
        "Compare them with ClassIn, and copy cells with Ctrl held down."),
    "column.swapped": Problem(_W,
        "Ids in {column} repeat while those in {other} never do: the two columns may be swapped.",
        "Compare a row with ClassIn, and swap the headers if they are."),
    "column.same_id": Problem(_W,
        "This row has the same id in {column} and in {other}.",
        "One of the two is probably pasted into the wrong column.",
        many="{n} rows have the same id in {column} and in {other}, from this one on."),
    "column.odd_length": Problem(_W,
        "The id has {n} digit, all others in {column} have {usual}.",
        "Compare it with ClassIn: a digit may be missing or typed twice.",
        many="The id has {n} digits, all others in {column} have {usual}."),
    # ---------------------------------------------------------------- other cells
    "cell.not_a_choice": Problem(_E,
        "{value} is not one of {choices}.", "Choose one of {choices}, or leave the cell blank."),
    "cell.not_an_integer": Problem(_E,
        "{value} is not a whole number of 0 or more.", "Give a whole number, or leave it blank."),
    "cell.not_a_text": Problem(_E,
        "The cell holds {what}, not a text.", "Format the cell as text and type it again."),
    "password.numeric": Problem(_E,
        "The password is stored as a number, so zeros at its front may be lost.",
        "Format the cell as text and type the password again."),
    "password.only_spaces": Problem(_W,
        "The cell holds nothing that can be seen and counts as blank: the password stays as it is.",
        "Empty the cell, or type the password; (clear) takes it away."),
    "password.long": Problem(_W,
        "The password has {n} characters; ClassIn may take {most} at most.",
        "Shorten it to {most} characters, or try it on one classroom first."),
    "password.unseen_character": Problem(_W,
        "Character {places} of the password is {what}; viewers have to type exactly that.",
        "Type the password again, unless that is meant.",
        many="Characters {places} of the password cannot be seen or are taken for others, the first"
        " is {what}; viewers have to type exactly that."),
    "cell.not_clearable": Problem(_E,
        "{value} clears a text or a list; {column} is neither.",
        "Choose one of its values, or leave the cell blank to keep it unchanged."),
    "cell.formula_error": Problem(_E,
        "The cell shows the error {value}.", "Mend the formula or type the value."),
    "cell.formula_unsaved": Problem(_E,
        "The cell holds a formula whose value was never saved.",
        "Open the file in a spreadsheet program, save it, and try again."),
    "cell.only_a_time": Problem(_E,
        "The cell holds {value}, a time of day or a duration without a date.",
        "Give a date with its time, or format the cell as text and type it again."),
    "cell.merged": Problem(_E,
        "The cell is part of the merged range {range}.",
        "Unmerge the cells and fill in each one."),
    "cell.too_long": Problem(_E,
        "The text has {n} characters; a cell holds at most {most}.", "Shorten it."),
    "cell.control_character": Problem(_E,
        "The text holds the control character {what}.",
        "Delete it; it cannot be seen in the cell, so type the text again."),
    "time.not_a_time": Problem(_E,
        "{value} is not a point in time.",
        "Give a date cell, 2027-03-01 08:00, 2027-03-01 8:00 AM, 2027年3月1日 下午3:05, or Unix"
        " seconds; noon and midnight as 12:00 and 0:00."),
    "time.ambiguous": Problem(_E,
        "{value} does not say which number is the day and which the month.",
        "Give the year first, as in 2027-03-01 08:00."),
    "time.no_year": Problem(_E,
        "{value} does not say the year in four digits.",
        "Give the year first, as in 2027-03-01 08:00."),
    "time.half_of_day": Problem(_E,
        "{value} does not say whether the hour is before or after noon.",
        "Add 上午 or 下午, or give the hour of a 24-hour clock, as in 2027-03-01 08:00."),
    "time.weekday": Problem(_E,
        "{value} names another day of the week than its date falls on.",
        "Correct the date or the day of the week."),
    "time.date_number": Problem(_E,
        "{value} is the number that a spreadsheet stores for a date.",
        "Format the cell as a date with its time, which may show {read}; or type that time."),
    "time.without_a_time": Problem(_W,
        "{value} is a date without a time of day and counts as midnight.",
        "Add when the class begins, as in 2027-03-01 08:00."),
    "time.skipped_hour": Problem(_W,
        "{value} does not exist on that day, when clocks are put forward; it was read as {read}.",
        "Give a time that exists, or add the offset from UTC, as in 2027-03-01T08:00:00+08:00."),
    "time.repeated_hour": Problem(_W,
        "{value} comes twice on that day, when clocks are put back; the earlier, {read}, is used.",
        "Add the offset from UTC, as in 2027-03-01T08:00:00+08:00."),
    "text.cut": Problem(_W,
        "The text has {n} characters; ClassIn is known to cut such fields at {most} silently.",
        "Shorten it to {most} characters."),
    "text.unsigned": Problem(_W,
        "The text has {n} bytes; official samples disagree about signing from 1024 bytes on.",
        "Shorten it if ClassIn answers 101002005 to this row."),
    "read.cleaned": Problem(_N, "{shown} was read as {read}."),
    "read.number_as_text": Problem(_N, "The number {read} was read as the text {read}."),
    "row.extra_cells": Problem(_E,
        "The row has more cells than the header: {value}.",
        "Put quotes round cells that hold the delimiter, or add a header."),
    # ---------------------------------------------------------------- rules across cells
    "rule.live_needs_recording": Problem(_E,
        "{liveState} is on while {recordState} is off.",
        "Switch {recordState} on, or {liveState} off."),
    "rule.playback_needs_recording": Problem(_E,
        "{openState} is on while {recordState} is off.",
        "Switch {recordState} on, or {openState} off."),
    "rule.type_needs_recording": Problem(_W,
        "{recordType} is chosen while {recordState} is off.",
        "Switch {recordState} on, or give {recordType} 0."),
    "rule.main_recording_alone": Problem(_E,
        "{useCoMainRecord} is on together with {other}.",
        "With the main classroom's recording, {recordState}, {recordType}, {liveState} and "
        "{openState} must be 0."),
    "rule.partial_group": Problem(_W,
        "The row sets only {given}; ClassIn treats {keys} as one set and may refuse a part of it.",
        "Fill in all four, or none."),
    "rule.chat_needs_live": Problem(_W,
        "{allowUnloggedChat} is on, which works only with {recordState} and {liveState} on.",
        "Switch {other} on, or {allowUnloggedChat} off."),
    "rule.login_needs_two": Problem(_W,
        "{watchByLogin} is on, which works only with two of {recordState}, {liveState} and"
        " {openState} on.",
        "Switch two of them on, or {watchByLogin} off."),
    "rule.viewing_needs_login": Problem(_W,
        "Viewing is restricted, which works only with {watchByLogin} on.",
        "Switch {watchByLogin} on in this row."),
    # ---------------------------------------------------------------- why a row was not sent
    "plan.too_late": Problem(_E,
        "{settings} cannot be changed after {locked_at}, 20 minutes before class.",
        "Take the locked settings out of the row, or make the change in ClassIn."),
    "plan.too_late_but_so": Problem(_E,
        "{settings} cannot be changed after {locked_at}, 20 minutes before class, but was last set"
        " as the row wants it; only {free} would be new.",
        "Add --send-free to send just that, or take the locked settings out of the row."),
    "plan.unchanged": Problem(_N,
        "Not sent: ClassIn acknowledged these settings at {acknowledged_at} (run {by}).",
        "Leave out --changed-only if somebody changed the classroom in ClassIn since."),
    "plan.not_chosen": Problem(_N, "The row was left out by {option}."),
    "run.invalid_rows": Problem(_E,
        "Nothing was sent because other rows are invalid.",
        "Mend them, or use --on-invalid skip."),
    "run.interrupted": Problem(_E,
        "The run was interrupted before this row was sent.", "Continue with `bulkcast resume`."),
    "run.waiting": Problem(_E,
        "The row has not been sent yet: its run is still under way.",
        "Look again with `bulkcast runs show`."),
    "run.no_access": Problem(_E,
        "Nothing was sent for {profile}: {why}.",
        "Mend its profile, then continue with `bulkcast resume`; other institutions went ahead."),
    "run.busy": Problem(_E,
        "Nothing was sent for {profile}: {why}.",
        "When that has ended, continue with `bulkcast resume`; other institutions went ahead."),
    "run.not_begun": Problem(_E,
        "Nothing was sent for {profile}: {why}.",
        "Do what it says, then send these rows with `bulkcast resubmit`."),
    "run.ledger": Problem(_E,
        "The run stopped: {why}.",
        "Make room on the disk, then continue with `bulkcast resume`."),
    "run.ledger_gone": Problem(_E,
        "The run stopped: {why}.",
        "Bring back the ledger that was there, if you can; the result sheet says how each row"
        " ended, and `bulkcast resubmit` of it sends what is left."),
    "run.superseded": Problem(_E,
        "Run {newer} has set this classroom since, or may have, so this row was not sent again.",
        "Nothing to do; if this row should count all the same, empty its bulkcast_status and"
        " resubmit it."),
    "run.dry_run": Problem(_N,
        "Nothing was sent: it was a dry run.", "Leave out --dry-run to send."),
    "run.outage": Problem(_E,
        "For {minutes} min ClassIn gave no answer of its own; last seen: {what}.",
        "Check the network, then continue with `bulkcast resume`."),
    "run.maintenance": Problem(_E,
        "ClassIn is under maintenance, and was for all of the {minutes} min that the run waited.",
        "Continue with `bulkcast resume` when it is back; windows of 5 to 7 hours are announced"
        " now and then, and --max-outage 8h waits for that long."),
    "run.throttled": Problem(_E,
        "ClassIn asked for silence longer than {seconds} s.",
        "Continue with `bulkcast resume` later."),
    "run.feature_missing": Problem(_E,
        "Not sent, because ClassIn refused {feature} on {n} rows in a row with code {code}.",
        "Ask your ClassIn account manager to enable it, then resubmit."),
    "run.systematic": Problem(_E,
        "ClassIn refused {n} rows in a row with the same code {code}.",
        "Look at the first of them: the column mapping or the institution may be wrong."),
    # ---------------------------------------------------------------- what happened on the wire
    "send.not_connected": Problem(_E,
        "No connection to ClassIn: {detail}.", "Check the network, then send again."),
    "send.exhausted": Problem(_E,
        "This computer has no file descriptor or no memory left for a connection.",
        "Close other programs, raise the limit (`ulimit -n 1024`) or lower --concurrency, then go"
        " on with `bulkcast resume`."),
    "send.unencodable": Problem(_E,
        "The row holds a character that cannot be sent.", "Type its texts again."),
    "send.certificate": Problem(_E,
        "The server's certificate does not verify: {detail}.",
        "Try another network; something between this computer and ClassIn may be listening. Where"
        " that is your school's own proxy, SSL_CERT_FILE names the file of those whose certificates"
        " are accepted."),
    "send.timeout": Problem(_E,
        "No answer within {detail} s; it may have been applied.", "Send the row again."),
    "send.lost": Problem(_E,
        "The connection broke before the answer was complete; it may have been applied.",
        "Send the row again."),
    "send.earlier": Problem(_E,
        "An earlier try of this row went unanswered and may have been applied.",
        "Send the row again."),
    "send.crashed": Problem(_E,
        "The row was sent, and the program ended or the disk was full before its answer was"
        " stored; it may have been applied.",
        "Send the row again."),
    "reply.not_json": Problem(_E,
        "The answer is not ClassIn's: {detail}; it may have been applied.",
        "Send the row again; if it repeats, a proxy or a login page is in between."),
    "reply.too_large": Problem(_E,
        "The answer was longer than {detail} bytes; it may have been applied.",
        "Send the row again; if it repeats, a proxy is in between."),
    "reply.http": Problem(_E,
        "The server answered HTTP {status}; it may have been applied.", "Send the row again."),
    "reply.redirect": Problem(_E,
        "The server answered HTTP {status}, a redirect to {location}, which is never followed.",
        "Check BULKCAST_ROOT_URL; a login page of the network may be in between."),
    "reply.refused": Problem(_E,
        "The server answered HTTP {status}.",
        "Check BULKCAST_ROOT_URL; it should be https://api.eeo.cn."),
    "reply.maintenance": Problem(_E,
        "ClassIn is under maintenance.", "Continue with `bulkcast resume` when it is back."),
    "reply.throttled": Problem(_E,
        "ClassIn asked to slow down (HTTP 429).", "Send the row again later."),
    "reply.long_text": Problem(_E,
        "ClassIn accepts no signature of this row's long text, whether its bytes are counted or its"
        " characters (ClassIn {number}).",
        "Shorten the text to 341 Chinese characters (1024 bytes); if other rows are refused too,"
        " check the secret."),
    "reply.unknown_code": Problem(_E,
        "ClassIn answered the unlisted code {number}: {said}",
        "Look the code up with ClassIn's support; the row was not repeated."),
}  # fmt: skip


STOPS: Final[Mapping[str, Problem]] = {
    "run.interrupted": Problem(_E, "The run was interrupted.", "Continue with `bulkcast resume`."),
}
"""Messages for a run as a whole, if they differ from those for its rows."""


def issue(
    code: str,
    *,
    row: int | None = None,
    column: str | None = None,
    cell: str | None = None,
    value: str | None = None,
    severity: Severity | None = None,
    **args: Argument,
) -> Issue:
    """Make the issue `code`; `value` is the cell as the user sees it, already masked."""
    problem = PROBLEMS[code]
    shown = {"value": value or "", "column": column or "", **args}
    return Issue(
        code=code,
        severity=severity or problem.severity,
        row=row,
        column=column,
        cell=cell,
        value=value,
        message=Text(problem.template(shown), shown),
        fix=Text(problem.fix, shown),
    )
