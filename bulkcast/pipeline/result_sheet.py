"""Writes the result sheet of a run from the ledger, and reports how its rows ended."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from bulkcast import loader, reporter
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.home import Home
from bulkcast.i18n import header_names, marked
from bulkcast.languages import translator
from bulkcast.ledger import Ended, FrozenRun, Ledger, RunHeader, RunRecord, open_ledger
from bulkcast.messages import local_time, result_row
from bulkcast.model import (
    TO_FIX,
    UNFINISHED,
    Issue,
    Outcome,
    ResultRow,
    RowStatus,
    Sheet,
    Stop,
    Text,
    group_of,
    no_counts,
    part_name,
)
from bulkcast.pipeline import run_group
from bulkcast.pipeline.options import DEFAULT_TZ, SendOptions, zone
from bulkcast.pipeline.run_group import FrozenGroup
from bulkcast.pipeline.validation import sha256_of

if TYPE_CHECKING:
    from bulkcast.frames import DataFrame


class LazyRows(Sequence[ResultRow]):
    """Rows whose number is known; they are read when first accessed."""

    def __init__(self, n: int, read: Callable[[], tuple[ResultRow, ...]]) -> None:
        self._n = n
        self._read = cache(read)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, place: Any) -> Any:
        return self._read()[place]

    def __eq__(self, other: object) -> bool:
        return self._read() == (tuple(other) if isinstance(other, Sequence) else other)

    __hash__ = None  # type: ignore[assignment] # as of any sequence that is read when asked


@dataclass(frozen=True, slots=True)
class RunReport:
    """The results of a run."""

    run: str
    input: str
    requests: int
    """Attempts made by this process."""
    elapsed_s: float
    results: Path | None
    """None if the result sheet could not be written; `remarks` says why."""
    stop: Stop | None
    exit_status: int
    rows: Sequence[ResultRow] = field(repr=False)
    """Left out of `repr`, which `asyncio.run` takes of a task's result when it ends."""
    remarks: tuple[Text, ...] = ()
    issues: tuple[Issue, ...] = ()
    """Issues of the sheet as a whole."""
    ignored_columns: tuple[str, ...] = ()
    """Headers that name no setting, in sheet order; empty for a resumed run."""
    ended: tuple[Ended, ...] = ()
    """Counts of the rows, if they have not been read yet."""
    tz: str = DEFAULT_TZ
    """The time zone of the sheet."""
    parts: tuple["RunReport", ...] = field(default=(), repr=False)
    """The runs of a sheet for several institutions; this one sums them up."""
    profile: str = ""
    """The institution that this is a part for, as the sheet calls it."""

    def to_frame(self) -> "DataFrame":
        """How every row ended, one a row, in sheet order.

        `row` and `attempts` are int64, `status` `code` `message` `fix` `run` of dtype string,
        `time` is a moment in the sheet's time zone, missing where nothing was sent.  A row of a
        DataFrame that was sent is at position `row` - 2 of it.
        """
        from bulkcast import frames

        return frames.outcomes_frame(self.rows, ZoneInfo(self.tz))

    @property
    def counts(self) -> Mapping[RowStatus, int]:
        """Rows by status; adds up to the rows read."""
        return {**no_counts(), **self._counted(lambda _: True)}

    @property
    def earlier(self) -> Mapping[RowStatus, int]:
        """Rows that keep the outcome of an earlier run, by status."""
        return self._counted(lambda run: self.run not in {run, group_of(run)})

    def _counted(self, wanted: Callable[[str], bool]) -> Counter[RowStatus]:
        if not self.ended:
            return Counter(row.status for row in self.rows if wanted(row.run))
        found: Counter[RowStatus] = Counter()
        for some in self.ended:
            found[some.status] += some.n if wanted(some.run) else 0
        return found


FRAME_COPY: Final = "frame.xlsx"
"""The name of the copy of a DataFrame, which exists in no other file."""


class NextStep(Enum):
    """What is to be done after a run."""

    RESUME = "go on where it stopped"
    MEND = "mend rows and send them again"
    SEND_REST = "send the rows that were left out"
    SEND_AGAIN = "send rows again as they are"
    NOTHING = "nothing"


def next_step(counts: Mapping[RowStatus, int], stop: Stop | None, *, left_out: int = 0) -> NextStep:
    """What is to be done after a run with these counts; `left_out` rows an option left out."""
    unfinished = sum(counts.get(status, 0) for status in UNFINISHED)
    if stop and stop.code != "run.ledger_gone" and unfinished:
        return NextStep.RESUME
    if any(counts.get(status) for status in TO_FIX):
        return NextStep.MEND
    if unfinished:
        return NextStep.SEND_REST if unfinished == left_out else NextStep.SEND_AGAIN
    return NextStep.NOTHING


