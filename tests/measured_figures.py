"""The figures that tests measure, summed over a test run, and the search for canaries."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from tests.secret_search import forms, leaks, scanned

Figure = int | float | str
Record = Callable[[str, object], None]
"""pytest's `record_property`, with which a test reports a figure."""

ROWS: Final = (
    ("kills", "kill -9 of real programs"),
    ("rows lost, claimed or unknown over kills", "  rows lost, falsely claimed or unknown"),
    ("deaths in virtual time", "deaths of programs in virtual time"),
    ("mutants caught", "mutants caught by the auditor (of 12)"),
    ("fault cells passed", "fault cells passed"),
    ("network cells passed", "  of a poisoned network"),
    ("simulated hours", "simulated hours"),
    ("limit violations over simulated hours", "  limit violations and false words"),
    ("requests carried out late", "requests carried out late, after others"),
    ("ghost writes", "  ghost writes: acknowledged value not the final one"),
    ("damaged ledgers tried", "damaged ledgers"),
    ("damaged ledgers resumed unnoticed", "  resumed unnoticed"),
)
"""A figure's name in tests, and in the table."""
GIVEN_UP: Final = "rows of 20,000 given up, "
KEPT_IN: Final = frozenset({"config.toml", "classin.secret", "s"})
"""Where the tests of the configuration, as its users, keep a secret on purpose."""
SENDS: Final = "sends for each row, "


def added_up(properties: Iterable[tuple[str, object]]) -> dict[str, Figure]:
    """Sum numbers; of texts keep the last one."""
    found: dict[str, Figure] = {}
    for name, value in properties:
        before = found.get(name)
        if isinstance(value, int | float) and isinstance(before, int | float):
            found[name] = before + value
        elif isinstance(value, int | float | str):
            found[name] = value
    return found


def table(found: Mapping[str, Figure]) -> list[str]:
    """The report's lines, with a dash for a figure that no test of this run measured."""
    lines = [_line(told, found.get(name)) for name, told in ROWS]
    for name in sorted(found):
        if name.startswith(GIVEN_UP):
            scenario = name.removeprefix(GIVEN_UP)
            sends = found.get(SENDS + scenario, "-")
            lines.append(_line(f"20,000 rows, {scenario}: given up / sends a row", found[name]))
            lines[-1] += f" / {sends}"
    lines.append(_line("bytes searched for canaries", found.get("bytes searched")))
    lines.append(_line("  canaries found", found.get("canaries found")))
    return lines


def _line(told: str, value: Figure | None) -> str:
    shown = "-" if value is None else f"{value:,.1f}" if isinstance(value, float) else f"{value}"
    return f"{told:<64}{shown:>14}"


def canaries(folder: Path, secrets: Iterable[str]) -> tuple[int, list[str]]:
    """How many bytes a test run left, and the files that contain a secret."""
    needles = {form for secret in secrets for form in forms(secret)} | {b"X-EEO-SIGN: "}
    places = [path for path in folder.rglob("*") if path.is_file() and path.name not in KEPT_IN]
    return scanned(places), list(leaks(places, needles))
