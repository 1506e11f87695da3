"""A run for an institution entered on the page: where it goes, and who is told of its end."""

import asyncio
import json
import sys
from pathlib import Path

from bulkcast.model import Secret
from bulkcast.notification import Recipients
from bulkcast.sandbox import SANDBOX_SID, Sandbox, World
from tests.page_client import page
from tests.page_sheets import fields, path_of, upload

SECRET = "school-secret-77"  # noqa: S105 - a word to look for
TERM = b"""activityId,recordState,recordType,liveState,openState,watchPassword
25096001,on,0,on,on,pw0001
25096002,on,0,off,on,pw0002
x,on,0,off,on,
"""
KEEPS = """
import os, pathlib, sys
out = pathlib.Path(sys.argv[1])
out.with_suffix(".part").write_text(sys.stdin.read())
out.with_suffix(".part").rename(out)
"""


async def test_a_run_goes_to_the_chosen_institution_and_its_end_is_told(tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    told = Recipients((sys.executable, "-c", KEEPS, str(out)))
    classin = Sandbox(World(limit=None), secret=Secret(SECRET))
    async with classin.serving() as root_url, page(tmp_path / "home", told=told) as client:
        entered = {"name": "North", "sid": SANDBOX_SID, "secret": SECRET, "root_url": root_url}
        await client.post("/settings/profile", entered)
        place = path_of(await upload(client, "term.csv", TERM))
        plan = await client.get(f"{place}/plan")
        await client.post(f"{place}/apply", fields(plan, "/apply"))
        for _ in range(100):
            if out.exists():
                break
            await asyncio.sleep(0.1)

    found = json.loads(out.read_text("utf-8"))
    assert found["schema"] == "bulkcast.notification/1"
    assert (found["state"], found["exit"], found["rows"]) == ("finished", 3, 3)
    assert (found["counts"]["applied"], found["counts"]["invalid"]) == (2, 1)
    assert not found["run"].startswith("sandbox-")
    assert sum(call.applied for call in classin.log) == 2
    assert "pw0001" not in out.read_text("utf-8")
    assert SECRET not in out.read_text("utf-8")
