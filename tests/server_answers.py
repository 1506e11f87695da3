"""What a server may answer: faults of the sandbox and how a row ends by them, and bodies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

NOT_TO_ACT_ON: Final[Mapping[str, bytes]] = {
    "nothing": b"",
    "white space": b"  \n",
    "truncated": b'{"code":1,"msg":"Execution succ',
    "truncated before its last brace": b'{"code":1',
    "trailing bytes": b'{"code":1}x',
    "two objects": b'{"code":1}{"code":1}',
    "a list": b'[{"code":1}]',
    "a bare number": b"1",
    "a bare text": b'"1"',
    "nested 200,000 deep": b'{"code":1,"data":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "nested deep in objects": b'{"code":1,"data":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
    "a number of 5,000 digits": b'{"code":' + b"1" * 5000 + b"}",
    "a number of 4,000 digits": b'{"code":' + b"1" * 4000 + b"}",
    "NaN": b'{"code":1,"data":NaN}',
    "Infinity": b'{"code":1,"data":-Infinity}',
    "a code twice": b'{"code":104,"code":1}',
    "a key twice deep inside": b'{"code":1,"data":{"a":1,"a":1}}',
    "bad UTF-8": b'{"code":1,"msg":"\xff"}',
    "UTF-16": '{"code":1}'.encode("utf-16"),
    "Latin-1": '{"code":1,"msg":"é"}'.encode("latin-1"),
    "a raw line feed in a text": b'{"code":1,"msg":"a\nb"}',
    "single quotes": b"{'code':1}",
    "a trailing comma": b'{"code":1,}',
    "HTML": b"<html><body>Login</body></html>",
    "no code": b'{"msg":"ok","data":null}',
    "a code of true": b'{"code":true}',
    "a code of 1.0": b'{"code":1.0}',
    "a code of 1e0": b'{"code":1e0}',
    "a code in a list": b'{"code":[1]}',
    "a code in an object": b'{"code":{"code":1}}',
    "a code of null": b'{"code":null}',
    "an empty code": b'{"code":""}',
    "a code in full-width digits": '{"code":"１"}'.encode(),
    "a code with a sign": b'{"code":"+1"}',
    "a code with spaces": b'{"code":" 1 "}',
    "the v1 envelope": b'{"data":1,"error_info":{"errno":1,"error":"ok"}}',
}
"""Bodies that are neither success nor refusal, whatever the HTTP status."""


@dataclass(frozen=True)
class Answer:
    """A fault that one row meets, and how the row ends if it meets only this fault."""

    number: str
    fault: str
    ends: str
    exit: int = 0
    sends: int = 8
    """How often the row is sent if it meets only this fault."""
    passing: bool = True
    """Whether the row succeeds after a single such answer."""
    stops: bool = False
    """Whether the fault ends the whole run."""


def unanswered(number: str, *faults: str) -> list[Answer]:
    return [Answer(number, fault, "unconfirmed", 4) for fault in faults]


def refused(number: str, *codes: int, state: str = "rejected") -> list[Answer]:
    return [Answer(number, f"code:{c}", state, 3, sends=1, passing=False) for c in codes]


def stopping(number: str, *faults: str) -> list[Answer]:
    return [Answer(number, f, "unconfirmed", 6, 1, passing=False, stops=True) for f in faults]


ANSWERS: Sequence[Answer] = [
    *unanswered("F24", "hang:60", "hang:60:applied"),
    *unanswered("F25", "reset", "reset:applied", "close", "close:applied"),
    *unanswered("F26", "truncated", "truncated:applied"),
    *unanswered("F27", "drip:2"),
    *unanswered("F28", "big:200000", "gzip:1000000"),
    *unanswered("F30", "html", "empty", "cut"),
    *unanswered("F31", *(f"garbage:{g}" for g in ("deep", "number", "nan", "twice", "utf8",
                                                  "trailing"))),
    *unanswered("F32", *(f"wrong_type:{t}" for t in ("true", "float", "list", "null", "missing"))),
    Answer("F32", "wrong_type:text", "applied", sends=1),
    Answer("F29", "smuggle", "applied", sends=1),
    *refused("F33", 987654, 2**40, -7),
    *unanswered("F34", "code:104", "code:104:applied", "code:114", "code:221"),
    *refused("F35", 121601031, 121601045, 121604008, 122301037, 142, 212, 369),
    *refused("F35", 145, 350, 140, 385, 875, state="too_late"),
    *refused("F36", 101001001),
    *refused("F37", 101002005),
    Answer("F40", "http:429", "not_sent", 4, sends=12),
    *(Answer("F40", f"http:429:retry_after={hint}", "not_sent", 4, sends=12)
      for hint in ("0", "2", "-5", "soon")),
    *(Answer("F41", f"code:{c}", "not_sent", 4, sends=12) for c in (101003001, 460, 464)),
    *unanswered("F42", *(f"http:{status}" for status in (500, 502, 503, 504, 408, 425))),
    *unanswered("F42", "http:503:applied"),
    *stopping("F43", *(f"http:{status}" for status in (401, 403, 404, 405, 413, 415))),
    *stopping("F44", *(f"redirect:{status}" for status in (301, 302, 303, 307, 308))),
]  # fmt: skip
