"""Counters for Prometheus, served over HTTP on loopback unless another address is given."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bulkcast.errors import CannotStart

LOOPBACK: Final = "127.0.0.1"


class Metrics:
    """The figures of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "bulkcast_requests", "Requests sent, by outcome", ["outcome"], registry=self.registry
        )
        self.slots = Counter(
            "bulkcast_slots_leased", "Start times leased from the pace", registry=self.registry
        )
        self.slices = Counter("bulkcast_slices", "Slices of lanes drained", registry=self.registry)
        self.rescued = Counter(
            "bulkcast_jobs_rescued", "Jobs of dead workers ended", registry=self.registry
        )
        self.database_errors = Counter(
            "bulkcast_database_errors", "Times the database was out of reach",
            registry=self.registry,
        )  # fmt: skip
        self.lanes_held = Gauge(
            "bulkcast_lanes_held", "Lanes this process drains", registry=self.registry
        )
        self.oldest_wait = Gauge(
            "bulkcast_oldest_wait_seconds", "Age of the oldest job that waits for a worker",
            registry=self.registry,
        )  # fmt: skip

    def start(self, port: int, address: str = LOOPBACK) -> tuple[int, Callable[[], None]]:
        """Serve the figures in a thread; return the port, 0 for any, and what ends it.

        Raises:
            CannotStart: the port is in use.

        """
        return _serve(self.registry, port, address)


class Figures(Collector):
    """Numbers by a label that are asked for at each look."""

    def __init__(
        self, name: str, meaning: str, label: str, numbers: Callable[[], Mapping[str, int]]
    ) -> None:
        self._name, self._meaning, self._label = name, meaning, label
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Ask for the numbers."""
        found = GaugeMetricFamily(self._name, self._meaning, labels=[self._label])
        for value, n in self._numbers().items():
            found.add_metric([value], n)
        yield found

    def describe(self) -> Iterator[Metric]:
        """Name it; the numbers are not asked for before somebody looks."""
        yield GaugeMetricFamily(self._name, self._meaning, labels=[self._label])


@contextmanager
def serving(figures: Iterable[Figures], port: int) -> Iterator[None]:
    """Serve figures, and those of the process, while the block runs.

    Raises:
        CannotStart: the port is in use.

    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for each in figures:
        registry.register(each)
    _, stop = _serve(registry, port, LOOPBACK)
    try:
        yield
    finally:
        stop()


def _serve(registry: CollectorRegistry, port: int, address: str) -> tuple[int, Callable[[], None]]:
    try:
        server, thread = start_http_server(port, addr=address, registry=registry)
    except OSError as exc:
        raise CannotStart(
            "port {port} cannot be used: {why}; choose another with --metrics",
            port=port,
            why=exc.strerror or exc,
        ) from exc

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, stop
