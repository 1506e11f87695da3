"""Tells a command or a web address that a run has ended; neither changes how it ended.

What is told: name, state, exit status, counts and duration of the run; no cell, no secret.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bulkcast.errors import CannotStart
from bulkcast.i18n import marked
from bulkcast.model import Text

if TYPE_CHECKING:
    from bulkcast.pipeline import RunReport

COMMAND_S: Final = 60.0
"""Seconds that a command has."""
WEBHOOK_S: Final = 10.0
"""Seconds that a web address has to answer."""


@dataclass(frozen=True, slots=True)
class Recipients:
    """Who is told when a run ends."""

    command: tuple[str, ...] = ()
    """A program and its arguments; it gets the notification on its standard input."""
    webhook: str = ""
    """The notification is sent there with POST."""


def recipients(command: str | None, webhook: str | None) -> Recipients:
    """The recipients of --notify-command and --webhook.

    Raises:
        CannotStart: the command's quotes do not match, or the address is not https; it is not
            repeated, as it may hold a token.

    """
    return Recipients(_words(command or ""), _checked(webhook or ""))


def _words(command: str) -> tuple[str, ...]:
    import shlex

    try:
        # In POSIX mode the backslashes of Windows' paths would be taken for quotes.
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError:
        raise CannotStart("the quotes in --notify-command do not match") from None
    return tuple(word.strip('"') for word in words) if os.name == "nt" else tuple(words)


def _checked(webhook: str) -> str:
    from yarl import URL

    from bulkcast.client import check_root_url

    if not webhook:
        return ""
    try:
        url = URL(webhook.strip())
        check_root_url(str(url.origin()))
    except (ValueError, CannotStart):
        url = None
    if url is None or url.user is not None or url.password is not None:
        raise CannotStart("--webhook must be an https address; http is for this computer only")
    return str(url)


def document(report: "RunReport") -> dict[str, Any]:
    """What is told of a run; README and the reference list the fields."""
    return {
        "schema": "bulkcast.notification/1",
        "run": report.run,
        "state": "stopped" if report.stop else "finished",
        "exit": report.exit_status,
        "rows": sum(report.counts.values()),
        "counts": {status.value: n for status, n in report.counts.items()},
        "elapsed_s": round(report.elapsed_s, 3),
    }


async def notify(
    told: Recipients, report: "RunReport", environ: Mapping[str, str]
) -> Sequence[Text]:
    """Tell everybody; returns a remark for each who could not be told."""
    import json

    text = json.dumps(document(report)).encode("ascii")
    remarks = []
    if told.command:
        remarks.append(await _run(told.command, text, environ))
    if told.webhook:
        remarks.append(await _post(told.webhook, text))
    return [remark for remark in remarks if remark]


# ------------------------------------------------------------------ a command


async def _run(words: Sequence[str], text: bytes, environ: Mapping[str, str]) -> Text | None:
    """Run a command without a shell; its output goes to stderr, as stdout is for results."""
    import asyncio
    import subprocess

    from bulkcast.config import secret_variables

    # A database's URL may hold a password.
    hidden = secret_variables(environ) | {"BULKCAST_DATABASE"}
    environ = {name: value for name, value in environ.items() if name not in hidden}
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ
        )
    except (OSError, ValueError) as exc:
        why = getattr(exc, "strerror", None) or type(exc).__name__
        return Text(_NOT_RUN, {"command": words[0], "why": why})
    try:
        async with asyncio.timeout(COMMAND_S):
            await process.communicate(text)
    except TimeoutError:
        return Text(_TOO_LONG, {"command": words[0], "seconds": f"{COMMAND_S:g}"})
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        return Text(_ENDED_WITH, {"command": words[0], "status": str(process.returncode)})
    return None


_NOT_RUN: Final = marked("The command {command} of --notify-command cannot be run: {why}.")
_TOO_LONG: Final = marked(
    "The command {command} of --notify-command was ended after {seconds} seconds."
)
_ENDED_WITH: Final = marked("The command {command} of --notify-command ended with {status}.")


# ------------------------------------------------------------------ a web address


async def _post(webhook: str, text: bytes) -> Text | None:
    """Post a notification; a redirect is not followed, and no proxy is used."""
    import aiohttp
    from yarl import URL

    host = URL(webhook).host or ""  # the rest of the address may hold a token
    try:
        async with (
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=WEBHOOK_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            ) as session,
            session.post(
                webhook,
                data=text,
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer,
        ):
            status = answer.status
    except TimeoutError:
        return Text(_NO_ANSWER, {"host": host, "seconds": f"{WEBHOOK_S:g}"})
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        return Text(_NOT_REACHED, {"host": host, "kind": type(exc).__name__})
    if not 200 <= status < 300:
        return Text(_REFUSED, {"host": host, "status": str(status)})
    return None


_NO_ANSWER: Final = marked("{host} of --webhook did not answer within {seconds} seconds.")
_NOT_REACHED: Final = marked("{host} of --webhook cannot be reached ({kind}).")
_REFUSED: Final = marked("{host} of --webhook answered HTTP {status}.")
