"""What is said of a failure on the wire: words of its own, in both languages, and no Python."""

import asyncio
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientConnectorError
from aiohttp.client_reqrep import ConnectionKey

from bulkcast.client import Client
from bulkcast.dispatcher.circuit_breaker import SEEN, describe, is_unanswered
from bulkcast.endpoints import WEBCAST
from bulkcast.languages import translator
from bulkcast.messages import explain, explain_stop
from bulkcast.model import Argument, Credentials, ReplyClass, RowStatus, Stop, Text
from bulkcast.protocol import NoReply, Reply, Verdict, judge
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID
from tests.dispatcher_harness import dispatch, fault_between, met, request, requests
from tests.server_answers import ANSWERS, NOT_TO_ACT_ON

PYTHON = re.compile(r"(?!ClassIn)\b_?[A-Z][a-z]+[A-Z]\w+|Error\b|[Ee]rrno|Exception|\w+\.\w+\(|\('")
ENGLISH = re.compile(r"\b[a-z]{3,}")
PLACE = re.compile(r"https?://[!-~]+|[a-z-]+(\.[a-z]+)+|localhost")
FAULTS = sorted({answer.fault for answer in ANSWERS})


def sentences(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """All that can be said of a verdict: a language, a sentence."""
    for lang in ("en", "zh"):
        speaks = translator(lang)
        yield lang, explain(verdict.code, verdict.args, WEBCAST, speaks)[0]
        if is_unanswered(verdict):
            stop = Stop("outage", "run.outage", {"minutes": "45", "what": describe(verdict)})
            yield lang, explain(stop.code, stop.args, WEBCAST, speaks)[0]


def assert_told(verdict: Verdict) -> None:
    for lang, sentence in sentences(verdict):
        assert not PYTHON.search(sentence), sentence
        assert "…" not in sentence
        if lang == "zh" and not verdict.code.isdigit():
            assert not ENGLISH.search(PLACE.sub("", sentence)), sentence


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_of_the_matrix_has_words(fault: str) -> None:
    assert_told(judge(met(fault), WEBCAST, now=0.0))


def test_each_kind_of_malformed_answer_has_words_of_its_own() -> None:
    told = {name: judge(Reply(200, body), WEBCAST, now=0.0) for name, body in NOT_TO_ACT_ON.items()}

    for verdict in told.values():
        assert_told(verdict)
    said = {name: str(verdict.args["detail"]) for name, verdict in told.items()}
    assert said["nothing"] == said["white space"] == "it is empty"
    assert said["HTML"] == "it is a web page"
    assert said["bad UTF-8"] == "it is no text in UTF-8"
    assert said["truncated"] == "it is JSON that was cut short or spoiled"
    assert said["nested 200,000 deep"] == "it is nested too deep"
    assert said["a number of 5,000 digits"] == "it holds a number of thousands of digits"
    assert said["NaN"] == "it holds a number that JSON does not have"
    assert said["a code twice"] == "a key stands in it twice"
    assert said["a list"] == "it is JSON, but no object"
    assert said["a code of true"] == "no reply code stands in it"
    assert said["single quotes"] == "it is JSON that was cut short or spoiled"
    assert said["two objects"] == "it is JSON that was cut short or spoiled"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "refuses"),
        (ConnectionResetError(104, "Connection reset by peer"), "breaks connections off"),
        (PermissionError(1, "Operation not permitted"), "does not allow it"),
        (OSError(101, "Network is unreachable"), "no network leads there"),
        (OSError(113, "No route to host"), "no network leads there"),
        (TimeoutError(110, "Connection timed out"), "took too long"),
        (OSError(99, "Cannot assign requested address"), "no network leads there"),
        (OSError(5, "Input/output error"), "error 5 of the system"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), "gives no reason"),
    ],
)
def test_each_failure_to_connect_has_words(error: OSError, words: str) -> None:
    one = Client("https://api.eeo.cn", "/x", Credentials("1", SANDBOX_SECRET), connections=1)
    key = ConnectionKey("api.eeo.cn", 443, True, True, None, None, None)

    reply = one._no_reply(ClientConnectorError(key, error), sent=False)

    assert words in str(reply.detail)
    assert_told(judge(reply, WEBCAST, now=0.0))


def test_a_port_that_nobody_listens_on_and_a_name_nobody_knows_have_words() -> None:
    async def send(url: str) -> Reply | NoReply:
        known = Credentials(SANDBOX_SID, SANDBOX_SECRET)
        async with Client(url, WEBCAST.path, known, connections=1) as one:
            return await one.send(request(2).body, 1)

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://localhost:{closed.getsockname()[1]}"
        for url in (nobody, "https://no-such-host.invalid"):
            assert_told(judge(asyncio.run(send(url)), WEBCAST, now=0.0))


def test_whatever_can_be_unanswered_can_be_told() -> None:
    args: dict[str, Argument] = {"detail": Text("it is empty"), "status": "503"}

    for code in SEEN:
        verdict = Verdict(ReplyClass.TRANSIENT, code, args)
        assert_told(verdict)


# ------------------------------------------------------------------ a run as a whole


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        ("http:503", "HTTP 503"),
        ("html", "an answer that is not ClassIn's: it is a web page"),
        ("close", "a connection that broke before the answer was complete"),
    ],
)
def test_an_outage_that_ends_a_run_says_what_was_seen(
    tmp_path: Path, fault: str, what: str
) -> None:
    dispatched = dispatch(
        tmp_path, requests(30), max_outage_s=300.0, schedule=fault_between(fault, 0.0, 9e9)
    )

    assert dispatched.stopped is not None
    assert dispatched.stopped.args["minutes"] == "5"
    assert str(dispatched.stopped.args["what"]) == what
    assert what in str(dispatched.dispatcher.remarks[0])


def test_an_interruption_is_told_of_the_run_and_not_of_a_row() -> None:
    stop = Stop("interrupted", "run.interrupted", exit_status=130)

    left = explain_stop(stop, {RowStatus.NOT_SENT: 2}, WEBCAST)
    none_left = explain_stop(stop, {RowStatus.APPLIED: 2}, WEBCAST)

    assert left == ("The run was interrupted.", "Continue with `bulkcast resume`.")
    assert none_left == ("The run was interrupted.", "")
    assert "this row" in explain(stop.code, stop.args, WEBCAST)[0]
