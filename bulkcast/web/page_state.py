"""What the screens share while the page runs."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from bulkcast.notification import Recipients, notify
from bulkcast.pipeline import RunReport
from bulkcast.web.accounts import Accounts
from bulkcast.web.drafts import Drafts
from bulkcast.web.live_runs import LiveRuns
from bulkcast.web.result_tables import ResultTables
from bulkcast.web.security import Sessions

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PageState:
    """What the screens share."""

    home: Path
    """BULKCAST_HOME."""
    environ: Mapping[str, str]
    sessions: Sessions
    accounts: Accounts
    drafts: Drafts = field(default_factory=Drafts)
    runs: LiveRuns = field(default_factory=LiveRuns)
    tables: ResultTables = field(default_factory=ResultTables)
    recipients: Recipients = field(default_factory=Recipients)
    """Who is told when a run ends; see `notification.notify`."""
    port: int = 0
    """0 until the page listens."""

    def __post_init__(self) -> None:
        if self.recipients != Recipients():
            self.runs.on_end = self._tell

    async def _tell(self, report: RunReport) -> None:
        """Tell the recipients that a run has ended."""
        for remark in await notify(self.recipients, report, self.environ):
            _log.warning("%s", remark)

    @property
    def address(self) -> str:
        """Where the page is, without a token."""
        return f"http://127.0.0.1:{self.port}/"


STATE: Final = web.AppKey("state", PageState)
