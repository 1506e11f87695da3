"""Runs that the workers of a fleet send: the same rows end the same way as in a run sent here."""

from pathlib import Path

from bulkcast.ledger import open_ledger
from bulkcast.model import RowStatus
from bulkcast.pipeline import SendOptions, apply, prepare
from tests.fleet_harness import fleet
from tests.sheets import plain


async def test_a_run_is_sent_by_a_worker(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 30)
    async with fleet(tmp_path) as found, found.worker():
        prepared = prepare(sheet)
        report = await apply(prepared, found.config, SendOptions(rate=600.0))
        with open_ledger(found.home) as ledger:
            record = ledger.newest(report.run)

    assert report.counts[RowStatus.APPLIED] == 30
    assert record.state == "finished"
    assert len(found.sandbox.log) == 30
