"""Counters for Prometheus, served over HTTP on loopback unless another address is given."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server

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
            OSError: the port is in use.

        """
        server, thread = start_http_server(port, addr=address, registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, stop