def report(
    ledger: Ledger,
    run: str,
    options: SendOptions,
    *,
    stop: Stop | None,
    requests: int,
    elapsed_s: float,
    remarks: Iterable[Text],
) -> RunReport:
    """Write the result sheet from the ledger; `stop` is why the run ended early.

    A part of a group writes none: the sheet is that of the group.
    """
    frozen = ledger.load(run, with_requests=False)
    header = frozen.header
    found = RunReport(
        run=run,
        input=header.name or header.sheet,
        requests=requests,
        elapsed_s=elapsed_s,
        results=None,
        stop=stop,
        exit_status=0,
        rows=result_rows(frozen, lang=options.lang),
        remarks=tuple(remarks),
        tz=header.tz,
        profile=header.profile,
    )
    found = replace(found, exit_status=_exit_status(found.rows, stop))
    return found if header.group else with_sheet(ledger, header, found, options)


def with_sheet(
    ledger: Ledger, header: RunHeader, found: RunReport, options: SendOptions, *, sealed: str = ""
) -> RunReport:
    """The report of a run with its result sheet, which it writes.

    `sealed` is the run whose folder gets the sheet's fingerprint, if not this one.
    """
    run, rows = found.run, found.rows
    target = options.results or Path(header.target)
    remarks = list(found.remarks)
    path: Path | None = None
    try:
        written = _write(ledger, header, rows, target, options.existing, options.lang)
        path = written.path
        remarks += written.remarks
        _keep_private(header, path)
        _seal_results(path, _seal(ledger, sealed or run))
    except (CannotStart, OSError) as exc:
        last = rows[-1].row if rows else 0
        template = _NOWHERE if ledger.gone() else _IN_LEDGER
        first = str(rows[0].row) if rows else "0"
        why = translator(options.lang).error(exc)
        remarks.append(Text(template, {"why": why, "first": first, "last": str(last), "run": run}))
    return replace(found, results=path, remarks=tuple(remarks))


_IN_LEDGER: Final = marked(
    "The result sheet could not be written: {why}. The outcomes of rows {first} to {last} are in"
    " the ledger: `bulkcast results {run} -o FILE` writes them."
)
_NOWHERE: Final = marked(
    "The result sheet could not be written: {why}. The ledger is gone too, so how rows {first}"
    " to {last} ended is written nowhere."
)


def finished_report(ledger: Ledger, record: RunRecord, options: SendOptions) -> RunReport | None:
    """The report of a finished run whose result sheet is as it was written; None otherwise.

    Its rows are read when first accessed.
    """
    header, place = record.header, Path(record.header.target)
    run, home = header.run, ledger.home
    is_over = record.finished_at is not None and record.stop is None and record.purged_at is None
    if not is_over or options.results != place or not place.is_file() or ledger.left(run):
        return None
    if sha256_of(place).encode() != _sealed(ledger, run):
        return None

    def read() -> tuple[ResultRow, ...]:
        with open_ledger(home) as reopened:
            frozen = reopened.load(run, with_requests=False)
        return result_rows(frozen, lang=options.lang)

    ended = ledger.ended(run)
    statuses = {some.status for some in ended if some.is_chosen}
    return RunReport(
        run=run,
        input=header.name or header.sheet,
        requests=0,
        elapsed_s=0.0,
        results=place,
        stop=None,
        exit_status=_status_of(statuses),
        rows=LazyRows(header.n_rows, read),
        ended=tuple(ended),
        tz=header.tz,
    )


def _sealed(ledger: Ledger, run: str) -> bytes:
    seal = _seal(ledger, run)
    return seal.read_bytes() if seal.exists() else b""


def _seal(ledger: Ledger, run: str) -> Path:
    """The file with the fingerprint of the result sheet as the run wrote it."""
    return ledger.folder(run) / "results.sha256"


def _seal_results(results: Path, seal: Path) -> None:
    """Store the result sheet's fingerprint; without one the sheet counts as edited and is kept."""
    with suppress(OSError):
        seal.touch(mode=0o600)
        seal.write_text(sha256_of(results), encoding="ascii")


def resumed_place(
    ledger: Ledger, header: RunHeader, asked: Path | None
) -> tuple[Path, tuple[Text, ...]]:
    """The path for the results of a resumed run, and a remark about it.

    A result sheet that the user has edited meanwhile is not overwritten.
    """
    wanted = Path(header.target)
    if asked is not None:
        reporter.refuse_other_kind(asked, header.layout.kind)
        return asked, ()
    if not wanted.is_file():
        return wanted, ()
    left = _sealed(ledger, header.run)
    is_known = len(left) == _SHA256_DIGITS  # on a full disk it is empty or missing
    if sha256_of(wanted).encode() == left:
        return wanted, ()
    place = reporter.next_free(wanted)
    words = {"wanted": wanted.name, "name": place.name}
    return place, (Text(_MENDED if is_known else _THERE, words),)


