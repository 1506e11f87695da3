"""Figures of all runs for Prometheus, read from the ledger each time they are asked for."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bulkcast.errors import BulkcastError
from bulkcast.fleet.metrics import Figures, serving
from bulkcast.home import Home
from bulkcast.ledger import RunRecord, is_begun, open_ledger


@contextmanager
def serving_metrics(home: Home, port: int) -> Iterator[None]:
    """Give them on a port of this computer while the block runs.

    Raises:
        CannotStart: the port is in use.

    """
    figures = (
        Figures("bulkcast_runs", "Runs in the ledger, by state", "state", lambda: _runs(home)),
        Figures("bulkcast_rows", "Rows of all runs, by status", "status", lambda: _rows(home)),
    )
    with serving(figures, port):
        yield


def _runs(home: Home) -> Mapping[str, int]:
    return Counter(record.state for record in _records(home))


def _rows(home: Home) -> Mapping[str, int]:
    found: Counter[str] = Counter()
    for record in _records(home):
        found.update({status.value: n for status, n in record.counts.items()})
    return found


def _records(home: Home) -> list[RunRecord]:
    """All runs; none while the ledger cannot be read."""
    try:
        if is_begun(home):
            with open_ledger(home) as ledger:
                return ledger.runs()
    except BulkcastError:
        pass
    return []
