"""`serve`: the page, until Ctrl-C or SIGTERM."""

import asyncio
import os
import webbrowser
from dataclasses import dataclass

import click
from rich.text import Text

from bulkcast import config, desktop_entry
from bulkcast.cli import json_output, signals
from bulkcast.cli.command_options import OutputOptions
from bulkcast.cli.console import Output, output, shown, whole
from bulkcast.cli.language import tr
from bulkcast.cli.log_redaction import keep_out_of_logs
from bulkcast.notification import Recipients
from bulkcast.web.page_server import ServeOptions, link_of_another, serving


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Of `serve`."""

    output: OutputOptions
    port: int | None
    opens: bool
    """Whether a browser is opened."""
    recipients: Recipients
    installs: bool = False
    uninstalls: bool = False
    force: bool = False


def serve(options: PageOptions) -> int:
    """Serve the page until a signal arrives; return the exit status."""
    if options.installs or options.uninstalls:
        return _install(output(options.output), options)
    return asyncio.run(_serve(output(options.output), options))


def _install(told: Output, options: PageOptions) -> int:
    """Write what starts the page from the desktop, or take it away."""
    if options.installs and options.uninstalls:
        raise click.UsageError(tr("--install and --uninstall exclude each other"))
    made = desktop_entry.starter(os.environ, port=options.port)
    if options.uninstalls:
        was_there = desktop_entry.uninstall(made, force=options.force)
        said, done = (tr("Removed: "), "removed") if was_there else (tr("There is none: "), "none")
    else:
        was_there = desktop_entry.install(made, force=options.force)
        said, done = (tr("Replaced: "), "replaced") if was_there else (tr("Written: "), "written")
    if told.as_json:
        told.document(json_output.dump(json_output.desktop_entry(made.path, done)))
    told.say(whole(said, shown(made.path)))
    if options.installs:
        told.say(Text(tr("It opens the page and a window; closing the window ends the page.")))
    return 0


async def _serve(told: Output, options: PageOptions) -> int:
    there = await link_of_another(config.home(os.environ))
    if there:
        told.document(there)
        told.say(Text(tr("The page is open already; this is a new link to it.")))
        _open(there, opens=options.opens)
        return 0
    page = ServeOptions(os.environ, options.port, options.recipients, keep_out_of_logs)
    async with serving(page) as link:
        ending = _Ending()
        with signals.heeding(ending, lambda _: None):
            told.document(link)
            told.say(Text(tr("The page is open at this link, which works once. Ctrl-C ends it.")))
            _open(link, opens=options.opens)
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
