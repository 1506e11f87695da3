"""The protocol: signatures by the vendor's vectors, and what every kind of answer lets us do."""

import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import protocol
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.model import Credentials, ReplyClass, Secret
from bulkcast.protocol import NoReply, Reply, Verdict
from tests.server_answers import NOT_TO_ACT_ON

VECTORS = json.loads(
    (Path(__file__).parent / "data" / "signature-vectors.json").read_text(encoding="utf-8")
)
NOW = 1_795_000_000.0
CREDENTIALS = Credentials("1000082", Secret("Mb7SR6H"))
STAMP = 1_721_095_405


def judge(reply: Reply | NoReply) -> Verdict:
    return protocol.judge(reply, WEBCAST, now=NOW)


def judge_body(body: bytes | object, status: int = 200) -> Verdict:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return judge(Reply(status, raw))


# ------------------------------------------------------------------ signing


@pytest.mark.parametrize("vector", VECTORS, ids=[v["name"] for v in VECTORS])
def test_the_signature_is_the_vectors(vector: Mapping[str, Any]) -> None:
    credentials = Credentials(str(vector["sid"]), Secret(vector["secret"]))

    assert protocol.signature(vector["body"], credentials, vector["ts"]) == vector["sign"]


@pytest.mark.parametrize(
    ("body", "sign"),
    [
        # 1023 bytes of Chinese and one letter: exactly 1024 bytes still take part
        (
            {"activityId": 25096094, "webcastIntroduce": "课" * 341 + "a"},
            "ffa71e39bb5cc8b02a84b9188e9b3b83",
        ),
        # nothing is escaped, a line feed stays one
        (
            {
                "activityId": 25096094,
                "watchPassword": "a&b=c%20+d",
                "webcastIntroduce": "第1讲 A&B=C é😀\n行2",
            },
            "741da6d78f929c80e70230ac5f60992c",
        ),
        ({"classId": 23692341090, "openState": 1}, "035fbfd5c20c4bf37b0c5c170455cb40"),
    ],
    ids=["1024 bytes", "raw text", "eleven digits"],
)
def test_the_signature_is_that_of_an_independent_implementation(
    body: dict[str, object], sign: str
) -> None:
    assert protocol.signature(body, CREDENTIALS, STAMP) == sign


TEXTS = st.text(st.sampled_from('aZ09 -+,:&=é课😀１\n"\\\x00'), max_size=40)

settings = st.dictionaries(
    st.sampled_from([c.key for c in WEBCAST.parameters]),
    st.one_of(
        st.integers(0, 2**63 - 1),
        TEXTS,
        st.lists(st.integers(1, 2**63 - 1)).map(tuple),
    ),
)


@given(settings, st.randoms(use_true_random=False))
def test_the_order_of_parameters_does_not_change_the_signature(body: Any, dice: Any) -> None:
    shuffled = list(body.items())
    dice.shuffle(shuffled)

    signed = protocol.signature(shuffled, CREDENTIALS, STAMP)

    assert signed == protocol.signature(body, CREDENTIALS, STAMP)


@given(settings)
def test_an_encoded_body_reads_back_as_it_was(body: Any) -> None:
    read = protocol.decode(protocol.encode(tuple(body.items())))

    assert read == {k: list(v) if isinstance(v, tuple) else v for k, v in body.items()}


def test_the_headers_are_texts_and_hold_no_secret() -> None:
    headers = protocol.headers((("activityId", 7), ("watchPassword", "pw")), CREDENTIALS, STAMP)

    assert headers.keys() == {"X-EEO-SIGN", "X-EEO-UID", "X-EEO-TS", "Content-Type"}
    assert headers["X-EEO-UID"] == "1000082"
    assert headers["X-EEO-TS"] == str(STAMP)
    assert headers["Content-Type"] == "application/json"
    assert not any("Mb7SR6H" in value or "pw" in value for value in headers.values())


# ------------------------------------------------------------------ reading answers


@pytest.mark.parametrize("body", NOT_TO_ACT_ON.values(), ids=NOT_TO_ACT_ON.keys())
def test_an_answer_that_is_not_whole_and_strict_may_have_been_applied(body: bytes) -> None:
    verdict = judge_body(body)

    assert verdict.kind is ReplyClass.TRANSIENT
    assert verdict.code == "reply.not_json"
    assert verdict.ambiguous
    assert not verdict.proves_access


def test_a_byte_order_mark_does_no_harm() -> None:
    assert judge_body(b'\xef\xbb\xbf{"code":1}').kind is ReplyClass.OK


