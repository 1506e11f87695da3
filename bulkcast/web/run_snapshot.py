"""A run at one moment as the screen shows it: words and numbers, rendered once or sent as an event.

Each is whole, so that a tab that missed some is right again with the next.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from bulkcast import pipeline
from bulkcast.endpoints import WEBCAST
from bulkcast.explanations import STATUS_LABELS
from bulkcast.i18n import Translator, marked
from bulkcast.messages import explain_stop
from bulkcast.model import RowStatus
from bulkcast.pipeline import FailedRow, GroupRecord, Progress, RunRecord
from bulkcast.web.live_runs import RunView
from bulkcast.web.rendering import sentence

if TYPE_CHECKING:
    from bulkcast.pipeline import RunStanding

Snapshot = dict[str, Any]
"""What templates and `run.js` read; only text, numbers, lists and flags."""

_NAMED_MOST: Final = 8
"""Institutions that are named in a sentence."""
_ANNOUNCED: Final = 25
"""Screen readers are told each time this many percent more are done."""


def snapshot(view: RunView, failures: Sequence[FailedRow], speaks: Translator) -> Snapshot:
    """The snapshot of a run in one language."""
    record, figures = view.state.record, view.figures
    run, name = record.header.run, record.header.title
    heading = _heading(view, speaks)
    percent = figures.percent
    said = speaks.tell("{percent} %", percent=percent)
    return {
        "run": run,
        "phase": view.phase,
        "is_shared": view.shared is not None,
        "is_group": bool(view.state.parts),
        "institutions": institutions_said(profiles_of(record), speaks),
        "by": _by(view, speaks),
        "heading": heading,
        "title": f"{said} · {heading} · {name}",
        "name": name,
        "ended": speaks.tell("{name} is over", name=name),
        "percent": percent,
        "percent_said": said,
        "done": f"{figures.done:,}",
        "left": f"{figures.left:,}",
        "retrying": f"{figures.retrying:,}",
        "failed": f"{view.failed:,}",
        "speed": _speed(view, speaks),
        "counts": counted(view.counts, speaks),
        "pairs": [(status.value, n) for status, n in view.counts.items() if n],
        "counts_said": counts_said(view.counts, speaks),
        "banners": [{"kind": kind, "text": text} for kind, text in _banners(view, speaks)],
        "failures": [_failure(failed, speaks) for failed in failures],
        "announcement": _announcement(heading, percent, speaks),
        "can_continue": view.phase == "interrupted" and view.held_by is None,
        "is_over": view.phase == "finished",
        "address": f"/runs/{run}/results" if view.phase == "finished" else f"/runs/{run}",
    }  # fmt: skip


def counted(counts: dict[RowStatus, int], speaks: Translator) -> list[dict[str, Any]]:
    """The statuses that occur, with their numbers and words."""
    return [
        {
            "status": status.value,
            "n": n,
            "text": f"{n:,}",
            "word": STATUS_LABELS[status].say(speaks.lang),
        }
        for status, n in counts.items()
        if n
    ]


def counts_said(counts: dict[RowStatus, int], speaks: Translator) -> str:
    """The counts as a sentence part, such as `454 applied, 23 rejected`."""
    return speaks.listed(
        speaks.tell("{n} {status}", n=f"{n:,}", status=STATUS_LABELS[status].say(speaks.lang))
        for status, n in counts.items()
        if n
    )


def institutions_said(profiles: Sequence[str], speaks: Translator) -> str:
    """How many institutions they are, and which; empty for none, as of a sheet that names none."""
    if not profiles:
        return ""
    some = [*profiles[:_NAMED_MOST], *(["…"] if len(profiles) > _NAMED_MOST else [])]
    return speaks.count(
        "{n} institution: {names}", "{n} institutions: {names}", len(profiles),
        names=speaks.listed(some),
    )  # fmt: skip


def profiles_of(record: RunRecord) -> list[str]:
    """The institutions of a group of runs, as its sheet calls them."""
    parts = record.parts if isinstance(record, GroupRecord) else ()
    return [part.header.profile for part in parts if part.header.profile]


def _speed(view: RunView, speaks: Translator) -> str:
    """The pace and the time left; a space that does not break where nobody can tell."""
    if view.phase == "paused":
        return "\N{NO-BREAK SPACE}"
    told = (view.pace.pace(view.figures, speaks), pipeline.time_left(view.figures, speaks))
    return " · ".join(filter(None, told)) or "\N{NO-BREAK SPACE}"


def _heading(view: RunView, speaks: Translator) -> str:
    if view.phase == "running" and not view.figures.left:
        return speaks.tell("Writing the results")
    return speaks.tell(_HEADINGS[view.phase])


def _by(view: RunView, speaks: Translator) -> str:
    """Who has handed it in; empty where only one person can have."""
    sending = view.state.record.header.sending
    return speaks.tell("handed in by {who}", who=sending.by) if sending and sending.by else ""


_HEADINGS: Final[Mapping[str, str]] = {
    "running": marked("Sending"),
    "elsewhere": marked("Sending"),
    "waiting": marked("Waiting"),
    "pausing": marked("Pausing"),
    "paused": marked("Paused"),
    "stopping": marked("Stopping"),
    "interrupted": marked("Interrupted"),
    "finished": marked("Finished"),
}
_STOPPING: Final = marked(
    "No more rows are sent. What is under way is finished; then the results are written."
)
_BROKEN: Final = marked("The run broke off: {why}.")
_INTERRUPTED: Final = marked(
    "The program that sent this run ended before the run did. Each answer of ClassIn so far is"
    " recorded. Continue to send the rest; a row that was on its way is sent again, which does no"
    " harm."
)
_OCCUPIED: Final = marked(
    "It can continue when another run for the same institution has ended: {what}."
)
_ELSEWHERE: Final = marked(
    "Another program on this computer sends it: {what}. It is stopped where it was started."
)


def _banners(view: RunView, speaks: Translator) -> Iterator[tuple[str, str]]:
    """What the user should know now, the weightiest first; kind and sentence."""
    if view.shared is not None:
        yield from _of_fleet(view, view.shared, speaks)
    elif view.phase == "interrupted":
        yield from _interruption(view, speaks)
    elif view.phase == "elsewhere":
        what = view.held_by or speaks.tell("another run")
        yield "info", speaks.tell(_ELSEWHERE, what=what)
    elif view.phase == "stopping":
        yield "info", speaks.tell(_STOPPING)
    elif view.progress is not None:
        yield from _delays(view.progress, speaks)
    yield from _stopped_parts(view, speaks)


def _stopped_parts(view: RunView, speaks: Translator) -> Iterator[tuple[str, str]]:
    """Why nothing more is sent for some institutions of a group, while others go on."""
    ended = [part.record for part in view.state.parts if part.record.finished_at is not None]
    stops = [(record.stop, record.counts) for record in ended if record.stop]
    for stop, counts in stops[:_NAMED_MOST]:
        if stop.reason != "interrupted":
            yield "warning", explain_stop(stop, counts, WEBCAST, speaks)[0]


_LOST: Final = marked(
    "{sentence} What is shown is what it said last; when it is back, workers go on and so does this"
    " page."
)
_NO_WORKER: Final = marked(
    "No worker is running, so nothing is sent. Start one with `bulkcast worker`, on this computer"
    " or another; the run begins by itself."
)
_NONE_TO_END: Final = marked(
    "Nothing more is sent, but no worker is running that could end the run. Start one with"
    " `bulkcast worker`, on this computer or another."
)
_ALL_PAUSED: Final = marked(
    "The institution is paused: no run of it is sent, whoever handed it in, until somebody presses"
    " Continue."
)
_EACH_PAUSED: Final = marked(
    "The institutions are paused: no run of them is sent, whoever handed it in, until somebody"
    " presses Continue."
)
_BEFORE: Final = marked("Run {run} of the same institution is sent first.")
_FOR_A_WORKER: Final = marked(
    "It waits for a worker that has the credentials of its institution and is free."
)
_BY_A_WORKER: Final = marked("A worker on {host} sends it. You may close this page: it goes on.")


def _of_fleet(view: RunView, found: "RunStanding", speaks: Translator) -> Iterator[tuple[str, str]]:
    """What a run of a fleet waits for, and what to do about it."""
    if view.lost is not None:
        yield "error", speaks.tell(_LOST, sentence=sentence(speaks, view.lost))
        return
    lane = found.lane
    is_alone = not lane.workers and not lane.worker and view.phase != "finished"
    if is_alone:
        yield "warning", speaks.tell(_NONE_TO_END if view.phase == "stopping" else _NO_WORKER)
    match view.phase:
        case "stopping" if not is_alone:
            yield "info", speaks.tell(_STOPPING)
        case "pausing" | "paused":
            yield "info", speaks.tell(_EACH_PAUSED if view.state.parts else _ALL_PAUSED)
        case "running":
            yield "info", speaks.tell(_BY_A_WORKER, host=(lane.worker or "").partition(":")[0])
        case "waiting" if found.before:
            yield "info", speaks.tell(_BEFORE, run=found.before)
        case "waiting" if not is_alone:
            yield "info", speaks.tell(_FOR_A_WORKER)


def _interruption(view: RunView, speaks: Translator) -> Iterator[tuple[str, str]]:
    if view.failure is not None:
        yield "error", speaks.tell(_BROKEN, why=speaks.error(view.failure))
    yield "warning", speaks.tell(_INTERRUPTED)
    if view.held_by is not None:
        yield "info", speaks.tell(_OCCUPIED, what=view.held_by)


def _delays(progress: Progress, speaks: Translator) -> Iterator[tuple[str, str]]:
    delayed = pipeline.delay(progress, speaks) or pipeline.slowness(progress, speaks)
    for told in (delayed, pipeline.lateness(progress, speaks)):
        if told:
            kind = "info" if progress.paused else "warning"
            yield kind, speaks.tell("{sentence}.", sentence=told)


def _failure(failed: FailedRow, speaks: Translator) -> dict[str, Any]:
    row = failed.row
    return {
        "row": f"{row.row:,}",
        "classroom": str(failed.classroom.id),
        "status": row.status.value,
        "word": STATUS_LABELS[row.status].say(speaks.lang),
        "message": row.message,
        "time": row.time[11:],
    }


def _announcement(heading: str, percent: int, speaks: Translator) -> str:
    """What a screen reader is told; it changes rarely."""
    quarter = percent // _ANNOUNCED * _ANNOUNCED
    if not quarter:
        return heading
    return speaks.tell("{heading}: {percent} % done", heading=heading, percent=quarter)
