"""Prints every ratio: `python3 tests/check.py --bench`, or `python -m tests.benchmarks`.

Nothing here asserts: a busy machine is no defect.  The goals stand beside what was measured.
"""

from tests.benchmarks import reading, rows, startup, writing
from tests.benchmarks.measuring import table

if __name__ == "__main__":
    print(table([*startup.compare(), *rows.compare(), *writing.compare(), *reading.compare()]))
