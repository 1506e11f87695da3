"""Prints every ratio: `python3 tests/check.py --bench`, or `python -m tests.benchmarks`.

Nothing here asserts: a busy machine is no defect.  The goals stand beside what was measured.
"""

from tests.benchmarks import fleet, page, processes, reading, rows, startup, writing
from tests.benchmarks.measuring import table

if __name__ == "__main__":
    parts = (startup, rows, processes, fleet, writing, reading, page)
    print(table([figure for part in parts for figure in part.compare()]))
