"""The progress of several runs that are sent side by side, as that of one."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import RowStatus
from bulkcast.pipeline.execution import Watch


class GroupWatch:
    """Shows the progress of several runs as that of one."""

    def __init__(self, watch: Watch | None, runs: Iterable[str]) -> None:
        """`watch` is told the progress of all `runs`."""
        self._watch = watch
        self._latest: dict[str, Progress | None] = dict.fromkeys(runs)

    def of(self, run: str) -> "PartWatch":
        """What one of the runs tells its progress."""
        return PartWatch(self, run)

    def tell(self, run: str, progress: Progress) -> None:
        """Show the progress of all once each that is sent has told its own."""
        self._latest[run] = progress
        self._show()

    def forget(self, run: str) -> None:
        """Wait no longer for a run that has told nothing, as nothing of it is sent."""
        if self._latest[run] is None:
            del self._latest[run]
            self._show()

    def _show(self) -> None:
        found = [each for each in self._latest.values() if each]
        if self._watch and found and len(found) == len(self._latest):
            self._watch(total(found))


@dataclass(frozen=True, slots=True)
class PartWatch:
    """Is told the progress of one of several runs."""

    whole: GroupWatch
    run: str

    def __call__(self, progress: Progress) -> None:
        """Note the progress of the run."""
        self.whole.tell(self.run, progress)

    def end(self) -> None:
        """The run has ended."""
        self.whole.forget(self.run)


def total(found: Sequence[Progress]) -> Progress:
    """The progress of several runs; it is held up only if all that are still sending are."""
    counts: Counter[RowStatus] = Counter()
    for each in found:
        counts.update(each.counts)
    live = [each for each in found if sum(each.counts.values()) < each.rows] or found
    states = {each.breaker_state for each in live}
    return Progress(
        counts=counts,
        rows=sum(each.rows for each in found),
        requests=sum(each.requests for each in found),
        rate=sum(each.rate for each in live),
        retrying=sum(each.retrying for each in found),
        breaker_state=states.pop() if len(states) == 1 else BreakerState.CLOSED,
        held_s=min(each.held_s for each in live),
        open_s=min(each.open_s for each in live),
        maintained=all(each.maintained for each in live),
        slowed=all(each.slowed for each in live),
        held_back=sum(each.held_back for each in found),
        held_back_s=max(each.held_back_s for each in found),
        late=sum(each.late for each in found),
        paused=any(each.paused for each in live),
        under_way=sum(each.under_way for each in found),
    )