def test_every_shape_of_data_is_success() -> None:
    for data in (None, [], {}, "", {"activityId": 1}, [{"code": 104}]):
        assert judge_body({"code": 1, "msg": "", "data": data}).kind is ReplyClass.OK


def test_success_is_cut_short_at_every_byte_without_ever_being_success() -> None:
    whole = b'{"code":1,"msg":"Execution successful","data":null}'

    kinds = {judge_body(whole[:end]).kind for end in range(len(whole))}

    assert kinds == {ReplyClass.TRANSIENT}


SCALARS = st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, 104, -1, "1", 10**30]) | TEXTS
JSON = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)


@given(st.binary())
def test_any_bytes_get_a_verdict(raw: bytes) -> None:
    assert judge_body(raw).kind is not ReplyClass.OK


@given(st.dictionaries(st.sampled_from(["code", "msg", "data"]), JSON))
def test_only_the_integer_one_is_success(answer: dict[str, Any]) -> None:
    verdict = judge_body(answer)

    code = answer.get("code")
    assert (verdict.kind is ReplyClass.OK) == (type(code) is int and code == 1)


@given(st.dictionaries(st.sampled_from(["code", "msg"]), JSON))
def test_a_verdict_can_be_written_to_any_file(answer: dict[str, Any]) -> None:
    verdict = judge_body({"msg": "\ud83d half a smile", **answer})

    assert "".join([verdict.code, *map(str, verdict.args.values())]).encode()


def test_a_long_message_is_shortened() -> None:
    assert len(str(judge_body({"code": 104, "msg": "x" * 100_000}).args["said"])) == 500


# ------------------------------------------------------------------ codes and statuses


@pytest.mark.parametrize("reply", WEBCAST.replies, ids=lambda reply: str(reply.code))
def test_every_code_of_the_table_is_judged_as_the_table_says(reply: Any) -> None:
    verdict = judge_body({"code": reply.code, "msg": "说明", "data": None})

    assert verdict.kind is reply.kind
    assert verdict.code == str(reply.code)
    assert verdict.args == ({} if reply.kind is ReplyClass.OK else {"said": "说明"})
    assert verdict.ambiguous == reply.ambiguous
    assert verdict.proves_access == (
        reply.kind.value not in {"clock", "credentials", "maintenance", "throttled"}
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, "ok"),
        (121601002, "ok with a warning"),
        (101001001, "row"),
        (101002005, "credentials"),
        (101002006, "clock"),
        (101002008, "credentials"),
        (104, "transient"),
        (145, "too late"),
        (350, "too late"),
        (121601005, "institution"),
        (121601006, "institution"),
        (121601009, "institution"),
        (121601010, "institution"),
        (121601031, "row"),
        (121601045, "row"),
        (121604007, "institution"),
        (121604008, "row"),
        (122301037, "row"),
        (101003001, "throttled"),
        (901, "maintenance"),
    ],
)
def test_the_codes_of_the_vendors_page_mean_what_the_page_says(code: int, kind: str) -> None:
    assert judge_body({"code": code}).kind.value == kind


def test_a_code_in_digits_is_understood_and_its_success_is_warned_of() -> None:
    assert judge_body({"code": "1"}).kind is ReplyClass.OK_WARNING
    assert judge_body({"code": "350"}).kind is ReplyClass.TOO_LATE
    assert judge_body({"code": "350"}).code == "350"


@pytest.mark.parametrize("code", [0, -1, 2, 999, 2**63 - 1])
def test_an_unlisted_code_is_the_rows_own_and_kept_verbatim(code: int) -> None:
    verdict = judge_body({"code": code, "msg": "新错误"})

    assert verdict.kind is ReplyClass.ROW
    assert verdict.code == str(code)
    assert verdict.args == {"said": "新错误", "number": str(code)}
    assert not verdict.ambiguous
    assert verdict.proves_access


@pytest.mark.parametrize("status", [408, 425, 500, 502, 503, 504, 507, 599])
def test_a_passing_failure_may_have_been_applied(status: int) -> None:
    verdict = judge(Reply(status, b'{"code":1}', retry_after="7"))

    assert verdict.kind is ReplyClass.TRANSIENT
    assert verdict.code == "reply.http"
    assert verdict.args == {"status": str(status)}
    assert verdict.ambiguous
    assert verdict.retry_after == 7.0


def test_too_many_requests_is_no_failure_of_the_row() -> None:
    verdict = judge(Reply(429, b"", retry_after="30"))

    assert verdict.kind is ReplyClass.THROTTLED
    assert verdict.retry_after == 30.0
    assert not verdict.ambiguous


