"""Sentences that name an option of the command line, in the words of the page."""

from collections.abc import Mapping
from typing import Final

from bulkcast.i18n import marked

PAGE_WORDS: Final[Mapping[str, str]] = {
    # ---------------------------------------------------------------- the file
    "{name} is a plan and no sheet; `bulkcast apply` sends it as it is.": marked(
        "{name} is a plan and no sheet; upload the sheet itself."
    ),
    "--delimiter {delimiter!r} is not one character, or `tab`.": marked(
        "{delimiter!r} cannot separate cells; choose another sign."
    ),
    "{name} is not {encoding} throughout: line {line} holds bytes that are none; save it as CSV"
    " UTF-8, or say which encoding it is in with --encoding.": marked(
        "{name} is not {encoding} throughout: line {line} holds bytes that are none; choose another"
        " encoding, or save it as CSV UTF-8."
    ),
    "{name} is in no encoding that can be recognised; save it as CSV UTF-8, or say which one it is"
    " with --encoding.": marked(
        "{name} is in no encoding that can be recognised; choose its encoding, or save it as CSV"
        " UTF-8."
    ),
    "{place} has no header row within its first {n} rows: none of them names a column such as"
    " {examples}; `bulkcast template` writes a sheet that does.": marked(
        "{place} has no header row within its first {n} rows: none of them names a column such as"
        " {examples}. Choose the header row, or fill in the template."
    ),
    "{n} hidden row is included; leave it out with --hidden skip.": marked(
        "{n} hidden row is included."
    ),
    "{n} hidden rows are included; leave them out with --hidden skip.": marked(
        "{n} hidden rows are included."
    ),
    "{name} has {n} worksheets; choose one with --sheet.": marked(
        "{name} has {n} worksheets; choose one."
    ),
    "{name}: the worksheet {tab!r} cannot be read and may hold the rows that are meant; remove it,"
    " or choose the worksheet to read with --sheet.": marked(
        "{name}: the worksheet {tab!r} cannot be read and may hold the rows that are meant; remove"
        " it, or choose the worksheet to read."
    ),
    "{name} has more than one worksheet to read: {known}; choose one with --sheet.": marked(
        "{name} has more than one worksheet to read: {known}; choose one."
    ),
    "{name} has no header row in a worksheet that is shown, but {tab!r}, which is hidden, has one;"
    " unhide it, or choose it with --sheet.": marked(
        "{name} has no header row in a worksheet that is shown, but {tab!r}, which is hidden, has"
        " one; unhide it, or choose it."
    ),
    "If that looks wrong, say the encoding with --encoding; a file saved as CSV UTF-8 says it"
    " itself.": marked(
        "If that looks wrong, choose the encoding; a file saved as CSV UTF-8 says it itself."
    ),
    "Save it as CSV UTF-8, or say its encoding, such as --encoding {encoding} or --encoding"
    " {other}.": marked(
        "Choose its encoding, such as {encoding} or {other}, or save it as CSV UTF-8."
    ),
    # ---------------------------------------------------------------- the columns
    'Rename it to {suggestion}, or say what it is with --map "{value}={suggestion}".': marked(
        "Rename it to {suggestion}, or say under Columns what it is."
    ),
    'If it holds that setting, rename it to {setting} or add --map "{value}={setting}".': marked(
        "If it holds that setting, say so under Columns, or rename it to {setting}."
    ),
    'Rename it to the one you mean, or say so with --map "{value}={first}".': marked(
        "Say under Columns which one you mean, or rename it."
    ),
    'Add a column {targets}, or say which one it is, as in --map "{example}".': marked(
        "Add a column {targets}, or say under Columns which one it is."
    ),
    "Add one of the settings' columns; `bulkcast template` writes a sheet with all of"
    " them.": marked(
        "Add one of the settings' columns, or say under Columns which one it is; the template has"
        " all of them."
    ),
    # ---------------------------------------------------------------- rows
    "Delete one of the two rows, or add --duplicates in-order: then the row further down counts.":
    marked("Change one of the two rows, or let the row further down count."),
    "Keep one of the rows, or choose with --duplicates in-order or last.": marked(
        "Change one of the rows, or let the row further down count."
    ),
    "Nothing to do, or leave out --duplicates.": marked("Nothing to do."),
    "Nothing to do, or leave out --duplicates last.": marked("Nothing to do."),
    "Compare with ClassIn; to send such a row again, empty its bulkcast_status.": marked(
        "Compare with ClassIn; to send such rows again, send all rows."
    ),
    # ---------------------------------------------------------------- results of an earlier run
    "a rehearsal in a sandbox was done with {rows} of {name}, and ClassIn never got them; nothing"
    " was sent. Send all rows in earnest with `bulkcast apply`, or go on with the rehearsal with"
    " --sandbox": marked(
        "a rehearsal in a sandbox was done with {rows} of {name}, and ClassIn never got them;"
        " nothing was sent. Send all rows"
    ),
    "{rows} changed since an earlier run was done with what stood there; nothing was sent. Empty"
    " bulkcast_status there to send what stands there now, or bring the old cells back": marked(
        "{rows} changed since an earlier run was done with what stood there; nothing was sent. Send"
        " all rows, or bring the old cells back"
    ),
    "an earlier run sent {rows} to institution {sid}, and the configuration is for institution"
    " {other}; nothing was sent. Choose the other with --profile, or send all rows with `bulkcast"
    " apply`": marked(
        "an earlier run sent {rows} to institution {sid}, and the institution in use is {other};"
        " nothing was sent. Choose the other under Settings, or send all rows"
    ),
}  # fmt: skip
"""A sentence → the same on the page."""
