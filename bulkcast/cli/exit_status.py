"""Turns an exception into a message and an exit status; keeps secrets out of messages and logs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from bulkcast.cli import streams
from bulkcast.cli.language import current_translator, tr
from bulkcast.cli.signals import Terminated
from bulkcast.errors import BulkcastError, system_reason
from bulkcast.i18n import marked
from bulkcast.model import Secret

if TYPE_CHECKING:
    import logging

DEFECT: Final = 1
CANNOT_START: Final = 2
INTERRUPTED: Final = 130


def tell(exc: BaseException, *, argv: list[str], environ: Mapping[str, str]) -> int:
    """Report an exception on stderr, with --json as an object too; return the exit status.

    Args:
        exc: what ended the command.
        argv: the arguments, which choose language and format.
        environ: may hold secrets, which are redacted, as is the password of --database.

    """
    urls = (environ.get("BULKCAST_DATABASE", ""), _typed_database(argv))
    secrets = (environ.get("BULKCAST_SECRET", "").strip(), *passwords(urls))
    status, code, sentence = _judged(exc)
    sentence = _redacted(sentence, secrets)
    as_json = _asked(argv, "--json")
    streams.complain(f"bulkcast: {sentence}", as_json=as_json)
    if status == DEFECT and _asked(argv, "-v", "--verbose"):
        streams.complain(_redacted(_frames(exc), secrets), as_json=as_json)
    if as_json:
        import json

        document = json.dumps({"error": {"code": code, "message": sentence}})
        streams.complain(document, as_json=True)
    return status


def after(status: int, *, argv: list[str]) -> int:
    """Report streams that could not be written; return the command's exit status then.

    Output is lost, so 0 becomes an error.  The status of a run describes its rows and stays:
    `apply` has reported the stream.
    """
    lost = False
    for sentence in unwritten():
        lost = True
        streams.complain(f"bulkcast: {sentence}", as_json=_asked(argv, "--json"))
    return CANNOT_START if lost and not status else status


def unwritten() -> list[str]:
    """A message for each stream that cannot be written and was not reported yet."""
    names = {"stdout": tr("standard output"), "stderr": tr("standard error")}
    return [
        tr("{stream} cannot be written: {why}", stream=names[name], why=system_reason(exc))
        for name, exc in streams.unreported()
    ]


def interrupted(exc: BaseException) -> int:
    """The exit status of a command that was ended by a signal."""
    return exc.exit_status if isinstance(exc, Terminated) else INTERRUPTED


def _judged(exc: BaseException) -> tuple[int, str, str]:
    """Exit status, error name for programs, and message."""
    match exc:
        case BulkcastError():
            return (
                exc.exit_status,
                _snake(type(exc).__name__),
                _one_line(current_translator().error(exc)),
            )
        case KeyboardInterrupt() | Terminated() | click.Abort(__cause__=KeyboardInterrupt()):
            return interrupted(exc), "interrupted", tr("interrupted")
        case click.Abort():
            return INTERRUPTED, "declined", tr("not agreed to, so nothing was done")
        case click.UsageError():
            return CANNOT_START, "usage", _usage(exc)
        case _:
            return _unforeseen(exc)


def _unforeseen(exc: BaseException) -> tuple[int, str, str]:
    """The same for errors that are not raised on purpose."""
    match exc:
        case ModuleNotFoundError() if _of_fleet(exc):
            return CANNOT_START, "missing_extra", tr(_NO_EXTRA, module=exc.name)
        case OSError() | MemoryError():
            return CANNOT_START, "system", _system(exc)
        case _:
            return DEFECT, "defect", _defect(exc)


_NO_EXTRA: Final = marked(
    "{module} is not installed, which a fleet and --metrics need: pip install 'bulkcast[fleet]'"
)
_OF_FLEET: Final = frozenset({"procrastinate", "prometheus_client", "psycopg", "psycopg_pool"})


def _of_fleet(exc: ModuleNotFoundError) -> bool:
    """Whether a module is missing that only the extra `fleet` brings."""
    return (exc.name or "").partition(".")[0] in _OF_FLEET


def _usage(exc: click.UsageError) -> str:
    command = exc.ctx.command_path if exc.ctx else "bulkcast"
    said = _one_line(exc.format_message()).rstrip(".。")
    return tr("{said}; `{command} --help` says what there is", said=said, command=command)


def _system(exc: OSError | MemoryError) -> str:
    """The message for an error of the system, such as a full disk or a locked file."""
    if isinstance(exc, MemoryError):
        return tr("this computer's memory is too small for that")
    why = system_reason(exc)
    if not exc.filename:
        return _one_line(tr("the system refused: {why}", why=why))
    return _one_line(tr("the system refused: {why} ({path})", why=why, path=exc.filename))


def _defect(exc: BaseException) -> str:
    return tr(
        "a defect of bulkcast itself ({kind}), no fault of yours; the same command with -v says"
        " where, for a report",
        kind=type(exc).__name__,
    )


def _frames(exc: BaseException) -> str:
    """The stack of a defect, without messages and locals, which may quote the sheet."""
    import traceback

    lines = []
    link: BaseException | None = exc
    while link is not None:
        lines += [type(link).__name__, *traceback.format_tb(link.__traceback__)]
        link = link.__cause__ or link.__context__
    return "\n".join(line.rstrip() for line in lines)


def _one_line(text: str) -> str:
    """Remove control characters, which a file name or a cell may contain."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _asked(argv: list[str], *names: str) -> bool:
    return any(word in names for word in argv)


