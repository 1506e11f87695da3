"""The declared endpoints; one file each."""

from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.endpoints.webcast import WEBCAST

ENDPOINTS: Final[tuple[Endpoint, ...]] = (WEBCAST,)
"""Every endpoint bulkcast can apply a sheet to."""

__all__ = ["ENDPOINTS", "WEBCAST"]
