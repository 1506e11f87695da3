"""Masking: a secret that a server repeats is not to be read out of its words in any form."""

import asyncio
import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import client as http
from bulkcast import protocol
from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Body, Credentials, Institution, ReplyClass, Secret
from bulkcast.pipeline import Parts, RunReport, SendOptions, apply, prepare
from bulkcast.protocol import NoReply, Reply, Verdict
from bulkcast.safe_text import Secrets, longest_form, masked
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.cli_runner import CANARY, lines, write_csv
from tests.secret_search import forms, leaks

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
    assert len(way(secret)) <= longest_form(len(secret))


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


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize("secret", ["open sesame", "pass", ODD, "????>>>>~~~~", "课堂密码"])
def test_a_secret_of_any_row_is_found_however_it_is_written(
    way: Callable[[str], str], secret: str
) -> None:
    known = Secrets([secret, "another one", "x7"])

    assert known.found_in(f"no ({way(secret)}), a{way('ab' + secret + 'c')}!") == {secret}


@given(SECRETS, st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(list(WAYS)))
def test_what_would_be_masked_is_found(secret: str, before: bytes, after: bytes, way: str) -> None:
    for text in (
        base64.b64encode(before + secret.encode() + after).decode(),
        f"{before.hex()}{WAYS[way](secret)}{after.hex()}",
    ):
        if masked(text, [secret]) != text and secret.isascii():
            assert Secrets([secret]).found_in(text) == {secret}


def said(msg: str, body: Body = (), others: Iterable[str] = (), private: str = "") -> str:
    """What is kept of a message that refuses `body`."""
    answer = json.dumps({"code": 101001001, "msg": msg}).encode()
    reply = Reply(200, answer, private=(private,) if private else ())
    listener = protocol.Listener(others)
    verdict = protocol.judge(reply, WEBCAST, now=0.0, body=body, listener=listener)
    return str(verdict.args["said"])


@pytest.mark.parametrize(
    ("own", "other", "message", "told"),
    [
        ("", "1", "error 101 in row 1", "error ••• in row •••"),
        ("", "1", "error 101, try later", "error 101, try later"),
        ("1", "", "error 101, try later", "error •••, try later"),
        ("ab", "", "not fab; pw=ab", "not •••; pw=•••"),
        ("", "ab", "not about, fab", "not about, fab"),
        ("密", "", "密码错误", "•••码错误"),
        ("#", "", "a#b", "•••"),
        ("", "7", "密码7错误", "密码•••错误"),
    ],
)
def test_a_password_of_a_few_characters_hides_the_word_it_stands_in(
    own: str, other: str, message: str, told: str
) -> None:
    body = (("activityId", 7), *((("watchPassword", own),) if own else ()))

    assert said(message, body, [other] if other else []) == told


def test_two_secrets_that_overlap_are_masked_both() -> None:
    assert masked("x abcdef y", ["abcd", "cdef"]) == "x ••• y"


@pytest.mark.parametrize("lead", range(470, 505))
def test_a_message_cut_within_a_secret_ends_before_it(lead: int) -> None:
    body: Body = (("activityId", 7), ("watchPassword", CANARY))

    told = said("x" * lead + CANARY * 9, body)

    assert set(told.replace("•", "")) == {"x"}


def test_an_answer_that_all_is_well_is_not_even_looked_at() -> None:
    body: Body = (("activityId", 7), ("watchPassword", CANARY))
    answer = Reply(200, b'{"code":1,"msg":"ok"}')

    assert protocol.judge(answer, WEBCAST, now=0.0, body=body) == Verdict(
        ReplyClass.OK, "1", proves_access=True
    )


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


class Thrower(http.Client):
    """Quotes what it was sent, the secret, and the password of another row."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        assert isinstance(reply, Reply)
        quoted = " ".join(reply.private)
        QUOTED.update(reply.private)
        msg = f"sign {quoted}, last {OTHER}, location https://x/{quoted}"
        if int(str(dict(body)["activityId"])) % 2:
            return replace(reply, status=302, location=f"https://x/{quoted}/{OTHER}")
        return replace(reply, body=json.dumps({"code": 101001001, "msg": msg}).encode())


QUOTED: set[str] = set()
OTHER = "other-row-Zx7"


def test_secret_signature_and_other_rows_passwords_are_in_no_artefact(tmp_path: Path) -> None:
    rows = lines(4)
    rows[0][6] = OTHER
    sheet = write_csv(tmp_path / "term.csv", rows)
    options = SendOptions(rate=float("inf"), results=tmp_path / "out.csv", concurrency=1)

    async def main() -> RunReport:
        async with Sandbox(World(), secret=SANDBOX_SECRET).serving() as url:
            config = Config(
                Institution(url, SANDBOX_SID),
                Credentials(SANDBOX_SID, SANDBOX_SECRET),
                tmp_path / "home",
            )
            prepared = prepare(sheet)
            return await apply(prepared, config, options, parts=Parts(client=Thrower))

    report = asyncio.run(main())

    told = json.dumps([row.message for row in report.rows], ensure_ascii=False)
    assert "sign ••• •••, last •••" in told
    assert len(QUOTED) > 1
    needles = {form for secret in QUOTED for form in forms(secret)}
    assert list(leaks([tmp_path / "home" / "ledger.sqlite3"], needles)) == []
    assert list(leaks([tmp_path / "out.csv"], needles)) == []
    assert OTHER not in told
