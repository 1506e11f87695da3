"""What the screens share while the page runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from bulkcast.notification import Recipients
from bulkcast.web.accounts import Accounts
from bulkcast.web.drafts import Drafts
from bulkcast.web.live_runs import LiveRuns
from bulkcast.web.security import Sessions


@dataclass(slots=True)
class PageState:
    """What the screens share."""

    home: Path
    """BULKCAST_HOME."""
    environ: Mapping[str, str]
    sessions: Sessions
    accounts: Accounts
    recipients: Recipients = field(default_factory=Recipients)
    """Who is told when a run ends; see `notification.notify`."""
    drafts: Drafts = field(default_factory=Drafts)
    runs: LiveRuns = field(default_factory=LiveRuns)
    port: int = 0
    """0 until the page listens."""

    @property
    def address(self) -> str:
        """Where the page is, without a token."""
        return f"http://127.0.0.1:{self.port}/"


STATE: Final = web.AppKey("state", PageState)
