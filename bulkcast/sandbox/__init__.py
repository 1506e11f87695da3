"""A server that answers as ClassIn does, for rehearsals, tests and the benchmark.

    async with Sandbox(World(), secret=SANDBOX_SECRET).serving() as root_url:
        ...

`world` describes the institution, `faults` what can go wrong, `rules` what is refused.
"""

from bulkcast.model import SANDBOX_SECRET
from bulkcast.sandbox.faults import Fault, Script, read_fault, read_script
from bulkcast.sandbox.rules import Applied
from bulkcast.sandbox.server import HOST, KeepLog, Received, Sandbox
from bulkcast.sandbox.world import (
    SANDBOX_SID,
    Classroom,
    Keeper,
    PointInTime,
    World,
    parse_world,
    read_world,
)

__all__ = [
    "HOST",
    "SANDBOX_SECRET",
    "SANDBOX_SID",
    "Applied",
    "Classroom",
    "Fault",
    "KeepLog",
    "Keeper",
    "PointInTime",
    "Received",
    "Sandbox",
    "Script",
    "World",
    "parse_world",
    "read_fault",
    "read_script",
    "read_world",
]