_SHA256_DIGITS: Final = 64
_THERE: Final = marked("{wanted} is there already and stays as it is; the results are in {name}.")
_MENDED: Final = marked(
    "{wanted} was changed since it was written and stays as it is; the results are in {name}."
)


def _keep_private(header: RunHeader, results: Path) -> None:
    """Make the results private if the sheet was, as one written by `undo` is."""
    with suppress(OSError):
        if header.snapshot == FRAME_COPY or Path(header.sheet).stat().st_mode & 0o077 == 0:
            results.chmod(0o600)


def _write(
    ledger: Ledger,
    header: RunHeader,
    rows: Sequence[ResultRow],
    target: Path,
    existing: reporter.Existing,
    lang: str,
    *,
    alone: bool = False,
) -> reporter.Written:
    """Write the sheet with its results; with `alone`, a new sheet with these `rows` only."""
    layout = header.layout
    source, remarks = _source(ledger, header)
    if source is None:
        return _write_bare(ledger, header, rows, target, existing, lang)
    is_new = alone or reporter.is_anew(target, layout.kind)
    grid = loader.grid(source, layout) if is_new else None
    placed = rows
    if alone and grid is not None:
        grid, places = loader.chosen(grid, layout.header_row, {row.row for row in rows})
        placed = [replace(row, row=places[row.row]) for row in rows]
    written = reporter.write_results(
        source, target, layout, header.headers, placed, existing=existing, cells=grid, lang=lang
    )
    if alone:
        words = {
            "name": written.path.name, "n": str(len(rows)), "total": str(header.n_rows),
            "sheet": header.title,
        }  # fmt: skip
        remarks = (Text(_CHOSEN, words), *remarks)
    return replace(written, remarks=(*remarks, *written.remarks))


_CHOSEN: Final = marked(
    "{name} has {n} of the {total} rows of {sheet}; row numbers in its messages are those of"
    " {sheet}."
)


def _write_bare(
    ledger: Ledger,
    header: RunHeader,
    rows: Sequence[ResultRow],
    target: Path,
    existing: reporter.Existing,
    lang: str,
) -> reporter.Written:
    written = reporter.write_bare(
        target, header.layout, header.headers, rows, existing=existing, lang=lang
    )
    words = {"copy": str(_copy(ledger, header)), "sheet": header.sheet, "name": written.path.name}
    return replace(written, remarks=(Text(_NO_CELLS, words), *written.remarks))


_NO_CELLS: Final = marked(
    "Neither {copy} nor {sheet} is the sheet as it was sent any more, so {name} has how each row"
    " ended, beside its number in that sheet, and none of its cells."
)
_OWN_SHEET: Final = marked(
    "The copy of the sheet at {copy} is not as it was kept and was not used; its disk may be"
    " failing. The cells are those of {sheet}, which is unchanged."
)


def _copy(ledger: Ledger, header: RunHeader) -> Path:
    """The copy of the sheet; each part of a group has one."""
    own = ledger.sheet(header)
    first = ledger.sheet(replace(header, run=part_name(header.run, 1)))
    return first if first.is_file() and not own.parent.is_dir() else own


def _source(ledger: Ledger, header: RunHeader) -> tuple[Path | None, tuple[Text, ...]]:
    """A file with the bytes that a run read (its copy, or the user's own), and remarks about it."""
    copy, own = _copy(ledger, header), Path(header.sheet)
    if _is_as_read(copy, header):
        return copy, ()
    if _is_as_read(own, header):
        return own, (Text(_OWN_SHEET, {"copy": str(copy), "sheet": header.sheet}),)
    return None, ()


def _is_as_read(path: Path, header: RunHeader) -> bool:
    try:
        return path.is_file() and sha256_of(path) == header.sha256
    except OSError:  # a failing disk
        return False


