"""The results that were looked at last, kept in memory: filters and pages need no reading."""

import asyncio
from collections import OrderedDict
from typing import Final

from bulkcast import pipeline
from bulkcast.home import Home
from bulkcast.pipeline import End, ResultTable

_KEPT_MOST: Final = 3
"""Runs; one of 50,000 rows takes 60 MB."""


class ResultTables:
    """The results that were looked at last."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[object, ...], asyncio.Task[ResultTable]] = OrderedDict()

    async def get(self, home: Home, run: str, end: End, lang: str) -> ResultTable:
        """The results of a run that is over, read once however many ask for them.

        Raises:
            LedgerDamaged: the ledger is not what was written.

        """
        key = (home, run, end, lang)
        task = self._read.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            read = asyncio.to_thread(pipeline.result_table, home, run, lang=lang)
            task = self._read[key] = asyncio.ensure_future(read)
        self._read.move_to_end(key)
        while len(self._read) > _KEPT_MOST:
            self._read.popitem(last=False)
        return await asyncio.shield(task)
