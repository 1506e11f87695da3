"""What one writes in an hour: `python -m tests.benchmarks.naive_script SHEET URL`.

pandas reads the sheet, aiohttp posts, tenacity repeats, pandas writes a column with the answers.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp
import pandas as pd
import tenacity

from bulkcast import protocol
from bulkcast.endpoints import WEBCAST
from tests.benchmarks.bare_loop import AT_ONCE, CREDENTIALS


def main(sheet: Path, root_url: str) -> None:
    """Set every row of a sheet and write it back with the answers."""
    read: Callable[..., pd.DataFrame] = pd.read_csv if sheet.suffix == ".csv" else pd.read_excel
    frame = read(sheet, dtype=str, keep_default_na=False)
    bodies = [_body(dict(zip(frame.columns, row, strict=True))) for row in frame.to_numpy()]
    frame["answer"] = asyncio.run(_post_patiently(bodies, root_url))
    out = sheet.with_name(f"naive{sheet.suffix}")
    if sheet.suffix == ".csv":
        frame.to_csv(out, index=False)
    else:
        frame.to_excel(out, index=False)


_TEXTS = ("watchPassword", "webcastIntroduce")
_NUMBERS = ("activityId", "recordType", "liveState", "openState", "watchByLogin")


def _body(row: Mapping[str, str]) -> dict[str, object]:
    body: dict[str, object] = {name: int(row[name]) for name in _NUMBERS if row[name]}
    body["recordState"] = {"是": 1, "否": 0}[row["recordState"]]
    return body | {name: row[name] for name in _TEXTS if row[name]}


async def _post_patiently(bodies: Sequence[dict[str, object]], root_url: str) -> list[str]:
    at_once = asyncio.Semaphore(AT_ONCE)
    async with aiohttp.ClientSession(
        root_url, connector=aiohttp.TCPConnector(limit=AT_ONCE)
    ) as session:

        @tenacity.retry(
            stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential()
        )
        async def post(body: dict[str, object]) -> str:
            headers = protocol.headers(tuple(body.items()), CREDENTIALS, int(time.time()))  # type: ignore[arg-type] # a body's
            data = json.dumps(body, ensure_ascii=False).encode()
            async with session.post(WEBCAST.path, data=data, headers=headers) as response:
                response.raise_for_status()
                answer = await response.json()
            return f"{answer['code']} {answer['msg']}"

        async def one(body: dict[str, object]) -> str:
            async with at_once:
                return await post(body)

        return await asyncio.gather(*map(one, bodies))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
