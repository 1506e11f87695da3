"""`serve`: the page, until Ctrl-C or SIGTERM."""

import asyncio
import os
import webbrowser
from contextlib import AbstractContextManager, nullcontext

import click
from rich.text import Text

from bulkcast import config, desktop_entry
from bulkcast.cli import context, json_output, signals
from bulkcast.cli.console import Output, shown, whole
from bulkcast.cli.context import Destination
from bulkcast.cli.exit_status import keep_out_of_logs
from bulkcast.cli.language import tr
from bulkcast.notification import Recipients
from bulkcast.web.page_server import ServeOptions, link_of_another, serving


def serve(
    output: Output,
    *,
    port: int | None,
    opens: bool,
    recipients: Recipients,
    installs: bool,
    uninstalls: bool,
    force: bool,
    metrics: int | None = None,
) -> int:
    """Serve the page until a signal arrives; return the exit status.

    Or write, or remove, what starts it from the desktop.
    """
    if installs and uninstalls:
        raise click.UsageError(tr("--install and --uninstall exclude each other"))
    if installs or uninstalls:
        starter = desktop_entry.starter(os.environ, port=port)
        change = _install if installs else _uninstall
        return change(output, starter, force=force)
    options = ServeOptions(context.environ(), port, recipients, keep_out_of_logs)
    with _metrics(metrics):
        return asyncio.run(_serve(output, options, opens=opens))


def _metrics(port: int | None) -> AbstractContextManager[None]:
    """Give figures to Prometheus while the block runs, if a port is given."""
    if port is None:
        return nullcontext()
    from bulkcast.pipeline.run_metrics import serving_metrics

    return serving_metrics(context.home(Destination(sandbox=False)), port)


def _install(output: Output, starter: desktop_entry.Starter, *, force: bool) -> int:
    was_there = desktop_entry.install(starter, force=force)
    _show(output, starter, tr("Replaced: ") if was_there else tr("Written: "),
          "replaced" if was_there else "written")  # fmt: skip
    output.info(Text(tr("It opens the page and a window; closing the window ends the page.")))
    return 0


def _uninstall(output: Output, starter: desktop_entry.Starter, *, force: bool) -> int:
    was_there = desktop_entry.uninstall(starter, force=force)
    _show(output, starter, tr("Removed: ") if was_there else tr("There is none: "),
          "removed" if was_there else "none")  # fmt: skip
    return 0


def _show(output: Output, starter: desktop_entry.Starter, said: str, done: str) -> None:
    if output.as_json:
        output.json(json_output.dump(json_output.desktop_entry(starter.path, done)))
    output.info(whole(said, shown(starter.path)))


async def _serve(output: Output, options: ServeOptions, *, opens: bool) -> int:
    there = await link_of_another(config.home(os.environ))
    if there:
        output.json(there)
        output.info(Text(tr("The page is open already; this is a new link to it.")))
        _open(there, opens=opens)
        return 0
    async with serving(options) as link:
        ending = _Ending()
        with signals.heeding(ending, lambda _: None):
            output.json(link)
            output.info(
                Text(tr("The page is open at this link, which works once. Ctrl-C ends it."))
            )
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
