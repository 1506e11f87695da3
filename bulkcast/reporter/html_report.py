"""Writes a run as one HTML page in both languages, to pass on."""

from collections.abc import Iterable, Iterator
from datetime import tzinfo
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from lxml import etree
from lxml.builder import E as _E

from bulkcast.catalogue import Label
from bulkcast.explanations import STATUS_LABELS
from bulkcast.messages import clean, local_time
from bulkcast.model import RowStatus, is_rehearsal
from bulkcast.reporter.files import Existing, Written, replacing
from bulkcast.reporter.result_columns import storable
from bulkcast.reporter.run_summary import Bucket, FailureGroup, RunSummary, Timeline, ranges

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_ROWS_SHOWN: Final = 12
_HEIGHT: Final = 100
"""Height of the timeline in SVG units."""

_MEANINGS: Final = {
    RowStatus.APPLIED: Label("acknowledged by ClassIn", "ClassIn 已确认"),
    RowStatus.UNCHANGED: Label("skipped: nothing to change", "无需改动，已跳过"),
    RowStatus.INVALID: Label("wrong in the sheet; never sent", "表格内容有误，没有发送"),
    RowStatus.TOO_LATE: Label("the settings are locked", "设置已锁定"),
    RowStatus.REJECTED: Label("refused by ClassIn", "ClassIn 拒绝了这些行"),
    RowStatus.UNCONFIRMED: Label(
        "sent without an answer to trust; safe to send again", "没有可信的答复；可以放心重新发送"
    ),
    RowStatus.NOT_SENT: Label(
        "the run ended first, or was told to", "批次先结束了，或按要求没有发送"
    ),
    RowStatus.SUPERSEDED: Label("set again by a newer run", "之后的批次又设置了它们"),
}


def write_page(
    target: Path, summary: RunSummary, tz: tzinfo, *, lang: str, existing: Existing
) -> Written:
    """Write `summary` as a page to `target`, times in `tz`; it shows `lang` first.

    Raises:
        CannotStart: the target exists and may not be replaced, or cannot be written.

    """
    tree = _page(summary, tz, lang)
    with replacing(target, existing) as draft:
        text = etree.tostring(tree, method="html", encoding="unicode", doctype="<!doctype html>")
        draft.path.write_text(text + "\n", encoding="utf-8", newline="\n")
    return draft.result


def _both(tag: str, label: Label, **attributes: str) -> Any:
    """An element with a text in both languages; CSS shows the chosen one."""
    halves = (_E.span(_shown(label.say(lang)), lang=lang) for lang in ("zh", "en"))
    return _E(tag, *halves, **attributes)


def _shown(text: str) -> str:
    """Untrusted text, made safe for the tree."""
    return storable(clean(text))


def _page(summary: RunSummary, tz: tzinfo, lang: str) -> Any:
    style = files("bulkcast").joinpath("reporter", "page.css").read_text(encoding="utf-8")
    head = _E.head(
        _E.meta(charset="utf-8"),
        _E.meta({"http-equiv": "Content-Security-Policy", "content": _POLICY}),
        _E.meta(name="viewport", content="width=device-width, initial-scale=1"),
        _E.title(f"{_shown(summary.sheet)} · {summary.run}"),
        _E.style(style),
    )
    parts = (_title, _stop, _counts, _timeline, _causes)
    main = _E.main(*(element for part in parts for element in part(summary, tz)))
    return _E.html(head, _E.body(*_switch(lang), main, _foot(summary)), lang=lang)


def _switch(lang: str) -> Iterator[Any]:
    for tag, name in (("zh", "中文"), ("en", "English")):
        checked = {"checked": "checked"} if tag == lang else {}
        yield _E.input(type="radio", name="lang", id=tag, **checked)
        yield _E.label({"for": tag, "lang": tag}, name)


# ------------------------------------------------------------------ the sections


def _title(summary: RunSummary, tz: tzinfo) -> Iterator[Any]:
    yield _E.h1(_shown(summary.sheet))
    until = local_time(summary.finished_at, tz)
    begun = local_time(summary.created_at, tz)
    if is_rehearsal(summary.run):
        told = Label(
            "A rehearsal in a sandbox: nothing of it was sent to ClassIn.",
            "沙盒中的演练：没有任何内容发送到 ClassIn。",
        )
        yield _E.section(_both("p", told), {"class": "stop"})
    facts = (
        (Label("Run", "批次"), summary.run),
        (Label("Institution", "机构"), summary.sid),
        (Label("Sent to", "发送到"), summary.root_url),
        (Label("Begun", "开始"), begun),
        (Label("Ended", "结束"), until or "–"),
        (Label("Rows", "行数"), f"{summary.rows:,}"),
        (Label("Attempts", "发送次数"), f"{summary.attempts:,}"),
        (Label("Times in", "时区"), summary.tz),
    )
    yield _E.dl(*(_E.div(_both("dt", name), _E.dd(_shown(value))) for name, value in facts))


def _stop(summary: RunSummary, _tz: tzinfo) -> Iterator[Any]:
    if summary.stop and summary.stopped:
        lead = Label("It ended early.", "提前结束。")
        yield _E.section(
            _both("h2", Label("Stopped", "已停止")),
            _both("p", lead),
            _both("p", summary.stopped),
            {"class": "stop"},
        )


def _counts(summary: RunSummary, _tz: tzinfo) -> Iterator[Any]:
    yield _both("h2", Label("How the rows ended", "各行的结果"))
    if not summary.rows:
        yield _both("p", Label("The sheet has no rows.", "表格中没有数据行。"))
        return
    yield _bar(summary)
    lines = [_count(summary, status) for status, n in summary.counts.items() if n]
    heads = (Label("Rows", "行数"), Label("Share", "占比"), Label("State", "状态"), Label("", ""))
    yield _table("counts", heads, lines)


