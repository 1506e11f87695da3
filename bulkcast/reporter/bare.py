"""Result sheets of which the user's own cells are lost: the headers, and how each row ended."""

import csv
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bulkcast.model import Layout, ResultRow
from bulkcast.reporter import delimited, fresh
from bulkcast.reporter.files import Draft


def write(
    draft: Draft,
    layout: Layout,
    headers: Sequence[str],
    results: Mapping[int, ResultRow],
    lang: str,
) -> None:
    """Write the draft: a sheet laid out as the lost one, every row at its number."""
    rows = dict.fromkeys(range(1, max(results, default=0) + 1), ())
    table = {**rows, layout.header_row: tuple(headers)}
    if layout.kind in {"csv", "tsv"}:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "sheet"
            with source.open("w", encoding="utf-8", newline="") as file:
                out = csv.writer(file, delimiter=layout.delimiter)
                out.writerows(table[number] or ("",) for number in sorted(table))
            plain = replace(layout, encoding="utf-8")
            delimited.write(source, draft, plain, headers, results)
    else:
        fresh.write(draft, replace(layout, kind="xlsx"), headers, results, table, lang)