@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
@pytest.mark.parametrize("code", ["901", '"901"'])
def test_maintenance_is_seen_whatever_the_status(status: int, code: str) -> None:
    reply = Reply(status, f'{{"code":{code},"msg":"系统维护"}}'.encode())

    assert protocol.judge(reply, WEBCAST, now=0.0).kind is ReplyClass.MAINTENANCE


def test_maintenance_is_seen_as_status_and_as_code() -> None:
    assert judge(Reply(901, b"")).kind is ReplyClass.MAINTENANCE
    assert judge_body({"code": 901}).kind is ReplyClass.MAINTENANCE


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_stops_the_run_and_its_query_is_not_shown(status: int) -> None:
    verdict = judge(Reply(status, b'{"code":1}', location="https://evil.example/in?token=abc"))

    assert verdict.kind is ReplyClass.STOP
    assert verdict.args["location"] == "https://evil.example/in"


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404, 405, 413, 415])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":1}', b'{"code":"1"}', b'{"code":7}'])
def test_any_other_status_stops_the_run_and_is_never_success(status: int, body: bytes) -> None:
    verdict = judge_body(body, status)

    assert verdict.kind is ReplyClass.STOP
    assert verdict.code == "reply.refused"


def test_a_listed_refusal_over_another_status_is_understood() -> None:
    verdict = judge_body({"code": 101002005, "msg": ""}, 401)

    assert verdict.kind is ReplyClass.CREDENTIALS


@given(st.integers(100, 999), st.binary(max_size=60))
def test_success_needs_status_200(status: int, body: bytes) -> None:
    whole = judge(Reply(status, b'{"code":1}'))
    other = judge(Reply(status, body))

    success = {ReplyClass.OK, ReplyClass.OK_WARNING}
    assert (whole.kind in success) == (status == 200)
    assert other.kind not in success


def test_silence_is_ambiguous_only_when_the_request_had_left() -> None:
    lost = judge(NoReply("send.lost", sent=True))
    refused = judge(NoReply("send.not_connected", sent=False, detail="refused"))

    assert (lost.kind, lost.ambiguous, lost.connected) == (ReplyClass.TRANSIENT, True, True)
    assert (refused.kind, refused.ambiguous, refused.connected) == (
        ReplyClass.TRANSIENT,
        False,
        False,
    )
    assert refused.args == {"detail": "refused"}


def test_a_certificate_that_does_not_verify_stops_the_run() -> None:
    verdict = judge(NoReply("send.certificate", sent=False, fatal=True))

    assert verdict.kind is ReplyClass.STOP


# ------------------------------------------------------------------ Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1000000000", 1e9),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("１２", None),
        ("soon", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_a_retry_hint_in_seconds_is_read_and_junk_is_not(
    header: str | None, seconds: float | None
) -> None:
    assert protocol.retry_after(header, now=NOW) == seconds


@given(st.integers(-(10**6), 10**6))
def test_a_retry_hint_given_as_a_date_counts_from_now(ahead: int) -> None:
    date = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=ahead)

    for header in (format_datetime(date, usegmt=True), f"{date:%a, %d %b %Y %H:%M:%S} -0000"):
        assert protocol.retry_after(header, now=NOW) == max(0.0, ahead)


DATE_PIECES = [
    "Wed,",
    "21",
    "Oct",
    "2026",
    "99999",
    "07:28:00",
    "07:61:99",
    "GMT",
    "-0000",
    "+9" * 9,
]


@given(TEXTS | st.lists(st.sampled_from(DATE_PIECES), max_size=8).map(" ".join))
def test_no_retry_hint_raises_or_is_negative(header: str) -> None:
    seconds = protocol.retry_after(header, now=NOW)

    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    "echo",
    [
        "bad Zq9 pass!", "bad zq9 PASS!", "bad Zq9%20pass%21", "bad Zq9+pass%21",
        f"bad {b64encode(b'Zq9 pass!').decode()}", f"bad {b'Zq9 pass!'.hex()}",
    ],
)  # fmt: skip
def test_a_password_that_an_answer_repeats_is_masked(echo: str) -> None:
    reply = Reply(200, json.dumps({"code": 101001001, "msg": echo}).encode())
    body = (("activityId", 7), ("recordState", 1), ("watchPassword", "Zq9 pass!"))

    masked = protocol.judge(reply, WEBCAST, now=0.0, body=body)
    of_another_row = protocol.judge(
        reply, WEBCAST, now=0.0, listener=protocol.Listener(["Zq9 pass!"])
    )

    assert masked.args == of_another_row.args == {"said": "bad •••"}
    assert protocol.judge(reply, WEBCAST, now=0.0, body=body[:2]).args == {"said": echo}
