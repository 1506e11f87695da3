"""`serve`: the page, until Ctrl-C or SIGTERM."""

import asyncio
import os
import webbrowser

from rich.text import Text

from bulkcast import config
from bulkcast.cli import signals
from bulkcast.cli.command_options import OutputOptions
from bulkcast.cli.console import Output, output
from bulkcast.cli.language import tr
from bulkcast.web.page_server import ServeOptions, link_of_another, serving


def serve(options: OutputOptions, *, port: int | None, opens: bool) -> int:
    """Serve the page until a signal arrives; return the exit status."""
    return asyncio.run(_serve(output(options), port, opens=opens))


async def _serve(told: Output, port: int | None, *, opens: bool) -> int:
    there = await link_of_another(config.home(os.environ))
    if there:
        told.document(there)
        told.say(Text(tr("The page is open already; this is a new link to it.")))
        _open(there, opens=opens)
        return 0
    async with serving(ServeOptions(os.environ, port)) as link:
        ending = _Ending()
        with signals.heeding(ending, lambda _: None):
            told.document(link)
            told.say(Text(tr("The page is open at this link, which works once. Ctrl-C ends it.")))
            _open(link, opens=opens)
            return await ending.status()


def _open(link: str, *, opens: bool) -> None:
    if opens:
        webbrowser.open(link)


class _Ending:
    """Lets a signal end the page gracefully."""

    def __init__(self) -> None:
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def stop(self, exit_status: int) -> None:
        """End the wait."""
        if not self._status.done():
            self._status.set_result(exit_status)

    async def status(self) -> int:
        """Wait until stopped; 0 for Ctrl-C, which is how a page ends well."""
        status = await self._status
        return 0 if status == _INTERRUPTED else status


_INTERRUPTED = 130
