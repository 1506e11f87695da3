"""Answers that are files, under the name of the user's own sheet."""

import asyncio
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aiohttp import web

from bulkcast.errors import CannotStart
from bulkcast.pipeline import HandedOut

_TYPES: Final = {
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".xlsm": "application/vnd.ms-excel.sheet.macroEnabled.12",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".html": "text/html",
}


async def handed_out(
    make: Callable[[], AbstractContextManager[HandedOut | None]],
) -> web.StreamResponse:
    """The file that `make` writes, in a thread, as a download.

    Raises:
        CannotStart: it writes none.

    """

    def made() -> tuple[str, bytes] | None:
        with make() as file:
            return (file.name, file.path.read_bytes()) if file else None

    found = await asyncio.to_thread(made)
    if found is None:
        raise CannotStart("no row of the run is so")
    name, content = found
    return web.Response(
        body=content,
        content_type=_TYPES.get(Path(name).suffix, "application/octet-stream"),
        headers={"Content-Disposition": attachment(name)},
    )


def attachment(name: str) -> str:
    r"""The Content-Disposition of a file with a name in any script (RFC 6266, RFC 8187).

    >>> attachment("学期.csv")
    'attachment; filename="__.csv"; filename*=UTF-8\'\'%E5%AD%A6%E6%9C%9F.csv'
    """
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