def _count(summary: RunSummary, status: RowStatus) -> Any:
    n = summary.counts[status]
    return _E.tr(
        _E.td(f"{n:,}", {"class": "n"}),
        _E.td(_share(n, summary.rows), {"class": "n"}),
        _E.td(_E.i({"class": f"key {status.value}"}), _word(status)),
        _both("td", _MEANINGS[status]),
    )


def _word(status: RowStatus) -> Any:
    """A status as in the result sheet; the Chinese text has its translation first."""
    return _both("span", Label(status.value, f"{STATUS_LABELS[status].zh}（{status.value}）"))


def _share(n: int, of: int) -> str:
    """A percentage that is rounded to 0 or 100 only if exact.

    >>> _share(1, 20000), _share(19999, 20000), _share(5, 5)
    ('<0.1 %', '>99.9 %', '100 %')
    """
    share = n / of * 100
    if n == of:
        return "100 %"
    if share < 0.1:
        return "<0.1 %"
    return ">99.9 %" if share > 99.9 else f"{share:.1f} %"


def _causes(summary: RunSummary, _tz: tzinfo) -> Iterator[Any]:
    if not summary.causes:
        return
    yield _both("h2", Label("Why rows did not succeed", "没有成功的原因"))
    heads = (
        Label("Rows", "行数"), Label("State and code", "状态和代码"), Label("Reason", "原因"),
        Label("Which", "哪些行"),
    )  # fmt: skip
    yield _table("causes", heads, map(_cause, summary.causes))


def _table(name: str, heads: Iterable[Label], lines: Iterable[Any]) -> Any:
    head = _E.thead(_E.tr(*(_both("th", head, scope="col") for head in heads)))
    return _E.div(_E.table(head, _E.tbody(*lines), {"class": name}), {"class": "wide"})


def _cause(cause: FailureGroup) -> Any:
    listed, beyond = ranges(cause.rows, _ROWS_SHOWN)
    rest = [_both("div", Label(f"and {beyond:,} more", f"另有 {beyond:,} 行"))] if beyond else []
    fix = [_both("div", cause.fix, **{"class": "fix"})] if cause.fix.en else []
    key = _E.i({"class": f"key {cause.status.value}"})
    return _E.tr(
        _E.td(f"{len(cause.rows):,}", {"class": "n"}),
        _E.td(key, _word(cause.status), _E.br(), _E.code(_shown(cause.code))),
        _E.td(_both("div", cause.message), *fix),
        _E.td(_both("b", Label("Rows ", "行 ")), ", ".join(listed), *rest),
    )


def _foot(summary: RunSummary) -> Any:
    return _both(
        "footer",
        Label(
            f"Written by bulkcast from its ledger of run {summary.run}.",
            f"由 bulkcast 根据批次 {summary.run} 的台账生成。",
        ),
    )


# ------------------------------------------------------------------ drawings


def _drawing(width: float, height: float, name: str, *parts: Any) -> Any:
    """An SVG that fills its container; its text is beside it, for screen readers."""
    box = {"viewBox": f"0 0 {width:g} {height:g}", "preserveAspectRatio": "none"}
    return _E.svg(*parts, {"class": name, "aria-hidden": "true", **box})


def _rect(status: RowStatus, x: float, y: float, width: float, height: float) -> Any:
    place = {"x": x, "y": y, "width": width, "height": height}
    return _E.rect(
        {name: f"{value:.3f}" for name, value in place.items()} | {"class": status.value}
    )


def _bar(summary: RunSummary) -> Any:
    parts, x = [], 0.0
    for status, n in summary.counts.items():
        width = n / summary.rows * 1000
        if n:
            parts.append(_rect(status, x, 0, width, 10))
        x += width
    return _drawing(1000, 10, "bar", *parts)


def _timeline(summary: RunSummary, tz: tzinfo) -> Iterator[Any]:
    found = summary.timeline
    if not found.buckets:
        return
    yield _both("h2", Label("When rows ended", "各行完成的时间"))
    most = found.highest
    caption = Label(
        f"Rows that ended in each {_length(found, 0)}; at most {most:,}.",
        f"每 {_length(found, 1)}完成的行数；最多 {most:,} 行。",
    )
    yield _both("p", caption, **{"class": "caption"})
    bars = [r for n, bucket in enumerate(found.buckets) for r in _column(n, bucket, most)]
    yield _drawing(len(found.buckets), _HEIGHT, "timeline", *bars)
    ends = (found.buckets[0].begins, found.buckets[-1].begins + found.bucket_s)
    yield _E.div(*(_E.span(local_time(at, tz)) for at in ends), {"class": "axis"})


def _column(number: int, bucket: Bucket, most: int) -> Iterator[Any]:
    y = float(_HEIGHT)
    for status in RowStatus:
        if n := bucket.counts.get(status, 0):
            height = n / most * _HEIGHT
            y -= height
            yield _rect(status, number + 0.06, y, 0.88, height)


_UNITS: Final[tuple[tuple[int, str, str], ...]] = (
    (86400, "d", "天"), (3600, "h", "小时"), (60, "min", "分钟"), (1, "s", "秒"),
)  # fmt: skip


def _length(found: Timeline, language: int) -> str:
    """The length of a bucket in words; `language` is 0 for English, 1 for Chinese."""
    seconds, *names = next(unit for unit in _UNITS if found.bucket_s % unit[0] == 0)
    return f"{found.bucket_s // seconds} {names[language]}"
