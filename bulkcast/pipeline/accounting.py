"""What a run came to, from the ledger: for the terminal, and as a page to hand on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bulkcast import account as counting
from bulkcast import reporter
from bulkcast.account import Account
from bulkcast.catalogue import Label
from bulkcast.derive import explain_stop
from bulkcast.endpoints import WEBCAST
from bulkcast.languages import LANGS, tongue
from bulkcast.ledger import FrozenRun, Ledger
from bulkcast.model import ResultRow, RowStatus, Severity, Stop, no_counts
from bulkcast.naming import header_names
from bulkcast.pipeline.preparing import zone
from bulkcast.pipeline.reporting import result_rows
from bulkcast.wording import UNTOLD


def account(config_home: Path, run: str) -> Account:
    """What a run came to, told in both languages.

    Raises:
        CannotStart: there is no such run.

    """
    return _told(_loaded(config_home, run))[0]


def outcomes(config_home: Path, run: str, *, lang: str) -> tuple[Account, tuple[ResultRow, ...]]:
    """The same, and how every row ended."""
    found, rows = _told(_loaded(config_home, run))
    return found, rows[lang]


def page(
    config_home: Path,
    run: str,
    target: Path,
    *,
    existing: reporter.Existing = "refuse",
    lang: str = "en",
) -> reporter.Written:
    """Write what a run came to as a page; `lang` is what it shows first.

    Raises:
        CannotStart: there is no such run, or `target` cannot be written.

    """
    found = account(config_home, run)
    return reporter.write_page(target, found, zone(found.tz), lang=lang, existing=existing)


def _loaded(config_home: Path, run: str) -> FrozenRun:
    with Ledger(config_home) as ledger:
        return ledger.remains(ledger.newest(run).header.run)


def _told(frozen: FrozenRun) -> tuple[Account, Mapping[str, tuple[ResultRow, ...]]]:
    header = frozen.header
    rows: Mapping[str, tuple[ResultRow, ...]] = {
        lang: _without_gaps(result_rows(frozen, lang=lang), frozen) for lang in LANGS
    }
    ended = frozen.by_row().values()
    why = {
        lang: _without_gaps(result_rows(_errors_only(frozen), lang=lang), frozen) for lang in LANGS
    }
    counts = no_counts()
    for row in rows["en"]:
        counts[row.status] += 1
    found = Account(
        run=header.run,
        sheet=header.sheet.replace("\\", "/").rpartition("/")[2],
        sid=header.institution.sid,
        root_url=header.institution.root_url,
        tz=header.tz,
        created_at=header.created_at,
        finished_at=frozen.finished_at,
        counts=counts,
        attempts=sum(outcome.attempts for outcome in frozen.outcomes.values()),
        causes=counting.causes(why["en"], why["zh"]),
        timeline=counting.timeline((o.at, o.status) for o in ended if o.at is not None),
        stop=frozen.stop,
        stopped=_why(frozen.stop, counts),
        purged_at=frozen.purged_at,
        names=header_names(header.headers, WEBCAST, header.mapping),
    )
    return found, rows


def _errors_only(frozen: FrozenRun) -> FrozenRun:
    """A warning or a note is no reason why a row did not succeed."""
    errors = {
        row: tuple(i for i in issues if i.severity is Severity.ERROR)
        for row, issues in frozen.issues.items()
    }
    return replace(frozen, issues=errors)


def _without_gaps(rows: tuple[ResultRow, ...], frozen: FrozenRun) -> tuple[ResultRow, ...]:
    """Without the sentences of a purged run that lack what filled them."""
    if frozen.purged_at is None:
        return rows
    return tuple(
        replace(row, message="", fix="") if UNTOLD in row.message + row.fix else row for row in rows
    )


def _why(stop: Stop | None, counts: Mapping[RowStatus, int]) -> Label | None:
    if stop is None:
        return None
    en, zh = (
        speaks.joined([*explain_stop(stop, counts, WEBCAST, speaks)])
        for speaks in map(tongue, LANGS)
    )
    return Label(en, zh)
