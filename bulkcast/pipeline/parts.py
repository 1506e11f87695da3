"""How the parts of a run are made."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulkcast import client as http
from bulkcast.dispatcher import Dispatcher
from bulkcast.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Parts:
    """How the parts of a run are made; the proofs put broken ones in their place."""

    ledger: Callable[[Path], Ledger] = Ledger
    client: type[http.Client] = http.Client
    dispatcher: type[Dispatcher] = Dispatcher


PARTS: Final = Parts()
