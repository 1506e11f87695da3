"""The use cases of `bulkcast.pipeline` beside a sandbox, in virtual time."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from bulkcast.config import Config
from bulkcast.model import Credentials, Institution, RowStatus, Secret
from bulkcast.pipeline import Parts, Prepared, RunReport, SendOptions, apply, resume
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Received, Sandbox, World
from tests.sheets import FIRST_ID
from tests.virtual_loop import VirtualLoop, run

T = TypeVar("T")
APPLIED: Final = RowStatus.APPLIED


@dataclass(frozen=True)
class Harness:
    """A sandbox and a configuration for it."""

    loop: VirtualLoop
    sandbox: Sandbox
    config: Config

    @property
    def log(self) -> Sequence[Received]:
        return self.sandbox.log

    @property
    def parts(self) -> Parts:
        """Those of every run, by the clock of the loop."""
        return Parts(wall=self.loop.wall)

    async def apply(self, prepared: Prepared, **options: Any) -> RunReport:
        return await apply(prepared, self.config, SendOptions(**options), parts=self.parts)

    async def resume(self, run: str = "", **options: Any) -> RunReport:
        return await resume(self.config, run, SendOptions(**options), parts=self.parts)


def with_sandbox(
    home: Path,
    main: Callable[[Harness], Coroutine[Any, Any, T]],
    world: World | None = None,
    *,
    secret: Secret = SANDBOX_SECRET,
    clock_offset_s: float = 0.0,
) -> T:
    """Run `main` beside a sandbox, in virtual time."""

    async def inside(loop: VirtualLoop) -> T:
        sandbox = Sandbox(
            world or World(first_whole=False),
            secret=SANDBOX_SECRET,
            clock=loop.wall,
            clock_offset_s=clock_offset_s,
        )
        async with sandbox.serving() as url:
            credentials = Credentials(SANDBOX_SID, secret)
            config = Config(Institution(url, SANDBOX_SID), credentials, home / "home")
            return await main(Harness(loop, sandbox, config))

    return run(inside)


def sent_rows(log: Sequence[Received]) -> list[int]:
    return [r.target.id - FIRST_ID for r in log if r.target]


def counted(report: RunReport) -> Mapping[RowStatus, int]:
    """The counts that are not zero; all of them add up to the rows."""
    assert list(report.counts) == list(RowStatus)
    assert sum(report.counts.values()) == len(report.rows)
    return {status: n for status, n in report.counts.items() if n}
