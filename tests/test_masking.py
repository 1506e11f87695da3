"""Masking: a secret that a server repeats is not to be read out of its words in any form."""

import asyncio
import base64
import html
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import client as http
from bulkcast import protocol
from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.masking import longest_form, masked
from bulkcast.model import (
    Body,
    Credentials,
    Institution,
    NoReply,
    Reply,
    ReplyClass,
    Secret,
    Verdict,
)
from bulkcast.pipeline import Parts, SendOptions, apply, prepare
from tests.command_line import CANARY, lines, write_csv
from tests.secrecy import forms, leaks

SECRETS = st.text(st.characters(codec="utf-8", exclude_characters="•"), min_size=4, max_size=30)
ODD = 'p"w/ü密 <&>+😀'
WAYS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "percent": lambda s: quote(s, safe=""),
    "plus": quote_plus,
    "JSON": lambda s: json.dumps(s)[1:-1],
    "JSON with slashes": lambda s: json.dumps(s)[1:-1].replace("/", "\\/"),
    "HTML": html.escape,
    "hex": lambda s: s.encode().hex(),
    "HEX": lambda s: s.encode().hex().upper(),
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("secret", ["open sesame", "pass", ODD, "????>>>>~~~~", "课堂密码"])
def test_a_secret_is_masked_however_it_is_written(way: Callable[[str], str], secret: str) -> None:
    assert masked(f"no ({way(secret)})!", [secret]) == "no (•••)!"
    assert len(way(secret)) <= longest_form(secret)


@given(SECRETS, st.binary(max_size=40), st.binary(max_size=40), st.booleans())
def test_within_a_longer_base64_no_character_of_it_alone_is_left(
    secret: str, before: bytes, after: bytes, for_urls: bool
) -> None:
    pack = base64.urlsafe_b64encode if for_urls else base64.b64encode
    whole = pack(before + secret.encode() + after).decode()

    left = masked(whole, [secret])

    assert "•••" in left
    head, _, tail = left.partition("•••")
    assert len(head) * 6 <= len(before) * 8
    assert len(tail.rstrip("=")) * 6 <= len(after) * 8 + 6


@given(SECRETS, st.text(max_size=200))
def test_masking_never_stumbles_and_what_is_masked_stays_so(secret: str, text: str) -> None:
    once = masked(text + secret, [secret])

    assert secret.casefold() not in once.casefold() or set(secret) <= set("•")
    assert masked(once, [secret]) == once


def test_a_message_that_says_nothing_of_it_stays_as_it_is() -> None:
    said = "The classroom does not belong to this institution (25096094, 2027-03-01)."

    assert masked(said, ["hunter2", "Zq9 pass!"]) == said
    assert masked(said, []) == said


def test_a_message_cut_within_a_secret_ends_before_it() -> None:
    body: Body = (("activityId", 7), ("watchPassword", CANARY))
    answer = json.dumps({"code": 101001001, "msg": "x" * (500 - 5) + CANARY}).encode()

    verdict = protocol.judge(Reply(200, answer), WEBCAST, now=0.0)
    told = protocol.discreet(verdict, body, WEBCAST).args["said"]

    assert verdict.args["said"].endswith(CANARY[:5])
    assert set(told) == {"x"}


def test_an_answer_that_all_is_well_is_not_even_looked_at() -> None:
    body: Body = (("activityId", 7), ("watchPassword", CANARY))
    verdict = protocol.judge(Reply(200, b'{"code":1,"msg":"ok"}'), WEBCAST, now=0.0)

    assert verdict == Verdict(ReplyClass.OK, "1", proves_access=True)
    assert protocol.discreet(verdict, body, WEBCAST) is verdict


# ------------------------------------------------------------------ the canary search


class Echo(http.Client):
    """Refuses every row, and repeats its password in one form after another."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        password = str(dict(body)["watchPassword"])
        write = list(WAYS.values())[int(str(dict(body)["activityId"])) % len(WAYS)]
        said = f"bad: {write(password)} and {write('a' + password + 'bc')}."
        answer = json.dumps({"code": 101001001, "msg": said})
        return Reply(200, answer.encode())


def test_no_artefact_holds_a_password_that_the_server_repeats(tmp_path: Path) -> None:
    rows = lines(len(WAYS))
    for cells in rows:
        cells[6] = CANARY
    sheet = write_csv(tmp_path / "term.csv", rows)
    institution = Institution("http://127.0.0.1:1", "99000001")
    config = Config(institution, Credentials("99000001", Secret("s")), tmp_path / "home")
    options = SendOptions(rate=float("inf"), results=tmp_path / "out.csv")

    report = asyncio.run(apply(prepare(sheet), config, options, parts=Parts(client=Echo)))

    assert {row.message.count("•••") for row in report.rows} == {2}
    ours = [tmp_path / "home" / "ledger.sqlite3"]
    frozen = ours[0].read_bytes().count(CANARY.encode())
    assert frozen == len(WAYS), "only the frozen bodies hold what is to be sent"
    others = forms(CANARY) - {CANARY.encode()}
    assert list(leaks([*ours, tmp_path / "out.csv"], others)) == []
