"""The runs that this page has started and that are under way."""

from bulkcast.pipeline import Prepared, SendOptions
from bulkcast.web.accounts import Account


class LiveRuns:
    """Starts, pauses and stops runs; one for each institution at a time."""

    async def start(
        self, account: Account, prepared: Prepared, options: SendOptions, *, name: str
    ) -> str:
        """Begin to send a prepared sheet, and return the run's name once the ledger has it.

        `name` is what the user calls the sheet; it is only ever shown.

        Raises:
            InstitutionBusy: another run holds the institution.
            CannotStart: the sheet has changed since it was read, or there are no credentials.

        """
        raise NotImplementedError

    async def resume(self, account: Account, run: str) -> str:
        """Go on with a run that ended early, and return its name once it is under way again.

        Raises:
            InstitutionBusy: another run, or this one, holds the institution.
            CannotStart: there is no such run, or it belongs to another institution.

        """
        raise NotImplementedError

    def pause(self, run: str) -> None:
        """Send nothing more until `go_on`; what is under way finishes."""
        raise NotImplementedError

    def go_on(self, run: str) -> None:
        """Send again."""
        raise NotImplementedError

    def stop(self, run: str) -> None:
        """Send nothing more; what is under way finishes, then the results are written."""
        raise NotImplementedError

    async def close(self) -> None:
        """Stop every run and wait until its outcome is in the ledger."""