def result_rows(frozen: FrozenRun, *, lang: str) -> tuple[ResultRow, ...]:
    """Every row of a run as the result sheet shows it, in sheet order."""
    if isinstance(frozen, FrozenGroup):
        rows = (row for part in frozen.parts for row in result_rows(part, lang=lang))
        return tuple(sorted(rows, key=lambda row: row.row))
    header = frozen.header
    speaks = translator(lang).with_headers(header_names(header.headers, WEBCAST, header.mapping))
    tz = zone(header.tz)
    shared: dict[tuple[object, ...], ResultRow] = {}

    def row_of(row: int, outcome: Outcome) -> ResultRow:
        if "kept" in outcome.args:
            return _kept(row, outcome)
        issues = frozen.issues.get(row, ())
        # Rows with the same outcome and no issues share their texts.
        alike = (outcome.status, outcome.code, *outcome.args.items())
        if not issues and alike in shared:
            at, attempts = outcome.at, outcome.attempts
            return replace(
                shared[alike], row=row, attempts=attempts, time=local_time(at, tz), at=at
            )
        found = result_row(
            row, outcome, issues, endpoint=WEBCAST, run=header.run, tz=tz, translator=speaks
        )
        if not issues and len(shared) < _SHARED_MOST:
            shared[alike] = found
        return found

    return tuple(row_of(row, outcome) for row, outcome in frozen.by_row().items())


_SHARED_MOST: Final = 1_000


def _kept(row: int, outcome: Outcome) -> ResultRow:
    args = outcome.args
    return ResultRow(
        row=row,
        status=outcome.status,
        code=outcome.code,
        message=str(args["message"]),
        fix=str(args["fix"]),
        attempts=outcome.attempts,
        time=str(args["time"]),
        run=str(args["run"]),
    )


def _exit_status(rows: Iterable[ResultRow], stop: Stop | None) -> int:
    """The exit status of a run; rows left out by an option do not count as failed."""
    if stop:
        return stop.exit_status
    return _status_of({row.status for row in rows if row.code != "plan.not_chosen"})


def _status_of(statuses: Set[RowStatus]) -> int:
    if statuses & UNFINISHED:
        return 4
    return 3 if statuses & TO_FIX else 0


def results(
    config_home: Home,
    run: str,
    *,
    target: Path | None = None,
    existing: Literal["refuse", "replace", "keep"] = "keep",
    only: Set[RowStatus] = frozenset(),
    lang: str = "en",
) -> RunReport:
    """Report a run, and write its result sheet again.

    With `keep` an existing result sheet is left as it is.  With `only`, the sheet at `target` has
    only the rows with these statuses; if there are none, it is not written.
    """
    with open_ledger(config_home) as ledger:
        frozen = run_group.with_waiting(ledger, run_group.load(ledger, run))
        rows = result_rows(frozen, lang=lang)
        place = target or _place_of(frozen.header)
        chosen = [row for row in rows if row.status in only]
        path: Path | None = None
        if only and not chosen:
            states = ", ".join(status for status in RowStatus if status in only)
            words = {"run": frozen.header.run, "states": states}
            remarks: tuple[Text, ...] = (Text(_NONE_CHOSEN, words),)
        elif existing == "keep" and place.exists():
            path, remarks = place, (Text(_LEFT_ALONE, {"name": place.name}),)
        else:
            how: reporter.Existing = "refuse" if existing == "keep" else existing
            listed = chosen if only else rows
            alone = bool(only or frozen.header.group)
            written = _write(ledger, frozen.header, listed, place, how, lang, alone=alone)
            path, remarks = written.path, written.remarks
            _keep_private(frozen.header, path)
    return RunReport(
        run=frozen.header.run,
        input=frozen.header.name or frozen.header.sheet,
        requests=0,
        elapsed_s=0.0,
        results=path,
        stop=frozen.stop,
        exit_status=_exit_status(rows, frozen.stop),
        rows=rows,
        remarks=remarks,
        tz=frozen.header.tz,
    )


def _place_of(header: RunHeader) -> Path:
    """Where the results of a run go; for a part beside those of its group."""
    place = Path(header.target)
    if not header.group:
        return place
    return place.with_name(reporter.default_name(Path(header.title), header.run).name).with_suffix(
        place.suffix
    )


_NONE_CHOSEN: Final = marked("No row of run {run} is {states}; no file was written.")

_LEFT_ALONE: Final = marked("{name} is there already and was left as it is; --force replaces it.")


def sheet_as_read(ledger: Ledger, header: RunHeader) -> Sheet:
    """A run's sheet, from its copy or the user's own file, read as the run read it.

    Raises:
        UnreadableSheet: neither exists unchanged.

    """
    layout = header.layout
    options = loader.ReadOptions(
        tab=layout.tab,
        encoding=None if layout.tab else layout.encoding,
        delimiter=None if layout.tab else layout.delimiter,
        mapping=header.mapping,
        header_row=layout.header_row,
    )
    source, _ = _source(ledger, header)
    if source is None:
        raise UnreadableSheet(
            "neither {copy} nor {sheet} is the sheet that run {run} read any more, so its cells"
            " cannot be looked at",
            copy=_copy(ledger, header),
            sheet=header.sheet,
            run=header.run,
        )
    return loader.read(source, endpoint=WEBCAST, options=options)