# ------------------------------------------------------------------ secrets

_SIGNATURE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_HIDDEN: Final = "•••"
_LEAST_SECRET: Final = 4
"""Shorter secrets are not redacted, as they occur in ordinary words."""
_logged_secrets: Final[set[str]] = set()


def _redacted(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, _HIDDEN)
    return text


def passwords(urls: Iterable[str]) -> list[str]:
    """The passwords in URLs of databases, as they stand there and as they are meant.

    >>> passwords(["postgresql://li:a%40b@db/x", "host=db password=xyzzy", "postgresql://db/x"])
    ['a%40b', 'a@b', 'xyzzy', 'xyzzy']
    """
    from urllib.parse import unquote

    found = [word for url in urls for match in _PASSWORD.finditer(url) for word in match.groups()]
    return [form for word in found if word for form in (word, unquote(word))]


def without_password(url: str) -> str:
    """The URL of a database as it may be shown.

    >>> without_password("postgresql://li:secret@db:5432/x")
    'postgresql://li@db:5432/x'
    >>> without_password("host=db password=secret")
    'host=db'
    """
    return _PASSWORD.sub(lambda match: "@" if match[1] is not None else "", url).strip()


_PASSWORD: Final = re.compile(r"(?<![/:]):([^/@\s]*)@|[?&\s]?\bpassword\s*=\s*('[^']*'|[^\s&]*)")


def _typed_database(argv: list[str]) -> str:
    """What --database was given, if anything; the command line may not have been parsed."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--database":
            return value if equals else following
    return ""


def keep_out_of_logs(secret: Secret) -> None:
    """Redact `secret` in all later log records that no handler but `logging.lastResort` takes.

    They are reduced to one line without anything that looks like a signature; none is dropped.
    """
    keep_words_out_of_logs([secret.reveal()])


def keep_words_out_of_logs(words: Iterable[str]) -> None:
    """The same for any words."""
    import logging

    _logged_secrets.update(words)
    handler = logging.lastResort
    if handler and _reduce not in handler.filters:
        handler.addFilter(_reduce)


@contextmanager
def logging_to_stderr(*, info: bool) -> Iterator[None]:
    """Write what bulkcast logs as lines to stderr while the block runs; warnings, or `info` too."""
    import logging

    handler, logger = logging.StreamHandler(), logging.getLogger("bulkcast")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    handler.addFilter(_reduce)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if info else logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def _reduce(record: "logging.LogRecord") -> bool:
    """Reduce a log record to its redacted message and the name of its exception."""
    raised = record.exc_info[0] if record.exc_info else None
    text = f"{record.getMessage()} ({raised.__name__})" if raised else record.getMessage()
    line = _redacted(" ".join(text.split()), _logged_secrets)
    record.msg, record.args = _SIGNATURE.sub(_HIDDEN, line), ()
    record.exc_info = record.exc_text = record.stack_info = None
    return True
