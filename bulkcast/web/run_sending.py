"""What carries out a run of the page: for the account, or for the institutions that rows name."""

from collections.abc import Awaitable, Callable

from bulkcast import pipeline
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.home import Home
from bulkcast.pipeline import Control, PreparedRun, RunReport, SendOptions, Watch
from bulkcast.web.accounts import Account, NamedInstitutions

Use = Callable[[Control, Watch], Awaitable[RunReport]]
"""Carries out a run that it is told how to steer and to whom to show its progress."""


def sending(account: Account, planned: PreparedRun, options: SendOptions) -> Use:
    """Sends a sheet, for the account or for the institutions that its rows name."""

    async def use(control: Control, watch: Watch) -> RunReport:
        if planned.config:
            return await pipeline.apply(
                planned.prepared, planned.config, options, control=control, watch=watch
            )
        async with _named(account).serving(part.profile for part in planned.reached) as members:
            return await pipeline.apply_parts(
                planned.reached_through(members), options,
                home=account.home, control=control, watch=watch,
            )  # fmt: skip

    return use


def resuming(
    account: Account, run: str, profiles: tuple[str, ...] | None, options: SendOptions
) -> Use:
    """Sends the rest of a run; of a group, or one of its runs, if it is for `profiles`."""
    config = usable(account) if profiles is None else None

    async def use(control: Control, watch: Watch) -> RunReport:
        if config:
            return await pipeline.resume(config, run, options, control=control, watch=watch)
        async with _named(account).serving(profiles or ()) as members:
            return await pipeline.resume_parts(
                account.home, members, run, options, control=control, watch=watch
            )

    return use


def profiles_left(home: Home, run: str) -> tuple[str, ...] | None:
    """The institutions of which rows of a group are left; None for a run of no group."""
    return pipeline.profiles_of(home, run) if pipeline.is_group(home, run) else None


def _named(account: Account) -> NamedInstitutions:
    if account.named is None:
        raise CannotStart("there are no credentials; enter them in the settings")
    return account.named


def usable(account: Account) -> Config:
    """The configuration of an account.

    Raises:
        CannotStart: there is none; the account says why.

    """
    if account.config is not None:
        return account.config
    raise account.problem or CannotStart("there are no credentials; enter them in the settings")
