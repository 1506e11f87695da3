"""The vendor's own SDK signs, the sandbox checks: two implementations that share no line.

PyPI `eeo` 2.0.0 pins its HTTP library to an exact release, so it lives in a venv of its own,
made once and kept in the git-ignored `.check`.  Without the package index these tests are
skipped, except in CI.
"""

import asyncio
import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from filelock import FileLock

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World

SDK = "eeo==2.0.0"
HOME = (
    Path(__file__).parents[1] / ".check" / f"sdk-{sys.version_info.major}.{sys.version_info.minor}"
)

POST = """
import json, sys
from eeo import ClassInAPI

order = json.load(sys.stdin)
# Its documentation types the school's uid as an integer, which its HTTP library then refuses as
# the value of a header.
api = ClassInAPI(order["sid"], order["secret"])
api.session.trust_env = False
headers = api._create_v2_headers(order["body"])
body = json.dumps(order["body"])
answer = api._make_request(order["url"], data=body, headers=headers, timeout=20)
json.dump(answer, sys.stdout)
"""


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The interpreter of a venv that holds the vendor's SDK."""
    python = HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = HOME / "ready"
    HOME.parent.mkdir(exist_ok=True)
    with FileLock(HOME.with_name(f"{HOME.name}.lock")):
        if not ready.exists():
            _install(python)
            ready.write_text(SDK, encoding="ascii")
    return python


def _install(python: Path) -> None:
    venv.create(HOME, clear=True, with_pip=True)
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK)
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    why = f"{SDK} cannot be installed: {done.stderr.strip()[-300:]}"
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


async def sdk_posts(python: Path, body: dict[str, object], *, url: str, secret: str) -> int:
    """The reply code that `body` gets, signed and sent by the vendor's SDK."""
    order = {"url": url + WEBCAST.path, "sid": SANDBOX_SID, "secret": secret, "body": body}
    process = await asyncio.create_subprocess_exec(
        python, "-c", POST, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate(json.dumps(order).encode())
    assert process.returncode == 0
    code = json.loads(out)["code"]
    assert isinstance(code, int)
    return code


PAGE_EXAMPLE: dict[str, object] = {
    "courseId": 414193,
    "activityId": 25096094,
    "recordState": 1,
    "recordType": 0,
    "liveState": 1,
    "openState": 1,
    "watchByLogin": 0,
    "webcastIntroduce": "Course introduction for this live session",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"liveAndPlaybackStudentUids": [1001001, 23692341090]},
        {"watchPassword": "", "customColumn": "a&b=c%20+d"},
        {"webcastIntroduce": "第1讲 A&B=C é😀\n行2"},
        {"webcastIntroduce": "课" * 341},
        {"webcastIntroduce": "a" * 1024},
        {"webcastIntroduce": "a" * 1025},
    ],
    ids=["the page's example", "a list", "empty and marks", "Chinese", "1023", "1024", "1025"],
)
async def test_the_sandbox_accepts_what_the_vendors_sdk_signs(
    sdk_python: Path, changed: dict[str, object]
) -> None:
    body = PAGE_EXAMPLE | changed
    sandbox = Sandbox(World(), secret=SANDBOX_SECRET)

    async with sandbox.serving() as url:
        code = await sdk_posts(sdk_python, body, url=url, secret=SANDBOX_SECRET.reveal())

    assert code == 1
    assert [received.body for received in sandbox.log] == [body]


async def test_the_sandbox_refuses_what_the_vendors_sdk_signs_with_a_wrong_secret(
    sdk_python: Path,
) -> None:
    sandbox = Sandbox(World(), secret=SANDBOX_SECRET)

    async with sandbox.serving() as url:
        code = await sdk_posts(sdk_python, PAGE_EXAMPLE, url=url, secret=SANDBOX_SID)

    assert code == 101002005
    assert sandbox.state == {}


async def test_the_sdk_counts_characters_where_the_vendors_rule_counts_bytes(
    sdk_python: Path,
) -> None:
    body = PAGE_EXAMPLE | {"webcastIntroduce": "课" * 342}  # 1026 bytes
    sandbox = Sandbox(World(), secret=SANDBOX_SECRET)

    async with sandbox.serving() as url:
        code = await sdk_posts(sdk_python, body, url=url, secret=SANDBOX_SECRET.reveal())

    assert code == 101002005
